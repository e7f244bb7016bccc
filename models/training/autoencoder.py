"""The picture autoencoder: pictures in -1..1 to latents an eighth of their size, and back.

Fully convolutional and without normalisation layers, so a picture of any size whose sides are multiples of 8
is encoded the same way, and no row of a batch can influence another.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT_CHANNELS = 8
VAE_SCALE_FACTOR = 8


def to_tensor(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [batch, H, W, 3] to [batch, 3, H, W] in -1..1."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(pictures: Tensor) -> np.ndarray:
    """[batch, 3, H, W] in -1..1 to uint8 [batch, H, W, 3]."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input. The second starts near zero, so a new block is an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.conv2.weight, 0.0, 1e-3)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv2(F.relu(self.conv1(F.relu(hidden))))


class Encoder(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to latents [batch, LATENT_CHANNELS, H/8, W/8]."""

    def __init__(self, latent_channels: int = LATENT_CHANNELS, channels: tuple[int, int] = (64, 128)) -> None:
        super().__init__()
        quarter, eighth = channels
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, quarter, 3, padding=1),
            ResidualBlock(quarter),
            ResidualBlock(quarter),
            nn.Conv2d(quarter, eighth, 3, stride=2, padding=1),
            ResidualBlock(eighth),
            ResidualBlock(eighth),
            nn.ReLU(),
            nn.Conv2d(eighth, latent_channels, 3, padding=1),
        )

    def forward(self, picture: Tensor) -> Tensor:
        return self.layers(picture)


class Decoder(nn.Module):
    """Latents [batch, LATENT_CHANNELS, h, w] to pictures [batch, 3, 8h, 8w], about -1..1 (not clamped)."""

    def __init__(self, latent_channels: int = LATENT_CHANNELS, channels: tuple[int, int, int] = (48, 80, 160)) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.layers = nn.Sequential(
            nn.Conv2d(latent_channels, eighth, 3, padding=1),
            ResidualBlock(eighth),
            ResidualBlock(eighth),
            ResidualBlock(eighth),
            nn.Conv2d(eighth, 4 * quarter, 1),
            nn.PixelShuffle(2),
            ResidualBlock(quarter),
            ResidualBlock(quarter),
            nn.Conv2d(quarter, 4 * half, 1),
            nn.PixelShuffle(2),
            ResidualBlock(half),
            nn.ReLU(),
            nn.Conv2d(half, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents)


class Autoencoder(nn.Module):
    """Encoder, decoder and the statistics that bring latents to zero mean and unit variance.

    `latent_mean` [channels] and `latent_std` [] are measured after training (see train_autoencoder.py).
    """

    def __init__(self, latent_channels: int = LATENT_CHANNELS) -> None:
        super().__init__()
        self.encoder = Encoder(latent_channels)
        self.decoder = Decoder(latent_channels)
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(()))

    def encode(self, picture: Tensor) -> Tensor:
        """Pictures in -1..1 to normalised latents (zero mean, unit variance)."""
        return (self.encoder(picture) - self.latent_mean.view(1, -1, 1, 1)) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents to pictures in about -1..1."""
        return self.decoder(latents * self.latent_std + self.latent_mean.view(1, -1, 1, 1))
