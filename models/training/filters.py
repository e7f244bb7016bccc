"""Filters that styles are made of, on pictures [3, size, size] and planes [size, size] in 0..1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMINANCE = torch.tensor([0.30, 0.59, 0.11])


def luminance(picture: Tensor) -> Tensor:
    """[3, size, size] to [size, size]."""
    return torch.einsum("chw,c->hw", picture, LUMINANCE)


def saturate(picture: Tensor, amount: float) -> Tensor:
    """Move colours away from grey (amount > 1) or towards it (amount < 1)."""
    grey = luminance(picture)[None]
    return grey + (picture - grey) * amount


def box(batch: Tensor, side: int) -> Tensor:
    """Means of side x side squares of [n, channels, h, w], along columns and then along rows, which is faster than at once."""
    return F.avg_pool2d(F.avg_pool2d(batch, (side, 1), 1), (1, side), 1)


def smooth(picture: Tensor, radius: int) -> Tensor:
    """Two box filters of 2*radius+1 pixels, about a Gaussian. Takes [3, size, size] or [size, size]."""
    flat = picture.dim() == 2
    batch = picture[None, None] if flat else picture[None]
    for _ in range(2):
        batch = box(F.pad(batch, (radius,) * 4, mode="replicate"), 2 * radius + 1)
    return batch[0, 0] if flat else batch[0]


def kuwahara(picture: Tensor, radius: int) -> Tensor:
    """Kuwahara's filter: each pixel becomes the mean of the calmest of the four squares of radius+1 pixels at whose corner it is."""
    size = picture.shape[-1]
    values = torch.cat([picture, luminance(picture)[None] ** 2])
    means = box(F.pad(values[None], (radius,) * 4, mode="replicate"), radius + 1)[0]
    corners = torch.stack([means[:, y : y + size, x : x + size] for y in (0, radius) for x in (0, radius)])
    variance = corners[:, 3] - torch.einsum("nchw,c->nhw", corners[:, :3], LUMINANCE) ** 2
    return corners[:, :3].gather(0, variance.argmin(0).expand(1, 3, size, size))[0]


def dilate(mask: Tensor, radius: int = 1) -> Tensor:
    """Widen the bright parts of a mask [size, size]."""
    return F.max_pool2d(mask[None, None], 2 * radius + 1, 1, radius)[0, 0]


def outlines(picture: Tensor, gain: float = 7.0) -> Tensor:
    """Where colours change: 1 on edges, 0 elsewhere, [size, size], about two pixels wide."""
    calm = smooth(picture, 1)
    edge = torch.zeros(picture.shape[1:])
    edge[:, 1:] = (calm[:, :, 1:] - calm[:, :, :-1]).abs().amax(0)
    edge[1:] = torch.maximum(edge[1:], (calm[:, 1:] - calm[:, :-1]).abs().amax(0))
    return dilate((edge * gain * 2 - 0.6).clamp(0, 1))


def grid(size: int) -> tuple[Tensor, Tensor]:
    """Pixel rows and columns [size, size]."""
    axis = torch.arange(size, dtype=torch.float32)
    return torch.meshgrid(axis, axis, indexing="ij")


def displace(picture: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Take every pixel from a place moved by (rows, columns) pixels."""
    size = picture.shape[-1]
    y, x = grid(size)
    y, x = (y + rows).long().clamp(0, size - 1), (x + columns).long().clamp(0, size - 1)
    return picture[:, y, x]


def levels(picture: Tensor, steps: int) -> Tensor:
    """Round the brightness to a few levels and keep the colours."""
    grey = luminance(picture)
    return picture + ((grey * steps).round() / steps - grey)[None]


def tinted(grey: Tensor, tone: tuple[float, float, float]) -> Tensor:
    """A grey picture [size, size] in one tone."""
    return grey[None] * torch.tensor(tone)[:, None, None]
