"""Random fields that scenes and styles share: 1/f noise, and pictures cut into cells.

Fields are made once per process on a large torus and cropped, flipped and transposed at every use, which costs
next to nothing. All randomness comes from the `numpy.random.Generator` given to each function.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FIELD_SIZE = 768
FIELDS_PER_KIND = 6
#: Pixels after which what lies still in the picture repeats: the denoiser's coarsest grid.
LATTICE = 32


@lru_cache(maxsize=None)
def _noise_fields(exponent: float) -> list[Tensor]:
    """Fields [FIELD_SIZE, FIELD_SIZE] whose amplitude falls as frequency**-exponent; 0 mean, unit deviation."""
    rng = np.random.default_rng(int(exponent * 1000))
    frequency = np.fft.fftfreq(FIELD_SIZE)
    radius = np.hypot(frequency[:, None], frequency[None])
    # Below five waves per field the spectrum is level, so that a crop is not just a slope.
    radius = np.maximum(radius, 5.0 / FIELD_SIZE)
    fields = []
    for _ in range(FIELDS_PER_KIND):
        spectrum = np.fft.fft2(rng.standard_normal((FIELD_SIZE, FIELD_SIZE))) / radius**exponent
        field = np.real(np.fft.ifft2(spectrum))
        fields.append(torch.from_numpy(((field - field.mean()) / field.std()).astype(np.float32)))
    return fields


def noise(rng: np.random.Generator, size: int, exponent: float) -> Tensor:
    """A crop [size, size] of 1/f noise. Exponent 0.6 is grain, 1.2 is texture, 1.8 is clouds, 2.6 is smooth."""
    field = _noise_fields(exponent)[rng.integers(FIELDS_PER_KIND)]
    top, left = rng.integers(FIELD_SIZE - size + 1, size=2)
    field = field[top : top + size, left : left + size]
    if rng.random() < 0.5:
        field = field.flip(0)
    if rng.random() < 0.5:
        field = field.T
    return field


@lru_cache(maxsize=None)
def lattice_noise(size: int, shortest: float, longest: float, seed: int = 0) -> Tensor:
    """Noise [size, size] with waves of `shortest` to `longest` pixels that repeats every LATTICE, at the same place in every picture.

    0 mean, unit deviation. A network whose coarsest grid is as wide can know it by heart. Shared: not to be changed in place.
    """
    frequency = np.fft.fftfreq(LATTICE)
    radius = np.hypot(frequency[:, None], frequency[None])
    band = (radius <= 1 / shortest + 1e-6) & (radius >= 1 / longest - 1e-6)
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((LATTICE, LATTICE))) * band
    tile = np.real(np.fft.ifft2(spectrum))
    repeats = -(-size // LATTICE)
    return torch.from_numpy((tile / tile.std()).astype(np.float32)).tile(repeats, repeats)[:size, :size]


@dataclass
class Cells:
    """A cut of the plane into cells.

    index: [size, size] int64, the cell of each pixel.
    centres: [cells, 2] float, row and column of each cell, in pixels of the same grid (may lie outside it).
    border: [size, size] float, distance to the nearest other cell in pixels.
    """

    index: Tensor
    centres: Tensor
    border: Tensor

    def crop(self, rng: np.random.Generator, size: int, step: int = 1) -> "Cells":
        """A random window, moved by multiples of `step` pixels."""
        room = (self.index.shape[0] - size) // step + 1
        top, left = (int(v) * step for v in rng.integers(room, size=2))
        window = (slice(top, top + size), slice(left, left + size))
        return Cells(self.index[window], self.centres - torch.tensor([top, left]), self.border[window])


def _voronoi(rng: np.random.Generator, cell: tuple[float, float], angle: float, jitter: float, warp: float) -> Cells:
    """Voronoi cells around a jittered lattice of `cell` pixels, turned by `angle` and bent by smooth noise."""
    size = FIELD_SIZE
    rows, columns = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    if warp:
        rows = rows + warp * noise(rng, size, 2.6)
        columns = columns + warp * noise(rng, size, 2.6)
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    along = (rows * cosine + columns * sine) / cell[0] + 1000
    across = (columns * cosine - rows * sine) / cell[1] + 1000
    base_along, base_across = along.floor(), across.floor()
    lattice = 2048
    offsets = torch.from_numpy(rng.uniform(0.5 - jitter / 2, 0.5 + jitter / 2, (2, lattice, lattice)).astype(np.float32))
    nearest = torch.full((size, size), 1e9)
    second = torch.full((size, size), 1e9)
    owner = torch.zeros((size, size), dtype=torch.int64)
    for step_along in (-1, 0, 1):
        for step_across in (-1, 0, 1):
            i, j = (base_along + step_along).long(), (base_across + step_across).long()
            distance = torch.hypot(
                (i + offsets[0][i, j] - along) * cell[0], (j + offsets[1][i, j] - across) * cell[1]
            )
            closer = distance < nearest
            second = torch.where(closer, nearest, torch.minimum(second, distance))
            nearest = torch.where(closer, distance, nearest)
            owner = torch.where(closer, i * lattice + j, owner)
    cells, index = owner.unique(return_inverse=True)
    i, j = cells // lattice, cells % lattice
    along = (i + offsets[0][i, j] - 1000) * cell[0]
    across = (j + offsets[1][i, j] - 1000) * cell[1]
    centres = torch.stack([along * cosine - across * sine, along * sine + across * cosine], 1)
    return Cells(index, centres, (second - nearest) / 2)


def _triangles(rng: np.random.Generator, cell: int, jitter: float) -> Cells:
    """Squares of `cell` pixels, corners moved by up to `jitter`, each cut into triangles 2n (upper left) and 2n + 1."""
    size = FIELD_SIZE
    corners = torch.from_numpy(rng.uniform(-jitter, jitter, (1, 2, size // cell + 1, size // cell + 1)).astype(np.float32))
    moved = F.interpolate(corners, (size + 1, size + 1), mode="bilinear", align_corners=True)[0, :, :size, :size]
    rows, columns = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    u, v = (rows + moved[0]) / cell + 1, (columns + moved[1]) / cell + 1
    i, j = u.floor(), v.floor()
    number = int(j.max()) + 1
    index = (i.long() * number + j.long()) * 2 + (u - i + v - j > 1).long()
    counts = torch.bincount(index.flatten()).clamp(min=1).float()
    centres = torch.stack([torch.bincount(index.flatten(), axis.flatten()) / counts for axis in (rows, columns)], 1)
    return Cells(index, centres.float(), torch.full((size, size), 9.0))


_CELL_KINDS = {
    # kind: (rows, columns of a cell in pixels, jitter, warp)
    "glass": (22.0, 22.0, 0.85, 0.0),
    "leaves": (30.0, 30.0, 0.95, 4.0),
    "mosaic": (8.0, 8.0, 0.12, 0.0),
    "strokes": (22.0, 7.0, 0.9, 14.0),
}
#: Kinds on a lattice of so many pixels, which lies still in the picture: where it is not to be guessed, it is learnt.
_LATTICE_STEPS = {"mosaic": 8, "triangles": 32}


@lru_cache(maxsize=None)
def _cell_fields(kind: str) -> list[Cells]:
    rng = np.random.default_rng(sum(kind.encode()))
    if kind == "triangles":
        return [_triangles(rng, _LATTICE_STEPS[kind], 5.0) for _ in range(3)]
    rows, columns, jitter, warp = _CELL_KINDS[kind]
    angles = rng.uniform(0, np.pi, 4) if kind != "mosaic" else [0.0, 0.0]
    return [_voronoi(rng, (rows, columns), float(angle), jitter, warp) for angle in angles]


def cells(rng: np.random.Generator, size: int, kind: str) -> Cells:
    """A crop [size, size] of cells: "glass", "leaves", "mosaic" (8 px squares), "strokes" or "triangles" (half squares of 32 px)."""
    fields = _cell_fields(kind)
    return fields[rng.integers(len(fields))].crop(rng, size, step=_LATTICE_STEPS.get(kind, 1))


def paint_cells(picture: Tensor, pieces: Cells) -> Tensor:
    """Give every cell the colour that `picture` [3, size, size] has at its centre."""
    limit = picture.shape[-1] - 1
    rows, columns = pieces.centres.long().clamp(0, limit).unbind(1)
    return picture[:, rows, columns][:, pieces.index]
