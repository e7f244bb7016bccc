"""Photo: light, lens and grain that make a drawing look photographed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from filters import grid, luminance, outlines, saturate, smooth
from noise import noise
from strokes import gradients


def photo(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Rounded forms in soft light from the upper left, textured surfaces, a lens in focus at the middle, grain of 1/f."""
    size = picture.shape[-1]
    y, x = grid(size)
    # Forms bulge between their edges, and corners hold shadow.
    edges = smooth(outlines(picture, 5.0), 1)
    hollow = smooth(edges, 6) * 0.7 + smooth(edges, 2) * 0.3
    rows, columns = gradients(smooth(hollow, 2))
    relief = ((rows + columns) * 4).clamp(-0.25, 0.25)
    shadow = 1 - 0.3 * hollow
    window = 1.3 - 0.2 * (x + y) / size + 0.05 * noise(rng, size, 1.8)
    # Surfaces scatter unevenly; colours in nature are neither pure nor even.
    surface = 1 + 0.055 * noise(rng, size, 1.2) + 0.03 * noise(rng, size, 0.8)
    natural = saturate(picture, 0.72) * 0.86 + 0.03
    lit = natural * (window * shadow * surface + relief)[None]
    # Out of focus away from the middle; strong lights bleed.
    away = (torch.hypot(x / size - 0.5, (y / size - 0.55) * 1.15) * 1.8 - 0.55).clamp(0, 1)
    sharp, soft, softer = smooth(lit, 1) * 0.6 + lit * 0.4, smooth(lit, 2), smooth(lit, 3)
    lit = torch.lerp(torch.lerp(sharp, soft, (2 * away).clamp(0, 1).expand_as(lit)), softer, (2 * away - 1).clamp(0, 1).expand_as(lit))
    lit = lit + 0.5 * smooth((luminance(lit) - 0.72).clamp(min=0), 7)
    corners = 1 - 0.4 * (torch.hypot(x / size - 0.5, y / size - 0.5) - 0.32).clamp(0, 1)
    # Film: a shoulder and a toe, warm lights and cool shadows.
    curved = lit.clamp(0, 1.15) * corners
    curved = curved + 0.22 * curved * (1 - curved) * (2 * curved - 1)
    tint = (luminance(curved) - 0.5)[None] * torch.tensor([0.05, 0.01, -0.06])[:, None, None]
    return curved + tint + 0.018 * noise(rng, size, 0.6)
