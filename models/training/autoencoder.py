"""The picture autoencoder: pictures in -1..1 to latents an eighth of their size, and back.

Fully convolutional and without normalisation layers, so a picture of any size whose sides are multiples of 8
is encoded the same way, and no row of a batch can influence another.

What latents do not say is decoded as its mean, which is smooth. So edges are made crisp again (edges.py), and for grain, paper and bristles
there is noise in the decoder, as in StyleGAN (Karras, Laine and Aila 2019, arXiv:1812.04948): both as far as the latents of a place say.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edges import with_edges

LATENT_CHANNELS = 8
VAE_SCALE_FACTOR = 8
#: Channels of the noise that grain is made of, and pixels after which it repeats, in each direction.
NOISE_CHANNELS, NOISE_PERIOD = 3, 256
#: Kinds of grain, and the sides of the kernels that make them of noise.
KINDS, KERNEL = 16, 9
#: Makes weights of a usual size mean a few levels in 255.
GRAIN_SCALE = 0.05


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


def with_grain(pictures: Tensor, grain: Tensor) -> Tensor:
    """Grain [batch, 1, H, W] brightens and darkens the colours of [batch, 3, H, W] in -1..1, and leaves their hues: it is of the same pigment."""
    light = (pictures + 1).clamp(min=0) + 0.1
    red, green, blue = light.split(1, 1)  # a sum over channels would round differently for one picture and for several
    return pictures + grain * light / ((red + green + blue) / 3)


def finished(means: Tensor, sharpness: Tensor, grain: Tensor) -> Tensor:
    """Decoded means [batch, 3, H, W] with edges and grain (sharpness and grain [batch, 1, H, W]); what surely has crisp edges has no grain."""
    return with_grain(with_edges(means, sharpness), grain * (2 - 2 * sharpness).clamp(max=1))


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


class Amounts(nn.Sequential):
    """Latents [batch, LATENT_CHANNELS, h, w] to how much there is of each kind at each pixel, [batch, kinds, 8h, 8w]: it changes slowly."""

    def __init__(self, latent_channels: int, kinds: int, channels: int, at_first: float) -> None:
        last = nn.Conv2d(channels, kinds, 1)
        nn.init.constant_(last.bias, at_first)
        super().__init__(nn.Conv2d(latent_channels, channels, 3, padding=1), ResidualBlock(channels), ResidualBlock(channels), nn.ReLU(), last)

    def forward(self, latents: Tensor) -> Tensor:
        return F.interpolate(super().forward(latents), scale_factor=VAE_SCALE_FACTOR, mode="bilinear")


class Grain(nn.Module):
    """Latents [batch, LATENT_CHANNELS, h, w] to grain [batch, 1, 8h, 8w], the changes of the brightness of pictures in -1..1.

    Kinds of filtered noise, each as strong as the latents around a place say. Filters know nothing of places, and strengths change
    slowly, so no pattern repeats with the latents. Training gets other noise each time; else it is always the same.
    """

    def __init__(self, latent_channels: int, channels: int = 64) -> None:
        super().__init__()
        # Faint at first, and everywhere: a grain's energy is its square, so from silence no step would raise it.
        self.strength = Amounts(latent_channels, KINDS, channels, 0.2)
        self.filter = nn.Conv2d(NOISE_CHANNELS, KINDS, KERNEL, bias=False)
        self.sum = nn.Conv2d(KINDS, 1, 1, bias=False)
        noise = torch.randn(1, NOISE_CHANNELS, NOISE_PERIOD, NOISE_PERIOD, generator=torch.Generator().manual_seed(0))
        wrapped = F.pad(noise, (0, KERNEL - 1, 0, KERNEL - 1), mode="circular")
        self.register_buffer("noise", wrapped.half().float())  # as a folder stores it
        nn.init.normal_(self.filter.weight, 0.0, (NOISE_CHANNELS * KERNEL**2) ** -0.5)
        nn.init.constant_(self.sum.weight, KINDS**-0.5)

    def forward(self, latents: Tensor) -> Tensor:
        strength = self.strength(latents)
        height, width = (VAE_SCALE_FACTOR * side for side in latents.shape[2:])
        if self.training:
            around = KERNEL - 1
            kinds = self.filter(torch.randn(len(latents), NOISE_CHANNELS, height + around, width + around, device=latents.device))
        else:
            repeats = [(side + NOISE_PERIOD - 1) // NOISE_PERIOD for side in (height, width)]
            kinds = self.filter(self.noise).repeat(1, 1, *repeats)[:, :, :height, :width]
        return GRAIN_SCALE * self.sum(strength * kinds)


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
        self.edges = Amounts(latent_channels, 1, 32, -1.0)
        self.grain = Grain(latent_channels)

    def forward(self, latents: Tensor) -> Tensor:
        return finished(self.layers(latents), torch.sigmoid(self.edges(latents)), self.grain(latents))


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
