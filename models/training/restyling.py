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
from typing import Callable

import numpy as np
import torch
from torch import Tensor

from autoencoder import Autoencoder, to_tensor
from captions import LookRecord, caption
from diffusion import TRAIN_STEPS, signal_and_noise
from groups import Groups
from render import TWINS, VERSIONS
from tokenizer import Tokenizer
from training import autocast

#: Share of samples with the empty caption.
EMPTY_CAPTIONS = 0.12
#: Windows begin at multiples of so many latents, so that the stones and triangles of a style stay where they were.
LATTICE = 4
#: Share of captions that name only the look.
LOOK_ONLY = 0.5
#: Captions and starters to choose from for each picture.
SAYINGS = 4
#: The pull grows from 0 to its full value between these timesteps.
PULL_FROM, PULL_FULL = 100, 450


@dataclass
class Batch:
    """latents (wanted), starter float16 [batch, channels, h, w]; ids int16 [batch, sequence]; restyle [batch] bool: starter differs."""

    latents: Tensor
    starter: Tensor
    ids: Tensor
    restyle: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same in float32 and int64 there; a GPU goes on computing meanwhile."""
        parts = (self.latents, self.starter, self.ids, self.restyle)
        if device.type == "cuda":
            parts = tuple(part.pin_memory() for part in parts)
        latents, starter, ids, restyle = (part.to(device, non_blocking=True) for part in parts)
        return Batch(latents.float(), starter.float(), ids.long(), restyle)


def encoder_of(autoencoder: Autoencoder, device: torch.device):
    """A function that makes latents float16 [pictures, channels, size/8, size/8] of uint8 pictures."""

    @torch.no_grad()
    def encode(pictures: np.ndarray) -> np.ndarray:
        with autocast(device):
            return autoencoder.encode(to_tensor(pictures, device)).half().cpu().numpy()

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


@dataclass
class Sayings:
    """What may be said of the pictures of a group, drawn once, as that takes longer than to look it up.

    ids [VERSIONS, 2, SAYINGS, sequence]: captions of the look alone, then with the content; starters [VERSIONS, SAYINGS]: versions to
    start from (the picture itself where it has no look).
    """

    ids: np.ndarray
    starters: np.ndarray


def describer(tokenizer: Tokenizer) -> Callable[[np.random.Generator, list[LookRecord]], Sayings]:
    """For Groups: the sayings of a group's records."""

    def describe(rng: np.random.Generator, records: list[LookRecord]) -> Sayings:
        ids = [[[tokenizer(caption(rng, record, content)) for _ in range(SAYINGS)] for content in (False, True)] for record in records]
        starters = [
            [pick_starter(rng, records, version) if record["style"] or record["qualities"] or record["tones"] else version for _ in range(SAYINGS)]
            for version, record in enumerate(records)
        ]
        return Sayings(np.array(ids, np.int16), np.array(starters))

    return describe


def draw_batch(groups: Groups, rng: np.random.Generator, tokenizer: Tokenizer, number: int, crop: int | None, restyled: float) -> Batch:
    """Random samples of groups with Sayings; with `crop`, random windows of that many latents, captioned by look alone."""
    empty = np.array(tokenizer(""), np.int16)
    chosen, saying = rng.integers(len(groups), size=number), rng.integers(SAYINGS, size=number)
    versions = rng.integers(VERSIONS, size=number)
    unsaid = rng.random(number) < EMPTY_CAPTIONS
    with_content = rng.random(number) > (LOOK_ONLY if crop is None else 1)
    changed = ~unsaid & (rng.random(number) < restyled)
    places = rng.random((number, 2))
    latents, starters, ids, restyle = [], [], [], []
    for row, (group, version) in enumerate(zip(chosen, versions)):
        said = groups.said[group]
        starter = said.starters[version, saying[row]] if changed[row] else version
        kept = groups.kept[group]
        if crop is not None:
            top, left = (int(place * ((kept.shape[-1] - crop) // LATTICE + 1)) * LATTICE for place in places[row])
            kept = kept[:, :, top : top + crop, left : left + crop]
        latents.append(kept[version])
        starters.append(kept[starter])
        ids.append(empty if unsaid[row] else said.ids[version, int(with_content[row]), saying[row]])
        restyle.append(starter != version)
    return Batch(*(torch.from_numpy(np.stack(values)) for values in (latents, starters, ids, restyle)))


def draw_timesteps(number: int, device: torch.device) -> Tensor:
    """Half where img2img works most (300..950), an eighth where it begins at influence 0 (850..999), the others anywhere."""
    kind, share = torch.rand(2, number, device=device)
    times = torch.where(kind < 0.5, 300 + share * 650, share * TRAIN_STEPS)
    return torch.where(kind > 0.875, 850 + share * 150, times).long()


def draw_ways(number: int, device: torch.device) -> Tensor:
    """How far each picture has come from the starter (0) to the wanted look (1).

    Mostly it is still the starter or anywhere on the way. Some have gone too far, where the pull brings them back, and
    some the other way, as under a negative prompt.
    """
    kind, share = torch.rand(2, number, device=device)
    way = torch.where(kind < 0.30, 0.0, share)
    way = torch.where(kind > 0.68, 1 + 0.5 * share, way)
    return torch.where(kind > 0.80, -1.2 * share, way)


def noised(batch: Batch, timesteps: Tensor, full_pull: float) -> tuple[Tensor, Tensor]:
    """Noisy latents and the v they call for (see the module's docstring), where the batch is."""
    number = len(timesteps)
    signal, amount = (table.view(-1, 1, 1, 1) for table in signal_and_noise(timesteps))
    way = torch.where(batch.restyle, draw_ways(number, timesteps.device), 1.0).view(-1, 1, 1, 1)
    pull = full_pull * ((timesteps - PULL_FROM) / (PULL_FULL - PULL_FROM)).clamp(0, 1).view(-1, 1, 1, 1)
    pull = pull * (1 + way / 0.3).clamp(-0.5, 1)
    between = torch.lerp(batch.starter, batch.latents, way)
    noise = torch.randn_like(between)
    v = signal * noise - amount * between - pull / amount * (batch.latents - between)
    return signal * between + amount * noise, v


def loss_weights(timesteps: Tensor) -> Tensor:
    """1 at high noise; falls where the signal-to-noise ratio is above 5, as errors there are hardly visible."""
    signal, noise = signal_and_noise(timesteps)
    ratio = (signal / noise).square()
    return (ratio.clamp(max=5) + 1) / (ratio + 1)
