"""Noise schedule and samplers: Stable Diffusion's scaled-linear betas in 1000 steps, v-prediction.

The last beta is 0.007, not 0.012: latents are 32x32 where Stable Diffusion's are 64x64, and the same noise hides more of
a picture that is stored in fewer numbers. So a starter keeps its shapes at the strengths at which one expects it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable

import numpy as np
import torch
from torch import Tensor

TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.007
BETAS = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=torch.float64) ** 2
ALPHAS_CUMPROD = torch.cumprod(1 - BETAS, 0).float()
#: How much of the picture and of the noise is in the latents at each timestep, [1000] each.
SIGNAL, NOISE = ALPHAS_CUMPROD.sqrt(), (1 - ALPHAS_CUMPROD).sqrt()


@lru_cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    return SIGNAL.to(device), NOISE.to(device)


def signal_and_noise(timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """How much of both is in the latents at timesteps [batch], where those are."""
    signal, noise = _tables(timesteps.device)
    return signal[timesteps], noise[timesteps]



#: (noisy latents, timesteps [batch]) -> v-prediction
Denoiser = Callable[[Tensor, Tensor], Tensor]


def timesteps_of(steps: int, strength: float) -> list[int]:
    """The timesteps of an img2img run: spacing "leading", offset 1, the last trunc(steps * strength) of them."""
    ratio = TRAIN_STEPS // steps
    every = [step * ratio + 1 for step in reversed(range(steps))]
    return every[steps - min(int(steps * strength), steps) :]


def noised_to(clean: Tensor, noise: Tensor, timestep: int) -> Tensor:
    """Latents at a timestep."""
    return SIGNAL[timestep] * clean + NOISE[timestep] * noise


def solve(denoise: Denoiser, latents: Tensor, times: list[int], scheduler: str = "dpmpp_2m") -> tuple[Tensor, list[Tensor]]:
    """From latents at times[0] down to clean ones with "ddim" or "dpmpp_2m"; also the latents at every time."""
    previous: tuple[Tensor, float] | None = None
    states = []
    for time, following in zip(times, [*times[1:], 0]):
        states.append(latents)
        v = denoise(latents, torch.full((len(latents),), float(time), device=latents.device))
        a, s = SIGNAL[time], NOISE[time]
        clean, epsilon = a * latents - s * v, a * v + s * latents
        a_next, s_next = SIGNAL[following], NOISE[following]
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
    return latents, states


def sample(denoise: Denoiser, starter: Tensor, noise: Tensor, steps: int, strength: float, scheduler: str = "ddim") -> Tensor:
    """img2img on normalised latents [batch, channels, h, w]."""
    times = timesteps_of(steps, strength)
    return solve(denoise, noised_to(starter, noise, times[0]), times, scheduler)[0] if times else starter


def lcm_timesteps(steps: int, strength: float, original_steps: int = 50) -> list[int]:
    """The timesteps of diffusers' LCMScheduler: `steps` of the original schedule's share `strength`."""
    ratio = TRAIN_STEPS // original_steps
    origin = (np.arange(1, int(original_steps * strength) + 1) * ratio - 1)[::-1]
    return [int(origin[i]) for i in np.floor(np.linspace(0, len(origin), num=steps, endpoint=False)).astype(int)]


def sample_lcm(denoise: Denoiser, starter: Tensor, steps: int, strength: float, generator: torch.Generator) -> Tensor:
    """img2img with a distilled network: predict clean latents, noise them again for the next, lower timestep."""
    latents = starter
    for time in lcm_timesteps(steps, strength):
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        noisy = noised_to(latents, noise, time)
        v = denoise(noisy, torch.full((len(noisy),), float(time), device=noisy.device))
        latents = SIGNAL[time] * noisy - NOISE[time] * v
    return latents
