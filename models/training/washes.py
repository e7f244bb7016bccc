"""Watercolour: layered transparent washes on grained paper.

After Bousseau and others, "Interactive watercolor rendering with temporal coherence and abstraction" (2006): where the density
of pigment is d, a colour c becomes c - (c - c*c) * (d - 1), so that more pigment is darker and stronger and white stays white.
Paper and wobble repeat every 32 pixels, so that a network can know where they are; only slow drifts of pigment are random.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from filters import displace, grid, kuwahara, luminance, saturate, smooth
from noise import lattice_noise, noise

PAPER = (0.985, 0.975, 0.945)
#: Pixels of paper around the painting.
MARGIN = 8.0


def step(value: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, smooth between."""
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def pooled(values: Tensor, radius: int = 2) -> Tensor:
    """Where pigment gathers: in a narrow rim on that side of an edge where a channel is darker; [size, size] in 0..1."""
    darker = (smooth(values, radius) - values).clamp(min=0)
    return ((darker.amax(0) if darker.dim() == 3 else darker) * 5).clamp(0, 1)


def margin(size: int) -> Tensor:
    """1 on the painting and 0 on the paper around it, with an uneven edge."""
    y, x = grid(size)
    rim = torch.minimum(torch.minimum(x, size - 1 - x), torch.minimum(y, size - 1 - y))
    return step(rim + 0.6 * lattice_noise(size, 5, 32), MARGIN - 1, MARGIN + 1)


def watercolour(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Thin washes whose edges darken, on grained paper that stays white in the lights; they run together where edges are weak."""
    size = picture.shape[-1]
    moved = displace(picture, *(0.9 * lattice_noise(size, 10, 32, seed) for seed in (1, 2)))
    calm = smooth(kuwahara(kuwahara(moved, 4), 3), 1)
    # Wet in wet: without a strong edge, neighbours run into each other.
    hard = step((calm - smooth(calm, 3)).abs().amax(0), 0.015, 0.05)
    hard = (smooth(hard, 2) * 2).clamp(max=1)
    calm = torch.lerp(smooth(calm, 5), calm, hard.expand_as(calm))
    grey = luminance(calm)

    # Lights are bare paper, and darks thinner than in the picture: pigment is transparent.
    colour = saturate(calm, 1.5).clamp(0, 1) * 0.74 + 0.24
    colour = torch.lerp(colour, torch.ones_like(colour), 0.8 * step(grey, 0.72, 0.95).expand_as(colour))

    # A second wash lies over the darker half, and the last strokes pick out the darkest details.
    glaze = step(0.5 - grey + 0.008 * lattice_noise(size, 10, 32, 4), -0.02, 0.02)
    accents = step(smooth(luminance(picture), 6) - luminance(smooth(moved, 1)) - 0.13, -0.02, 0.02) * step(0.45 - grey, -0.1, 0.1)
    painted = margin(size)
    rims = 0.8 * pooled(calm) + 0.6 * pooled(1 - 0.25 * glaze) + 0.7 * pooled(1 - 0.4 * painted)
    flow = 0.7 * noise(rng, size, 1.8) + 0.3 * noise(rng, size, 1.5)
    # Granulation: pigment settles in the hollows of the paper, more of it where there is more.
    grain = lattice_noise(size, 2.2, 5, 6)
    density = 1 + 0.25 * flow + 0.2 * glaze + 0.35 * accents + 1.3 * rims + (0.07 + 0.1 * glaze + 0.12 * rims) * grain
    density = density.clamp(0.25, 2.6)
    washed = colour - (colour - colour * colour) * (density - 1)
    washed = torch.lerp(torch.ones_like(washed), washed.clamp(0.03, 1), painted.expand_as(washed))
    return washed * torch.tensor(PAPER)[:, None, None] * (1 + 0.01 * lattice_noise(size, 3, 10, 7))
