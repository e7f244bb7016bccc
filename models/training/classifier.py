"""The judge of styles: a committee of two that are mistaken about different things. One knows fixed statistics of a picture, the
other is a small convolutional network."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styles import STYLES

#: What is in none of the styles, or not enough: a smear is no watercolour.
NONE = "none"
LABELS = [*STYLES, NONE]


def cosine_filters(size: int = 8) -> Tensor:
    """The size*size patterns of the discrete cosine transform: [size * size, 1, size, size]."""
    place = (torch.arange(size) + 0.5) * math.pi / size
    waves = torch.stack([torch.cos(place * frequency) for frequency in range(size)]) * (2 / size) ** 0.5
    waves[0] *= 0.5**0.5
    return torch.einsum("uy,vx->uvyx", waves, waves).reshape(size * size, 1, size, size)


class Statistics(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to numbers [batch, n] that do not depend on their size."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("patterns", cosine_filters())
        # Brightness and two colour differences.
        self.register_buffer("axes", torch.tensor([[0.30, 0.59, 0.11], [0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]])[:, :, None, None])
        self.register_buffer("levels", torch.linspace(-0.9, 0.9, 8).view(1, -1, 1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        planes = F.conv2d(picture, self.axes)
        parts = []
        for plane in (planes[:, :1], planes[:, 1:2], planes[:, 2:]):
            strength = F.conv2d(plane, self.patterns, stride=3).abs()
            mean, square = strength.mean((2, 3)), (strength * strength).mean((2, 3))
            # How much there is of each pattern, and whether it is everywhere or in few places.
            parts += [torch.log(mean + 1e-3), torch.log(square / (mean * mean + 1e-6) + 1e-3)]
        colour = (planes[:, 1:] * planes[:, 1:]).sum(1, keepdim=True).sqrt()
        for plane in (planes[:, :1], 4 * colour - 1):
            parts.append(torch.exp(-(((plane - self.levels) / 0.15) ** 2)).mean((2, 3)))
        parts += [planes.mean((2, 3)), picture.mean((2, 3))]
        return torch.cat(parts, 1)


class Statistician(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to logits [batch, styles], by their statistics."""

    def __init__(self, features: Tensor) -> None:
        """`features` [pictures, n] of the training pictures bring each statistic to mean 0 and deviation 1."""
        super().__init__()
        self.statistics = Statistics()
        self.register_buffer("centre", features.mean(0))
        self.register_buffer("spread", features.std(0) + 1e-3)
        self.head = nn.Sequential(nn.Linear(features.shape[1], 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, len(LABELS)))

    def of_features(self, features: Tensor) -> Tensor:
        return self.head(((features - self.centre) / self.spread).clamp(-4, 4))

    def forward(self, picture: Tensor) -> Tensor:
        return self.of_features(self.statistics(picture))


class Network(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to logits [batch, styles]. Styles are textures: it takes the mean and the
    deviation of what its filters find over the whole picture, wherever it is."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels), channels):
            size = 5 if before == 3 else 3
            layers += [nn.Conv2d(before, after, size, 2, size // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.filters = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * channels[-1] + 6, len(LABELS)))

    def forward(self, picture: Tensor) -> Tensor:
        found = self.filters(picture)
        parts = []
        for values in (found, picture):
            mean = values.mean((2, 3))
            deviation = ((values - mean[:, :, None, None]) ** 2).mean((2, 3))
            parts += [mean, (deviation + 1e-4).sqrt()]
        return self.head(torch.cat(parts, 1))


class Committee(nn.Module):
    """Pictures to the mean of the members' log-probabilities [batch, styles]. No member is ever more than 95 % sure."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, picture: Tensor) -> Tensor:
        votes = [torch.log(0.95 * member(picture).softmax(1) + 0.05 / len(LABELS)) for member in self.members]
        return torch.stack(votes).mean(0)
