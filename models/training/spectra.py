"""What the texture of pictures is like, wherever its grains lie: how strong which frequencies of brightness are in the neighbourhood of
each place, in windows of two sizes, as in the spectral losses of vocoders (Yamamoto, Song and Kim 2020, arXiv:1910.11480), in two dimensions.

Means of errors are smallest where grain, bristles and paper are smoothed away; spectra miss them then.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Sides of the windows in pixels; they overlap by half, and three by three of them are a neighbourhood.
SIZES = (8, 16)
#: Variance of values in -1..1 below which nothing is seen: grain of about one level in 255.
UNSEEN = 1e-4
#: What too much counts beside too little: noise is seen more than smoothness, and lost edges are no reason for it.
TOO_MUCH = 2


def log_energies(pictures: Tensor, size: int) -> Tensor:
    """Of pictures [batch, 3, H, W] in -1..1, by neighbourhood and frequency: [batch, size * (size // 2 + 1), h, w].

    All frequencies of white noise have its variance.
    """
    window = torch.hann_window(size, device=pictures.device)
    window = window[:, None] * window / window.square().sum()
    windows = pictures.mean(1).unfold(1, size, size // 2).unfold(2, size, size // 2)
    spectrum = torch.fft.rfft2(windows * window)
    energies = (spectrum.real.square() + spectrum.imag.square()).flatten(3).permute(0, 3, 1, 2)
    return torch.log(F.avg_pool2d(energies, 3, stride=1) + UNSEEN)


def difference_of_textures(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of the log energies, more where there is too much. The mean brightness counts too, as one of the frequencies."""
    differences = [log_energies(made, size) - log_energies(wanted, size) for size in SIZES]
    return torch.stack([torch.where(each > 0, TOO_MUCH * each, -each).mean() for each in differences]).mean()
