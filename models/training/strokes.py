"""Oil paint: brush strokes that follow the form, each of one colour, with bristles and lit ridges.

Everything follows from the picture: where a stroke begins is fixed on a lattice of 8 pixels that repeats every 32, its
direction, length and colour are those of the picture under it. So a network can learn the style as it learns a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from filters import kuwahara, luminance, saturate, smooth
from noise import lattice_noise

#: Pixels between strokes, and strokes until the lattice repeats: 32 pixels, the denoiser's coarsest grid.
SPACING, REPEAT = 8, 4
#: Direction of strokes where nothing gives one: rising to the right.
SLANT = -0.6


def flow(grey: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Along what the picture runs, from its structure tensor: angle [size, size] in radians and how sure it is, 0..1.

    The tensor is averaged over about `radius` pixels; the angle is of the direction in which brightness changes least.
    """
    rows, columns = gradients(smooth(grey, 1))
    # What lies further away counts less, and only where nothing is near.
    near, far = ([smooth(value, reach) for value in (columns * columns, rows * rows, rows * columns)] for reach in (radius, 4 * radius))
    xx, yy, xy = (value + 0.04 * wide for value, wide in zip(near, far))
    cosine, sine = xx - yy, 2 * xy
    strength = torch.hypot(cosine, sine)
    sure = strength / (strength + 4e-5)
    # The tensor's main axis lies across the form; the slant takes over where the tensor says little.
    cosine = -cosine / (strength + 1e-9) * sure + (1 - sure) * float(np.cos(2 * SLANT))
    sine = -sine / (strength + 1e-9) * sure + (1 - sure) * float(np.sin(2 * SLANT))
    return torch.atan2(sine, cosine) / 2, sure


def gradients(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between the neighbours on both sides, along rows and columns, [size, size] each."""
    padded = F.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    return (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2, (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2


@dataclass
class Brush:
    """A layer of strokes: their size in pixels, the shortest share of it where the picture has detail, and the layer's seed."""

    length: float
    width: float
    shortest: float
    seed: int


@dataclass
class Layer:
    """What the uppermost stroke at each pixel is: colour [3, size, size], height and cover [size, size] in 0..1."""

    colour: Tensor
    height: Tensor
    cover: Tensor


def lay(picture: Tensor, angle: Tensor, detail: Tensor, brush: Brush, wanted: Tensor | None = None) -> Layer:
    """Strokes on the lattice; with `wanted` [size, size] only where it is above one half. Higher ones hide lower ones."""
    size = picture.shape[-1]
    number = size // SPACING
    rng = np.random.default_rng(brush.seed)

    def repeated(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).tile(number // REPEAT + 1, number // REPEAT + 1)[:number, :number]

    order = repeated(rng.permutation(REPEAT * REPEAT).reshape(REPEAT, REPEAT))
    jitter = [repeated(rng.uniform(-0.42, 0.42, (REPEAT, REPEAT)) * SPACING) for _ in range(2)]
    turn, shade = repeated(rng.uniform(-0.18, 0.18, (REPEAT, REPEAT))), repeated(rng.uniform(-1, 1, (REPEAT, REPEAT)))
    phase = repeated(rng.uniform(0, 6.28, (REPEAT, REPEAT)))
    place = (torch.arange(number) + 0.5) * SPACING
    cy, cx = place[:, None] + jitter[0], place[None] + jitter[1]
    rows, columns = cy.long().clamp(0, size - 1), cx.long().clamp(0, size - 1)
    heading = angle[rows, columns] + turn
    scale = 1 - (1 - brush.shortest) * detail[rows, columns]
    cosine, sine = heading.cos(), heading.sin()
    half_length, half_width = brush.length / 2 * scale, brush.width / 2 * (0.5 + 0.5 * scale)
    if wanted is not None:
        order = torch.where(wanted[rows, columns] > 0.5, order, -1.0)
    reach = int(np.ceil((brush.length / 2 + 0.5 * SPACING) / SPACING))
    numbers = torch.arange(number * number).reshape(number, number)
    strokes = F.pad(torch.stack([cy, cx, cosine, sine, half_length, 1 / half_width, order, numbers]), (reach,) * 4)
    outside = torch.ones(strokes.shape[1:], dtype=torch.bool)
    outside[reach:-reach, reach:-reach] = False
    strokes[6][outside] = -1
    # Pixels are [row of the lattice, row in its square, column of the lattice, column in its square]: most is broadcast.
    axis = (torch.arange(size) + 0.5).reshape(number, SPACING)
    y, x = axis[:, :, None, None], axis[None, None]
    ragged = (1.2 * lattice_noise(size, 2, 8, brush.seed)).reshape(number, SPACING, number, SPACING)
    best, owner = torch.full_like(ragged, -1.0), torch.zeros_like(ragged)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            sy, sx, c, s, long, thin, z, index = strokes[:, down : down + number, right : right + number, None][:, :, None]
            dy, dx = y - sy, x - sx
            across = (dy * (c * thin) - dx * (s * thin)).square_()
            inside = (dy * s + dx * c).abs_() < torch.add(ragged, long).addcmul_(across, long, value=-0.35)
            inside &= across < 1
            inside &= z > best
            best, owner = torch.where(inside, z, best), torch.where(inside, index, owner)

    y, x, best, owner = axis.reshape(size, 1), axis.reshape(1, size), best.reshape(size, size), owner.reshape(size, size)
    owner = owner.long()
    sy, sx, c, s, long, wide, ph = torch.stack([cy, cx, cosine, sine, half_length, half_width, phase]).flatten(1)[:, owner]
    along, v = ((x - sx) * c + (y - sy) * s) / long, (y - sy) * c - (x - sx) * s
    bristle = torch.sin(v * 2.6 + ph) * 0.5 + torch.sin(v * 4.1 + 2.3 * ph) * 0.5
    # Paint is pushed aside and ahead.
    height = (0.55 + 0.25 * (v / wide).abs().clamp(max=1) ** 3 + 0.3 * bristle) * (0.75 + 0.25 * along.clamp(-1, 1))
    paint = (picture[:, rows, columns] * (1 + 0.07 * shade) + 0.03 * shade).flatten(1)
    return Layer(paint[:, owner], height.clamp(0, 1), (best >= 0).float())


BODY = Brush(length=25, width=8.5, shortest=0.5, seed=5)
DETAIL = Brush(length=13, width=4.5, shortest=0.7, seed=8)


def oil(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Thick brush strokes along the form, small ones above where the picture has detail, lit from the upper left."""
    grey = luminance(picture)
    angle, _ = flow(grey, 4)
    rows, columns = gradients(smooth(grey, 1))
    busy = (smooth(torch.hypot(rows, columns), 3) * 22).clamp(0, 1)
    strong = saturate(picture, 1.3).clamp(0, 1)
    painted = saturate(kuwahara(picture, 3), 1.3).clamp(0, 1)
    height = torch.full_like(grey, 0.3)
    for depth, layer in enumerate([lay(painted, angle, busy, BODY), lay(strong, angle, busy, DETAIL, busy)]):
        painted = torch.lerp(painted, layer.colour, layer.cover.expand_as(painted))
        height = torch.where(layer.cover > 0, layer.height + 0.25 * depth, height)
    rows, columns = gradients(height)
    lit = (-rows - columns) * 0.3
    return painted * (1 + lit + 0.14 * (height - 0.6)) + 0.3 * lit.clamp(0, 1)
