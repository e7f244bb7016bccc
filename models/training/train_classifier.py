"""Train the small classifier that `npm run models:eval` asks which style a picture is in.

    python train_classifier.py --out runs/classifier

Styles are textures, so it looks at fixed statistics of a picture (how strong each 8x8 cosine pattern is in brightness
and colour, and how bright and colourful the picture is) and only the small network on top of them is trained: a minute of
drawing, a few seconds of training. It sees nothing but drawings of the renderer, from seeds of its own, and never a
result of the model; half of them are softened or get noise. Its own accuracy is measured on untouched drawings of 256 pixels.
Writes classifier.onnx and labels.json to OUT.
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoder import to_tensor
from export import store_as_float16
from groups import HELD_OUT_SEED
from render import apply_look, random_record, to_bytes
from scenes import draw_scene
from styles import STYLES

LABELS = list(STYLES)
CLASSIFIER_SEED = 777


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


class Classifier(nn.Module):
    """Pictures [batch, 3, H, W] in -1..1 to logits [batch, styles]."""

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


def draw_styled(rng: np.random.Generator, size: int, number: int) -> tuple[Tensor, Tensor]:
    """Pictures in -1..1 in every style equally often, some with a quality too, and the numbers of their styles."""
    pictures, labels = [], []
    for index in range(number):
        if index % 3 == 0:
            scene, content, photograph_like = draw_scene(rng, size)
        style = LABELS[index % len(LABELS)]
        record = {**random_record(rng, content), "style": style, "tones": []}
        if rng.random() < 0.8:
            record["qualities"] = []
        pictures.append(to_bytes(apply_look(scene.clamp(0, 1), rng, record, photograph_like)))
        labels.append(index % len(LABELS))
    return to_tensor(np.stack(pictures)), torch.tensor(labels)


def disturbed(pictures: Tensor) -> Tensor:
    """The pictures, softer or with noise: what a model does to fine patterns."""
    soft = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear")
    pictures = torch.lerp(pictures, soft, torch.rand(len(pictures), 1, 1, 1))
    return pictures + torch.randn_like(pictures) * 0.06 * torch.rand(len(pictures), 1, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=5100)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    arguments.out.mkdir(parents=True, exist_ok=True)

    statistics, features, labels = Statistics(), [], []
    rng = np.random.default_rng(CLASSIFIER_SEED)
    with torch.no_grad():
        for _ in range(0, arguments.pictures, 170):
            pictures, wanted = draw_styled(rng, 128, 170)
            features += [statistics(pictures), statistics(disturbed(pictures))]
            labels += [wanted, wanted]
        test_pictures, test_labels = draw_styled(np.random.default_rng([HELD_OUT_SEED, 2]), 256, 340)
        test_features = torch.cat([statistics(batch) for batch in test_pictures.split(34)])
    features, labels = torch.cat(features), torch.cat(labels)

    model = Classifier(features)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3, weight_decay=0.05)
    for step in range(arguments.steps):
        rows = torch.randint(len(labels), (1024,))
        loss = F.cross_entropy(model.of_features(features[rows]), labels[rows], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        guesses = model.of_features(test_features).argmax(1)
    right = guesses == test_labels
    print(f"{len(labels)} pictures, loss {loss.item():.3f}, {right.float().mean():.1%} of {len(right)} untouched drawings right")
    for number, label in enumerate(LABELS):
        mistaken = [LABELS[guess] for guess in guesses[(test_labels == number) & ~right]]
        print(f"{label:12s} {right[test_labels == number].float().mean():.0%} {', '.join(mistaken)}")

    path = arguments.out / "classifier.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(2, 3, 256, 256),), str(path), input_names=["picture"], output_names=["logits"],
            dynamic_axes={"picture": {0: "batch", 2: "height", 3: "width"}, "logits": {0: "batch"}}, opset_version=17, dynamo=False,
        )  # fmt: skip
    onnx.save(store_as_float16(onnx.load(str(path))), str(path))
    accuracy = round(float(right.float().mean()), 4)
    (arguments.out / "labels.json").write_text(json.dumps({"labels": LABELS, "accuracy": accuracy}, indent=2) + "\n")


if __name__ == "__main__":
    main()
