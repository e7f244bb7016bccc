"""The picture autoencoder: pictures in -1..1 to latents an eighth of their size, and back.

Fully convolutional and without normalisation layers, so a picture of any size whose sides are multiples of 8
is encoded the same way, and no row of a batch can influence another.

Grain, paper and bristles do not fit into latents: the decoder makes them from noise that lies in it, as in StyleGAN
(Karras, Laine and Aila 2019, arXiv:1812.04948). Without, it makes them of what it has, a dot for every latent.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT_CHANNELS = 8
VAE_SCALE_FACTOR = 8
#: Channels of the decoder's noise, and the pixels of a picture after which it repeats.
NOISE_CHANNELS, NOISE_PERIOD = 8, 256


def to_tensor(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [batch, H, W, 3] to [batch, 3, H, W] in -1..1."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(pictures: Tensor) -> np.ndarray:
    """[batch, 3, H, W] in -1..1 to uint8 [batch, H, W, 3]."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


class Noise(nn.Module):
    """Normal noise of unit variance, mixed into [channels]: other noise for each call and row in training, else always the same,
    repeated after `size` places in each direction. Starts silent.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        tile = torch.randn(1, NOISE_CHANNELS, size, size, generator=torch.Generator().manual_seed(size))
        self.register_buffer("tile", tile.half().float())  # as a folder stores it
        self.mix = nn.Conv2d(NOISE_CHANNELS, channels, 1, bias=False)
        nn.init.zeros_(self.mix.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """What to add to [batch, channels, h, w]: [batch, channels, h, w] in training, else [1, channels, h, w]."""
        height, width = hidden.shape[2:]
        if self.training:
            return self.mix(torch.randn(len(hidden), NOISE_CHANNELS, height, width, device=hidden.device))
        repeats = [(side + self.size - 1) // self.size for side in (height, width)]
        return self.mix(self.tile.repeat(1, 1, *repeats)[:, :, :height, :width])


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input. The second starts near zero, so a new block is an identity.

    Noise comes before the activation between them: what the first one says of a place decides whether any passes.
    """

    def __init__(self, channels: int, noise_size: int | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.conv2.weight, 0.0, 1e-3)
        nn.init.zeros_(self.conv2.bias)
        self.noise = None if noise_size is None else Noise(channels, noise_size)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.conv1(F.relu(hidden))
        if self.noise is not None:
            inner = inner + self.noise(inner)
        return hidden + self.conv2(F.relu(inner))


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
            ResidualBlock(quarter, NOISE_PERIOD // 4),
            nn.Conv2d(quarter, 4 * half, 1),
            nn.PixelShuffle(2),
            ResidualBlock(half, NOISE_PERIOD // 2),
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
