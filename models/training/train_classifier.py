"""Train the small classifier that `npm run models:eval` asks which style a picture is in.

    python train_classifier.py --autoencoder runs/autoencoder --out runs/classifier

It is a committee of two that are mistaken about different things: one knows fixed statistics of a picture, the other is a
small convolutional network. Both see nothing but what the renderer made of its drawings and, with --photographs, of photographs,
from seeds of their own, and never a result of the model. Some are near misses (`missed`), which are to be called `none`. What a model repaints is never as exact as a drawing, so the first also sees the drawings softened, and the
second mostly sees them as `disturbed` leaves them. The committee's accuracy is printed by style, on held-out drawings of 256 pixels,
untouched and disturbed, on held-out photographs in every style, and on near misses. Writes classifier.onnx and labels.json to OUT.
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import checkpoint
from autoencoder import Autoencoder, to_tensor
from export import store_as_float16
from filters import displace, smooth
from groups import HELD_OUT_SEED
from noise import noise
from photographs import window
from render import apply_look, random_record, to_bytes
from scenes import draw_scene
from styles import STYLES
from training import autocast

#: What is in none of the styles, or not enough: a smear is no watercolour.
NONE = "none"
LABELS = [*STYLES, NONE]
NONE_SHARE = 0.15
PHOTOGRAPHS_SHARE = 0.4
CLASSIFIER_SEED = 778
BATCH = 34


def cosine_filters(size: int = 8) -> Tensor:
    """The size*size patterns of the discrete cosine transform: [size * size, 1, size, size]."""
    place = (torch.arange(size) + 0.5) * math.pi / size
    waves = torch.stack([torch.cos(place * frequency) for frequency in range(size)]) * (2 / size) ** 0.5
    waves[0] *= 0.5**0.5
    return torch.einsum("uy,vx->uvyx", waves, waves).reshape(size * size, 1, size, size)


class Statistics(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to numbers [batch, n] that do not depend on their size."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("patterns", cosine_filters())
        # Brightness and two colour differences.
        self.register_buffer("axes", torch.tensor([[0.30, 0.59, 0.11], [0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]])[:, :, None, None])
        self.register_buffer("levels", torch.linspace(-0.9, 0.9, 8).view(1, -1, 1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        planes = F.conv2d(picture, self.axes)
        parts = []
        for plane in (planes[:, :1], planes[:, 1:2], planes[:, 2:]):
            strength = F.conv2d(plane, self.patterns, stride=3).abs()
            mean, square = strength.mean((2, 3)), (strength * strength).mean((2, 3))
            # How much there is of each pattern, and whether it is everywhere or in few places.
            parts += [torch.log(mean + 1e-3), torch.log(square / (mean * mean + 1e-6) + 1e-3)]
        colour = (planes[:, 1:] * planes[:, 1:]).sum(1, keepdim=True).sqrt()
        for plane in (planes[:, :1], 4 * colour - 1):
            parts.append(torch.exp(-(((plane - self.levels) / 0.15) ** 2)).mean((2, 3)))
        parts += [planes.mean((2, 3)), picture.mean((2, 3))]
        return torch.cat(parts, 1)


class Statistician(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to logits [batch, styles], by their statistics."""

    def __init__(self, features: Tensor) -> None:
        """`features` [pictures, n] of the training pictures bring each statistic to mean 0 and deviation 1."""
        super().__init__()
        self.statistics = Statistics()
        self.register_buffer("centre", features.mean(0))
        self.register_buffer("spread", features.std(0) + 1e-3)
        self.head = nn.Sequential(nn.Linear(features.shape[1], 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, len(LABELS)))

    def of_features(self, features: Tensor) -> Tensor:
        return self.head(((features - self.centre) / self.spread).clamp(-4, 4))

    def forward(self, picture: Tensor) -> Tensor:
        return self.of_features(self.statistics(picture))


class Network(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to logits [batch, styles]. Styles are textures: it takes the mean and the
    deviation of what its filters find over the whole picture, wherever it is."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels), channels):
            size = 5 if before == 3 else 3
            layers += [nn.Conv2d(before, after, size, 2, size // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.filters = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * channels[-1] + 6, len(LABELS)))

    def forward(self, picture: Tensor) -> Tensor:
        found = self.filters(picture)
        parts = []
        for values in (found, picture):
            mean = values.mean((2, 3))
            deviation = ((values - mean[:, :, None, None]) ** 2).mean((2, 3))
            parts += [mean, (deviation + 1e-4).sqrt()]
        return self.head(torch.cat(parts, 1))


class Committee(nn.Module):
    """Pictures to the mean of the members' log-probabilities [batch, styles]. No member is ever more than 95 % sure."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, picture: Tensor) -> Tensor:
        votes = [torch.log(0.95 * member(picture).softmax(1) + 0.05 / len(LABELS)) for member in self.members]
        return torch.stack(votes).mean(0)


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
    return Drawn(to_tensor(np.stack(pictures)), to_tensor(np.stack(scenes)), torch.tensor(labels))


@dataclass
class Drawn:
    """Pictures [number, 3, size, size] in -1..1, their plain scenes and the numbers of their styles."""

    pictures: Tensor
    scenes: Tensor
    labels: Tensor

    def disturbed(self, rng: np.random.Generator, autoencoder: Autoencoder, number: int) -> Tensor:
        """The pictures, the first `number` of them disturbed."""
        rows = torch.arange(number).split(BATCH)
        changed = [disturbed(self.pictures[row], self.scenes[row], rng, autoencoder) for row in rows]
        return torch.cat([*changed, self.pictures[number:]])


def softened(pictures: Tensor) -> Tensor:
    """The pictures, softer or with noise."""
    soft = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear")
    pictures = torch.lerp(pictures, soft, torch.rand(len(pictures), 1, 1, 1))
    return pictures + torch.randn_like(pictures) * 0.06 * torch.rand(len(pictures), 1, 1, 1)


def flipped(pictures: Tensor) -> Tensor:
    """At random left to right, and now and then with a little noise."""
    pictures = pictures.flip(3) if torch.rand(()) < 0.5 else pictures
    return pictures + torch.randn_like(pictures) * 0.06 * torch.rand(len(pictures), 1, 1, 1).square()


def train_statistician(drawings: list[Drawn], steps: int) -> Statistician:
    statistics = Statistics()
    with torch.no_grad():
        batches = [batch for drawn in drawings for batch in drawn.pictures.split(BATCH)]
        features = torch.cat([statistics(change(batch)) for change in (lambda same: same, softened) for batch in batches])
    labels = torch.cat([drawn.labels for drawn in drawings]).repeat(2)
    model = Statistician(features)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3, weight_decay=0.05)
    for _ in range(steps):
        rows = torch.randint(len(labels), (1024,))
        loss = F.cross_entropy(model.of_features(features[rows]), labels[rows], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    print(f"statistics: loss {loss.item():.3f}", flush=True)
    return model.eval()


def train_network(sets: list[tuple[Tensor, Tensor]], rounds: int) -> Network:
    """From sets of pictures and labels; every batch is of one set, and so of one size."""
    batches = [(number, place) for number, (_, labels) in enumerate(sets) for place in range(len(labels) // 64)]
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=rounds * len(batches), pct_start=0.15)
    for round_number in range(rounds):
        orders = [torch.randperm(len(labels)) for _, labels in sets]
        total = 0.0
        for index in torch.randperm(len(batches)):
            number, place = batches[index]
            rows = orders[number][64 * place : 64 * place + 64]
            pictures, labels = sets[number]
            loss = F.cross_entropy(model(flipped(pictures[rows])), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"network, round {round_number + 1}: loss {total / len(batches):.3f}", flush=True)
    return model.eval()


def report(model: nn.Module, drawn: Drawn, pictures: Tensor, name: str) -> float:
    """Print how many styles the model names right, and which it mistakes; returns the share."""
    with torch.no_grad():
        guesses = torch.cat([model(batch) for batch in pictures.split(BATCH)]).argmax(1)
    right = guesses == drawn.labels
    share = round(float(right.float().mean()), 4)
    print(f"{share:.1%} of {len(right)} {name} right")
    for number, label in enumerate(LABELS):
        of_label = drawn.labels == number
        if not of_label.any():
            continue
        mistaken = [LABELS[guess] for guess in guesses[of_label & ~right]]
        print(f"  {label:12s} {right[of_label].float().mean():.0%} {', '.join(mistaken)}")
    return share


def measure(model: nn.Module, autoencoder: Autoencoder, photographs: Path | None, number: int) -> dict[str, float]:
    """Accuracies on what no training saw: drawings as they are and disturbed, restyled photographs, and near misses."""
    rng = np.random.default_rng([HELD_OUT_SEED, 2])
    test = draw_styled(rng, 256, number, 0, held_out=True)
    accuracy = {
        "untouched": report(model, test, test.pictures, "untouched drawings"),
        "disturbed": report(model, test, test.disturbed(rng, autoencoder, number), "disturbed drawings"),
    }
    if photographs:
        restyled = draw_styled(rng, 256, number, 0, photographs, 1, held_out=True)
        accuracy["photographs"] = report(model, restyled, restyled.pictures, "restyled photographs")
    pictures = torch.stack([missed((test.scenes[i] + 1) / 2, (test.pictures[i] + 1) / 2, rng) for i in range(number)])
    misses = Drawn(pictures.clamp(0, 1) * 2 - 1, test.scenes, torch.full((number,), LABELS.index(NONE)))
    accuracy["misses"] = report(model, misses, misses.pictures, "near misses")
    return accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, nargs=2, default=(6000, 600), help="of 128 and 256 pixels")
    parser.add_argument("--steps", type=int, default=600, help="of the one that knows statistics")
    parser.add_argument("--rounds", type=int, default=10, help="how often the network sees every picture")
    parser.add_argument("--test", type=int, default=340, help="held-out pictures of each kind")
    parser.add_argument("--photographs", type=Path, help="a folder that photographs.py wrote, for some of the scenes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    autoencoder = Autoencoder().eval()
    checkpoint.load_average(arguments.autoencoder, autoencoder)

    rng = np.random.default_rng(CLASSIFIER_SEED)
    share = PHOTOGRAPHS_SHARE if arguments.photographs else 0
    drawings = [draw_styled(rng, size, number, 0.4, arguments.photographs, share) for size, number in zip((128, 256), arguments.pictures)]
    print("drawn", flush=True)
    statistician = train_statistician(drawings, arguments.steps)
    sets = [(drawn.disturbed(rng, autoencoder, int(0.6 * len(drawn.labels))), drawn.labels) for drawn in drawings]
    model = Committee(statistician, train_network(sets, arguments.rounds)).eval()
    accuracy = measure(model, autoencoder, arguments.photographs, arguments.test)

    path = arguments.out / "classifier.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(2, 3, 256, 256),), str(path), input_names=["picture"], output_names=["logits"],
            dynamic_axes={"picture": {0: "batch", 2: "height", 3: "width"}, "logits": {0: "batch"}}, opset_version=17, dynamo=False,
        )  # fmt: skip
    onnx.save(store_as_float16(onnx.load(str(path))), str(path))
    (arguments.out / "labels.json").write_text(json.dumps({"labels": LABELS, "accuracy": accuracy}, indent=2) + "\n")


if __name__ == "__main__":
    main()
