"""What the denoiser is shown: noisy latents of drawn pictures, their captions, and what to see in them.

Two kinds of samples are mixed, both with the plain noise schedule:

* plain: a picture, noised, with its caption (12 % with the empty caption, for guidance);
* restyled: what img2img meets. The latents hold something between the *plain version of the same scene* (the
  starter) and the wanted look, and the caption names the wanted look. The network learns to see in them a picture
  that is a little nearer to the wanted look than what is there:

      latents = signal * between + noise * gaussian,    clean = between + pull(t) * (wanted - between).

  Guidance multiplies the pull, step after step. The pull falls with the timestep, so that at low strength the starter
  is kept and at high strength the words decide. It is small, and it fades for a picture that is already further away
  from the look than the starter was, so that a negative prompt pushes no further than it should.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoencoder import Autoencoder, to_tensor
from captions import LookRecord, caption
from diffusion import ALPHAS_CUMPROD, NOISE, SIGNAL, TRAIN_STEPS
from groups import Groups
from render import TWINS
from tokenizer import Tokenizer
from training import autocast

#: Share of samples with the empty caption.
EMPTY_CAPTIONS = 0.12
#: Windows begin at multiples of so many latents, so that the stones and triangles of a style stay where they were.
LATTICE = 4
#: Share of captions that name only the look.
LOOK_ONLY = 0.5
#: The pull grows from 0 to its full value between these timesteps.
PULL_FROM, PULL_FULL = 100, 450


@dataclass
class Batch:
    """latents (wanted), starter [batch, channels, h, w]; ids [batch, sequence]; restyle [batch] bool: starter differs."""

    latents: Tensor
    starter: Tensor
    ids: Tensor
    restyle: Tensor


def encoder_of(autoencoder: Autoencoder, device: torch.device):
    """A function that makes latents float16 [pictures, channels, size/8, size/8] of uint8 pictures."""

    @torch.no_grad()
    def encode(pictures: np.ndarray) -> np.ndarray:
        with autocast(device):
            return autoencoder.encode(to_tensor(pictures).to(device)).half().cpu().numpy()

    return encode


def pick_starter(rng: np.random.Generator, records: list[LookRecord], version: int) -> int:
    """A version to start from: the twin or the plain one mostly, any other sometimes.

    A look without a style changes only qualities and tones, so it starts from a picture without a style.
    """
    if version in TWINS and rng.random() < 0.4:
        return sum(TWINS) - version
    if records[version]["style"] is None:
        others = [i for i, r in enumerate(records) if i != version and (i == 0 or r["style"] is None)]
        return int(rng.choice(others)) if others else version
    if version != 0 and rng.random() < 0.6:
        return 0
    return int(rng.choice([i for i in range(len(records)) if i != version]))


def draw_batch(groups: Groups, rng: np.random.Generator, tokenizer: Tokenizer, number: int, crop: int | None, restyled: float) -> Batch:
    """Random samples; with `crop`, random windows of that many latents, captioned by look alone."""
    latents, starters, ids, restyle = [], [], [], []
    for _ in range(number):
        group = rng.integers(len(groups))
        records = groups.records[group]
        version = int(rng.integers(len(records)))
        record = records[version]
        has_look = bool(record["style"] or record["qualities"] or record["tones"])
        starter = version
        if rng.random() < EMPTY_CAPTIONS:
            text = ""
        else:
            text = caption(rng, record, crop is None and rng.random() > LOOK_ONLY)
            if has_look and rng.random() < restyled:
                starter = pick_starter(rng, records, version)
        pair = groups.kept[group][[version, starter]]
        if crop is not None:
            top, left = rng.integers((pair.shape[-1] - crop) // LATTICE + 1, size=2) * LATTICE
            pair = pair[:, :, top : top + crop, left : left + crop]
        latents.append(pair[0])
        starters.append(pair[1])
        ids.append(tokenizer(text))
        restyle.append(starter != version)
    return Batch(
        torch.from_numpy(np.stack(latents)).float(),
        torch.from_numpy(np.stack(starters)).float(),
        torch.tensor(ids),
        torch.tensor(restyle),
    )


def draw_timesteps(number: int) -> Tensor:
    """Half where img2img works most (300..950), an eighth where it begins at influence 0 (850..999), the others anywhere."""
    kind, share = torch.rand(number), torch.rand(number)
    times = torch.where(kind < 0.5, 300 + share * 650, share * TRAIN_STEPS)
    return torch.where(kind > 0.875, 850 + share * 150, times).long()


def draw_ways(number: int) -> Tensor:
    """How far each picture has come from the starter (0) to the wanted look (1).

    Mostly it is still the starter or anywhere on the way. Some have gone too far, where the pull brings them back, and
    some the other way, as under a negative prompt.
    """
    kind, share = torch.rand(number), torch.rand(number)
    way = torch.where(kind < 0.30, torch.zeros(number), share)
    way = torch.where(kind > 0.68, 1 + 0.5 * share, way)
    return torch.where(kind > 0.80, -1.2 * share, way)


def noised(batch: Batch, timesteps: Tensor, full_pull: float) -> tuple[Tensor, Tensor]:
    """Noisy latents and the v they call for (see the module's docstring)."""
    number = len(timesteps)
    signal, amount = SIGNAL[timesteps].view(-1, 1, 1, 1), NOISE[timesteps].view(-1, 1, 1, 1)
    way = torch.where(batch.restyle, draw_ways(number), 1.0).view(-1, 1, 1, 1)
    pull = full_pull * ((timesteps - PULL_FROM) / (PULL_FULL - PULL_FROM)).clamp(0, 1).view(-1, 1, 1, 1)
    pull = pull * (1 + way / 0.3).clamp(-0.5, 1)
    between = torch.lerp(batch.starter, batch.latents, way)
    noise = torch.randn_like(between)
    v = signal * noise - amount * between - pull / amount * (batch.latents - between)
    return signal * between + amount * noise, v


def loss_weights(timesteps: Tensor) -> Tensor:
    """1 at high noise; falls where the signal-to-noise ratio is above 5, as errors there are hardly visible."""
    ratio = ALPHAS_CUMPROD[timesteps] / (1 - ALPHAS_CUMPROD[timesteps])
    return (ratio.clamp(max=5) + 1) / (ratio + 1)
