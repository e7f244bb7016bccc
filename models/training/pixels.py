"""Pixel art: a grid of flat cells in the colours of one palette."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from filters import luminance, saturate, smooth

#: Pixels of a cell's side: one cell of the latents.
CELL = 8


def palette() -> Tensor:
    """36 colours [36, 3]: greys, ramps of seven hues, earths and skies."""
    greys = [(v, v, v) for v in (0.04, 0.3, 0.55, 0.78, 0.97)]
    ramps = []
    for red, green, blue in [(0.9, 0.15, 0.15), (0.96, 0.55, 0.12), (0.98, 0.88, 0.25), (0.2, 0.68, 0.25), (0.1, 0.65, 0.68), (0.18, 0.36, 0.9), (0.62, 0.24, 0.72)]:
        hue = np.array([red, green, blue])
        ramps += [tuple(hue * 0.42), tuple(hue), tuple(hue * 0.5 + 0.48)]
    earths = [(0.36, 0.2, 0.12), (0.6, 0.38, 0.22), (0.82, 0.6, 0.42), (0.96, 0.8, 0.66), (0.45, 0.52, 0.36), (0.66, 0.62, 0.56)]
    skies = [(0.1, 0.12, 0.26), (0.38, 0.46, 0.6), (0.42, 0.7, 0.95), (0.74, 0.87, 0.97)]
    return torch.tensor([*greys, *ramps, *earths, *skies], dtype=torch.float32)


PALETTE = palette()
#: Colours are compared by brightness and two colour differences, of which the eye sees less.
AXES = torch.tensor([[0.30, 0.59, 0.11], [0.35, -0.35, 0.0], [-0.2, -0.2, 0.4]])


def nearest(colours: Tensor) -> Tensor:
    """The palette's colours [3, h, w] nearest to those of a picture [3, h, w]."""
    height, width = colours.shape[1:]
    index = torch.cdist((AXES @ colours.flatten(1)).T, PALETTE @ AXES.T).argmin(1)
    return PALETTE[index].T.reshape(3, height, width)


def pixel(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Cells of 8 pixels, each of one colour of the palette, darker where an edge runs through."""
    strong = saturate(picture, 1.3).clamp(0, 1)
    mean, spread = F.avg_pool2d(strong[None], CELL)[0], -F.max_pool2d(-luminance(strong)[None, None], CELL)[0, 0]
    # An edge's cell takes the darker side, as whoever sets pixels by hand draws an outline.
    outline = ((luminance(mean) - spread) * 1.2 - 0.12).clamp(0, 0.5)
    # Neighbours share a little, or textures turn into confetti.
    mean = torch.lerp(mean, smooth(mean, 1), 0.35)
    contrasty = (mean - 0.5) * 1.12 + 0.5
    small = nearest((contrasty * (1 - outline)).clamp(0, 1))
    return F.interpolate(small[None], scale_factor=CELL, mode="nearest")[0]
