"""What the texture of pictures is like, wherever its grains lie: how strong which frequencies are in the neighbourhood of each place, in
windows of three sizes, as in the spectral losses of vocoders (Yamamoto, Song and Kim 2020, arXiv:1910.11480), in two dimensions.

Means of errors are smallest where grain, bristles and paper are smoothed away; spectra miss them then. The cheapest grain is a dot
for every latent, as a dot has all frequencies: large windows see that it is none, and what all latents' places have in common counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Sides of the windows in pixels; they overlap by half, and three by three of them are a neighbourhood.
SIZES = (8, 16, 32)
#: Pixels that a latent stands for, in each direction, and what their common error weighs.
CELL, COMMON_WEIGHT = 8, 20
#: Variance of values in -1..1 below which nothing is seen: grain of about one level in 255.
UNSEEN = 1e-4


def log_energies(pictures: Tensor, size: int) -> Tensor:
    """Of pictures [batch, 3, H, W] in -1..1, by neighbourhood and frequency: [3 * batch, size * (size // 2 + 1), h, w].

    All frequencies of white noise have its variance.
    """
    window = torch.hann_window(size, device=pictures.device)
    window = window[:, None] * window / window.square().sum()
    planes = pictures.flatten(0, 1).unfold(1, size, size // 2).unfold(2, size, size // 2)
    spectrum = torch.fft.rfft2(planes * window)
    energies = (spectrum.real.square() + spectrum.imag.square()).flatten(3).permute(0, 3, 1, 2)
    return torch.log(F.avg_pool2d(energies, 3, stride=1) + UNSEEN)


def common_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute value of what the errors of all cells of a picture have in common, pixel by pixel: a pattern that repeats with the latents."""
    cells = (made - wanted).unflatten(3, (-1, CELL)).unflatten(2, (-1, CELL))
    common = cells.mean((2, 4))
    return (common - common.mean((2, 3), keepdim=True)).abs().mean()


def difference_of_textures(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of the log energies, and the common error. The mean colour counts too, as one of the frequencies."""
    spectra = [F.l1_loss(log_energies(made, size), log_energies(wanted, size)) for size in SIZES]
    return torch.stack(spectra).mean() + COMMON_WEIGHT * common_error(made, wanted)
