"""Noise schedule and samplers: plain Stable Diffusion (scaled-linear betas, 1000 steps), v-prediction."""

from __future__ import annotations

from typing import Callable

import numpy as np
import torch
from torch import Tensor

TRAIN_STEPS = 1000
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, TRAIN_STEPS, dtype=torch.float64) ** 2
ALPHAS_CUMPROD = torch.cumprod(1 - BETAS, 0).float()
#: How much of the picture and of the noise is in the latents at each timestep, [1000] each.
SIGNAL, NOISE = ALPHAS_CUMPROD.sqrt(), (1 - ALPHAS_CUMPROD).sqrt()

#: (noisy latents, timesteps [batch]) -> v-prediction
Denoiser = Callable[[Tensor, Tensor], Tensor]


def timesteps_of(steps: int, strength: float) -> list[int]:
    """The timesteps of an img2img run: spacing "leading", offset 1, the last trunc(steps * strength) of them."""
    ratio = TRAIN_STEPS // steps
    every = [step * ratio + 1 for step in reversed(range(steps))]
    return every[steps - min(int(steps * strength), steps) :]


def sample(denoise: Denoiser, starter: Tensor, noise: Tensor, steps: int, strength: float, scheduler: str = "ddim") -> Tensor:
    """img2img on normalised latents [batch, channels, h, w] with "ddim" or "dpmpp_2m"."""
    times = timesteps_of(steps, strength)
    if not times:
        return starter
    ratio = TRAIN_STEPS // steps
    latents = SIGNAL[times[0]] * starter + NOISE[times[0]] * noise
    previous: tuple[Tensor, float] | None = None
    for time in times:
        batch_time = torch.full((len(latents),), float(time), device=latents.device)
        v = denoise(latents, batch_time)
        a, s = SIGNAL[time], NOISE[time]
        clean, epsilon = a * latents - s * v, a * v + s * latents
        following = time - ratio
        a_next, s_next = (SIGNAL[following], NOISE[following]) if following >= 0 else (SIGNAL[0], NOISE[0])
        if scheduler == "ddim":
            latents = a_next * clean + s_next * epsilon
            continue
        # DPM-Solver++ 2M in the log signal-to-noise ratio
        step = float(torch.log(a_next / s_next) - torch.log(a / s))
        estimate = clean
        if previous is not None and time != times[-1]:
            r = previous[1] / step
            estimate = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * previous[0]
        latents = s_next / s * latents - a_next * float(np.expm1(-step)) * estimate
        previous = (clean, step)
    return latents
