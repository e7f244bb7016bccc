"""Text encoder and UNet together, as they are trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autoencoder import LATENT_CHANNELS
from text_encoder import TextEncoder
from unet import UNet

TEXT_WIDTH = 128
UNET_CHANNELS = (128, 160, 160)
#: Width of the embedded guidance scale that a distilled denoiser takes.
GUIDANCE_WIDTH = 64


class Denoiser(nn.Module):
    def __init__(self, vocab_size: int, time_cond_proj_dim: int | None = None) -> None:
        super().__init__()
        self.text_encoder = TextEncoder(vocab_size, TEXT_WIDTH)
        self.unet = UNet(LATENT_CHANNELS, UNET_CHANNELS, text_width=TEXT_WIDTH, time_cond_proj_dim=time_cond_proj_dim)

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor, timestep_cond: Tensor | None = None) -> Tensor:
        """Latents [batch, channels, h, w], timesteps [batch], ids [batch, sequence] to the v-prediction."""
        return self.unet(latents, timesteps, self.text_encoder(ids), timestep_cond)


def guidance_embedding(guidance: Tensor, width: int = GUIDANCE_WIDTH) -> Tensor:
    """diffusers' get_guidance_scale_embedding of guidance - 1: [batch] to [batch, width]."""
    frequencies = torch.exp(-math.log(10000.0) / (width // 2 - 1) * torch.arange(width // 2, device=guidance.device))
    angles = (guidance[:, None] - 1) * 1000 * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)
