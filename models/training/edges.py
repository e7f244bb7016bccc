"""Crisp edges for what was decoded. Where an edge lies is not said by latents to the pixel, and the mean of all places is soft."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: How often edges are drawn together, by at most a pixel from both sides each time.
SHOCKS = 2
#: How much brighter or darker than around it a pixel is, of a range of 2, before it moves all the way.
CURVED = 0.03


def with_edges(pictures: Tensor, sharpness: Tensor) -> Tensor:
    """Pictures [batch, 3, H, W] with crisper edges where `sharpness` [batch, 1, H, W] in 0..1 says so.

    A shock filter (Osher and Rudin 1990, doi:10.1137/0727053): on the bright side of an edge a pixel moves towards the brightest of its
    neighbours, on the dark side towards the darkest. Nothing gets brighter or darker than what is there, so nothing rings.
    """
    for _ in range(SHOCKS):
        smooth = blurred(pictures)
        side = ((smooth - blurred(smooth)) / CURVED).clamp(-1, 1) * sharpness
        brightest = F.max_pool2d(pictures, 3, 1, 1)
        darkest = -F.max_pool2d(-pictures, 3, 1, 1)
        pictures = pictures + side.relu() * (brightest - pictures) - (-side).relu() * (pictures - darkest)
    return pictures


def blurred(pictures: Tensor) -> Tensor:
    """[batch, 3, H, W] through binomial weights of 3 x 3."""
    weights = torch.tensor([1.0, 2.0, 1.0], device=pictures.device) / 4
    around = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(around, (weights[:, None] * weights).expand(3, 1, 3, 3), groups=3)
