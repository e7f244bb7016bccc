"""Who judges what the decoder paints: a critic that learns to tell drawn patches from decoded ones, as in VQGAN (Esser, Rombach and
Ommer 2020, arXiv:2012.09841).

Means of errors are smallest where grain, bristles and paper are smoothed away; a critic sees that they are missing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

#: No more than this much heavier than what the critic says, or lighter, may the other errors weigh.
MOST = 1e4


class Critic(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to a value for every patch [batch, 1, H/8, W/8]: above 0 drawn, below 0 decoded."""

    def __init__(self, channels: tuple[int, ...] = (48, 96, 160)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels), channels):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, picture: Tensor) -> Tensor:
        return self.layers(picture)


def critic_loss(critic: Critic, drawn: Tensor, decoded: Tensor) -> Tensor:
    """The hinge loss; `decoded` learns nothing from it."""
    return (F.relu(1 - critic(drawn)) + F.relu(1 + critic(decoded.detach()))).mean()


def criticism(critic: Critic, decoded: Tensor, errors: Tensor, weight: nn.Parameter, share: float) -> Tensor:
    """What the critic says of decoded pictures, so weighted that it moves the last layer's `weight` by that share of what `errors` do."""
    said = -critic(decoded).mean()
    by_errors, by_critic = (torch.autograd.grad(loss, weight, retain_graph=True)[0].norm() for loss in (errors, said))
    return share * (by_errors / (by_critic + 1e-6)).clamp(0, MOST) * said
