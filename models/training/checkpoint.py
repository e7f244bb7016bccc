"""The state of a training as a folder of small files, from which it can go on.

`average.pt` is what is exported. All values are stored in 16 bits (second moments as square roots, which need less
range), so that each file is 2 bytes a parameter: at most 14 MB for the largest network here.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from training import Average

FILES = ("weights", "average", "first_moments", "second_moments")


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half().cpu() if value.is_floating_point() else value.cpu() for name, value in state.items()}


def save(folder: Path, model: nn.Module, average: Average, optimizer: torch.optim.Optimizer, **progress: int) -> None:
    """Write every file beside its old version, then replace them all."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    moments = {names[parameter]: state for parameter, state in optimizer.state.items()}
    contents = (
        halved(model.state_dict()),
        halved(average.module.state_dict()),
        {name: state["exp_avg"].bfloat16().cpu() for name, state in moments.items()},
        {name: state["exp_avg_sq"].sqrt().bfloat16().cpu() for name, state in moments.items()},
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(FILES, contents):
        torch.save(content, folder / f"{name}.part")
    (folder / "progress.part").write_text(json.dumps({"averaged": average.steps, **progress}) + "\n")
    for name in FILES:
        (folder / f"{name}.part").replace(folder / f"{name}.pt")
    (folder / "progress.part").replace(folder / "progress.json")


def save_weights(folder: Path, weights: dict[str, Tensor]) -> None:
    """A state without moments, whose averages are the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES[:2]:
        torch.save(halved(weights), folder / f"{name}.pt")
    (folder / "progress.json").write_text(json.dumps({"averaged": 0, "step": 0, "samples": 0, "points": 0}) + "\n")


def averages(folder: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The averaged weights of a training, in float32."""
    return {name: value.float() for name, value in torch.load(folder / "average.pt", map_location=device).items()}


def load_average(folder: Path, module: nn.Module, device: torch.device | str = "cpu", strict: bool = True) -> None:
    """Fill a module with the averaged weights of a training."""
    module.load_state_dict(averages(folder, device), strict=strict)


def resume(folder: Path, model: nn.Module, average: Average, optimizer: torch.optim.Optimizer, device: torch.device) -> dict[str, int]:
    """Go on from a folder; returns the progress. Moments that are missing start afresh, as after from_onnx.py."""
    for name, module in (("weights", model), ("average", average.module)):
        saved = torch.load(folder / f"{name}.pt", map_location=device)
        module.load_state_dict({key: value.float() for key, value in saved.items()})
    progress: dict[str, int] = json.loads((folder / "progress.json").read_text())
    average.steps = progress.pop("averaged")
    if (folder / "first_moments.pt").exists():
        first, second = (torch.load(folder / f"{name}.pt", map_location=device) for name in FILES[2:])
        for name, parameter in model.named_parameters():
            if name in first:
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(progress["step"])),
                    "exp_avg": first[name].float(),
                    "exp_avg_sq": second[name].float() ** 2,
                }
    return progress
