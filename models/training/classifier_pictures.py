"""The pictures that the judge of styles learns from and is measured on, in files.

Both of its members see nothing but what the renderer made of its drawings and, with photographs, of those, from seeds of their own,
and never a result of the model. Some are near misses (`missed`), which are to be called `none`. What a model repaints is never as
exact as a drawing, so the one that knows statistics also sees the drawings softened, and the network mostly sees them as `disturbed`
leaves them.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import checkpoint
from autoencoder import Autoencoder, to_tensor
from classifier import LABELS, NONE, Statistics
from filters import displace, smooth
from groups import HELD_OUT_SEED
from noise import noise
from photographs import window
from render import apply_look, random_record, to_bytes
from scenes import draw_scene
from styles import STYLES
from training import autocast

NONE_SHARE = 0.15
PHOTOGRAPHS_SHARE = 0.4
MELTED_SHARE = 0.4
DISTURBED_SHARE = 0.6
CLASSIFIER_SEED = 778
BATCH = 34
#: Pictures in a file: each style equally often.
FILE = 102


def melted(scene: Tensor, rng: np.random.Generator) -> Tensor:
    """The scene [3, size, size] with its small things run together, as they do when a model repaints it."""
    size, far = scene.shape[-1], rng.uniform(0, 5)
    return displace(smooth(scene, int(rng.integers(1, 5))), far * noise(rng, size, 1.8), far * noise(rng, size, 1.8))


@torch.no_grad()
def disturbed(styled: Tensor, plain: Tensor, rng: np.random.Generator, autoencoder: Autoencoder) -> Tensor:
    """Styled pictures [batch, 3, size, size] in -1..1 and their plain scenes, as a model might have repainted them.

    In the autoencoder's latents, the style is only partly there, more in some places than in others, and there is noise,
    fine or in patches; the decoded picture is softer and lighter or darker.
    """
    number, size = len(styled), styled.shape[-1]
    with autocast(styled.device):
        latents, scene = autoencoder.encode(styled).float(), autoencoder.encode(plain).float()
    shape = latents.shape[-1]
    for row in range(number):
        share = rng.uniform(0.65, 1.05) + rng.uniform(0, 0.2) * noise(rng, shape, 1.8)
        latents[row] = torch.lerp(scene[row], latents[row], share.clamp(0.3, 1.1))
        exponent, amount = float(rng.choice([0.6, 1.2, 1.8])), rng.uniform(0, 0.22)
        latents[row] += amount * torch.stack([noise(rng, shape, exponent) for _ in range(latents.shape[1])])
    with autocast(styled.device):
        pictures = autoencoder.decode(latents).float().clamp(-1, 1)
    draw = lambda low, high: torch.from_numpy(rng.uniform(low, high, (number, 1, 1, 1)).astype(np.float32))  # noqa: E731
    soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    pictures = torch.lerp(pictures, soft, draw(-0.3, 0.6))
    return (pictures * draw(0.85, 1.15) + draw(-0.1, 0.1)).clamp(-1, 1)


def missed(scene: Tensor, styled: Tensor, rng: np.random.Generator) -> Tensor:
    """A near miss [3, size, size] in 0..1: what a model makes of a scene that has the asked-for style only half, or not at all."""
    size = scene.shape[-1]
    kind = rng.integers(5)
    if kind == 0:  # coloured blotches
        blotches = torch.stack([noise(rng, size, float(rng.choice([1.2, 1.5, 1.8]))) for _ in range(3)])
        return smooth(scene, int(rng.integers(1, 5))) + float(rng.uniform(0.04, 0.16)) * blotches + 0.02 * noise(rng, size, 0.6)
    if kind == 1:  # a shade of the style, softened
        return smooth(torch.lerp(scene, styled, float(rng.uniform(0, 0.4))), int(rng.integers(1, 4)))
    if kind == 2:  # the style, out of focus
        return smooth(styled, int(rng.integers(4, 8)))
    if kind == 3:  # squares whose colours have nothing to do with the picture
        small = F.avg_pool2d(scene[None], 8)
        return F.interpolate(small + float(rng.uniform(0.1, 0.35)) * torch.randn(small.shape), scale_factor=8.0, mode="nearest")[0]
    return smooth(melted(scene, rng), int(rng.integers(2, 5)))


@dataclass
class Drawn:
    """Pictures uint8 [number, size, size, 3], their plain scenes and the numbers of their styles."""

    pictures: np.ndarray
    scenes: np.ndarray
    labels: Tensor

    def disturbed(self, rng: np.random.Generator, autoencoder: Autoencoder, number: int) -> Tensor:
        """The pictures [number, 3, size, size] in -1..1, the first `number` of them disturbed."""
        pictures, scenes = to_tensor(self.pictures), to_tensor(self.scenes)
        changed = [disturbed(pictures[rows], scenes[rows], rng, autoencoder) for rows in torch.arange(number).split(BATCH)]
        return torch.cat([*changed, pictures[number:]])


def draw_styled(
    rng: np.random.Generator, size: int, number: int, melt: float, photographs: Path | None = None, share: float = 0, held_out: bool = False
) -> Drawn:
    """Every style equally often, some with a quality too; the share `melt` of the scenes is melted before, and `share` is photographs.

    A share of NONE_SHARE is near misses, save where all is `held_out`.
    """
    pictures, scenes, labels = [], [], []
    for index in range(number):
        if index % 3 == 0:
            if rng.random() < share:
                (scene, content), photograph_like = window(rng, size, photographs, held_out), True
            else:
                scene, content, photograph_like = draw_scene(rng, size)
            scene = scene.clamp(0, 1)
            source = melted(scene, rng) if rng.random() < melt else scene
        label = index % len(STYLES)
        record = {**random_record(rng, content), "style": LABELS[label], "tones": []}
        # What blurs or simplifies takes a style away.
        record["qualities"] = [key for key in record["qualities"] if key not in ("blurry", "simple")] if rng.random() < 0.2 else []
        styled = apply_look(source, rng, record, photograph_like)
        if not held_out and rng.random() < NONE_SHARE:
            styled, label = missed(scene, styled, rng), LABELS.index(NONE)
        pictures.append(to_bytes(styled))
        scenes.append(to_bytes(source))
        labels.append(label)
    return Drawn(np.stack(pictures), np.stack(scenes), torch.tensor(labels))


def softened(pictures: Tensor) -> Tensor:
    """The pictures, softer or with noise."""
    soft = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear")
    pictures = torch.lerp(pictures, soft, torch.rand(len(pictures), 1, 1, 1))
    return pictures + torch.randn_like(pictures) * 0.06 * torch.rand(len(pictures), 1, 1, 1)


@dataclass
class Seen:
    """What a file holds: pictures uint8 [number, 3, size, size], the numbers of their styles, and statistics of the same drawings.

    `features` [2 * number, n] are of the drawings as they are, then softened.
    """

    pictures: Tensor
    labels: Tensor
    features: Tensor


def to_uint8(pictures: Tensor) -> Tensor:
    return ((pictures + 1) * 127.5).round().clamp(0, 255).byte()


def from_uint8(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


@dataclass(frozen=True)
class Files:
    """A folder of files, each made once by one of other processes and found again after a pause."""

    folder: Path
    autoencoder: Path
    photographs: Path | None

    def to_learn_from(self, executor: Executor, size: int, number: int) -> Seen:
        """At least `number` pictures."""
        parts = self._made(executor, [(f"{size}-{i:03d}", draw_to_learn_from, (size, i)) for i in range(-(-number // FILE))])
        pictures, labels, features = (torch.cat(part) for part in zip(*parts))
        as_they_are, softer = zip(*(part[2].chunk(2) for part in parts))
        return Seen(pictures, labels, torch.cat([*as_they_are, *softer]))

    def held_out(self, executor: Executor, number: int) -> dict[str, tuple[Tensor, Tensor]]:
        """By name pictures of 256 pixels and the numbers of their styles, which no training saw."""
        kinds = ["drawings", *(["photographs"] if self.photographs else [])]
        parts = self._made(executor, [(f"held-out-{kind}-{number}", draw_held_out, (kind, number)) for kind in kinds])
        return {name: test for part in parts for name, test in part.items()}

    def _made(self, executor: Executor, wanted: list[tuple[str, Callable, tuple]]) -> list:
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = [self.folder / f"{name}.pt" for name, _, _ in wanted]
        missing = [(path, make, details) for path, (_, make, details) in zip(paths, wanted) if not path.exists()]
        for made in [executor.submit(_write, path, make, self, *details) for path, make, details in missing]:
            made.result()
        return [torch.load(path) for path in paths]

    def load_autoencoder(self) -> Autoencoder:
        autoencoder = Autoencoder().eval()
        checkpoint.load_average(self.autoencoder, autoencoder)
        return autoencoder


def _write(path: Path, make: Callable, files: Files, *details: object) -> None:
    torch.save(make(files, *details), path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


@torch.no_grad()
def draw_to_learn_from(files: Files, size: int, index: int) -> list[Tensor]:
    """Pictures, labels and features of one file."""
    rng = np.random.default_rng([CLASSIFIER_SEED, size, index])
    torch.manual_seed(index)
    drawn = draw_styled(rng, size, FILE, MELTED_SHARE, files.photographs, PHOTOGRAPHS_SHARE if files.photographs else 0)
    statistics, pictures = Statistics(), to_tensor(drawn.pictures)
    features = [statistics(change(batch)) for change in (lambda same: same, softened) for batch in pictures.split(BATCH)]
    # Any of them, not the first ones: they show three scenes in turn.
    order = torch.randperm(FILE)
    drawn = Drawn(drawn.pictures[order], drawn.scenes[order], drawn.labels)
    seen = drawn.disturbed(rng, files.load_autoencoder(), int(DISTURBED_SHARE * FILE))
    return [to_uint8(seen)[order.argsort()], drawn.labels, torch.cat(features)]


def draw_held_out(files: Files, kind: str, number: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Pictures and labels: photographs in every style, or drawings, as they are, disturbed, and as near misses."""
    torch.manual_seed(0)
    rng = np.random.default_rng([HELD_OUT_SEED, 2])
    drawn = draw_styled(rng, 256, number, 0, files.photographs, 1 if kind == "photographs" else 0, held_out=True)
    pictures = to_tensor(drawn.pictures)
    if kind == "photographs":
        return {"photographs": (to_uint8(pictures), drawn.labels)}
    pairs = zip((to_tensor(drawn.scenes) + 1) / 2, (pictures + 1) / 2)
    misses = torch.stack([missed(scene, styled, rng) for scene, styled in pairs]).clamp(0, 1) * 2 - 1
    return {
        "untouched": (to_uint8(pictures), drawn.labels),
        "disturbed": (to_uint8(drawn.disturbed(rng, files.load_autoencoder(), number)), drawn.labels),
        "misses": (to_uint8(misses), torch.full((number,), LABELS.index(NONE))),
    }
