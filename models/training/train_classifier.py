"""Train the small classifier that `npm run models:eval` asks which style a picture is in.

    python train_classifier.py --autoencoder runs/autoencoder --photographs runs/photographs --out runs/classifier

classifier.py says what it is, classifier_pictures.py what it sees. Its accuracy is printed by style, on held-out drawings of 256
pixels, untouched and disturbed, on held-out photographs in every style, and on near misses. Writes classifier.onnx, labels.json and
the pictures to OUT; pictures that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifier import LABELS, Committee, Network, Statistician
from classifier_pictures import BATCH, Files, Seen, from_uint8
from export import store_as_float16
from groups import drawers


def flipped(pictures: Tensor) -> Tensor:
    """At random left to right, and now and then with a little noise."""
    pictures = pictures.flip(3) if torch.rand(()) < 0.5 else pictures
    return pictures + torch.randn_like(pictures) * 0.06 * torch.rand(len(pictures), 1, 1, 1).square()


def train_statistician(sets: list[Seen], steps: int) -> Statistician:
    features = torch.cat([seen.features for seen in sets])
    labels = torch.cat([seen.labels.repeat(2) for seen in sets])
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


def train_network(sets: list[Seen], rounds: int) -> Network:
    """Every batch is of one set, and so of one size."""
    batches = [(number, place) for number, seen in enumerate(sets) for place in range(len(seen.labels) // 64)]
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=rounds * len(batches), pct_start=0.15)
    for round_number in range(rounds):
        orders = [torch.randperm(len(seen.labels)) for seen in sets]
        total = 0.0
        for index in torch.randperm(len(batches)):
            number, place = batches[index]
            rows = orders[number][64 * place : 64 * place + 64]
            pictures, labels = from_uint8(sets[number].pictures[rows]), sets[number].labels[rows]
            loss = F.cross_entropy(model(flipped(pictures)), labels, label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"network, round {round_number + 1}: loss {total / len(batches):.3f}", flush=True)
    return model.eval()


def report(model: nn.Module, pictures: Tensor, labels: Tensor, name: str) -> float:
    """Print how many styles the model names right, and which it mistakes; returns the share."""
    with torch.no_grad():
        guesses = torch.cat([model(from_uint8(batch)) for batch in pictures.split(BATCH)]).argmax(1)
    right = guesses == labels
    share = round(float(right.float().mean()), 4)
    print(f"{share:.1%} of {len(right)} {name} right")
    for number, label in enumerate(LABELS):
        of_label = labels == number
        if not of_label.any():
            continue
        mistaken = [LABELS[guess] for guess in guesses[of_label & ~right]]
        print(f"  {label:12s} {right[of_label].float().mean():.0%} {', '.join(mistaken)}")
    return share


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
    parser.add_argument("--workers", type=int, default=2, help="processes that make pictures")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)

    files = Files(arguments.out / "pictures", arguments.autoencoder, arguments.photographs)
    with drawers(arguments.workers) as executor:
        sets = [files.to_learn_from(executor, size, number) for size, number in zip((128, 256), arguments.pictures)]
        print("drawn", flush=True)
        tests = files.held_out(executor, arguments.test)
    model = Committee(train_statistician(sets, arguments.steps), train_network(sets, arguments.rounds)).eval()
    accuracy = {kind: report(model, *test, kind) for kind, test in tests.items()}

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
