"""What both training stages share: device, precision, running average, learning rate, log."""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any, Iterable

import numpy as np
import torch
from torch import Tensor, nn


def pick_device(name: str | None = None) -> torch.device:
    """The named device, else a GPU if there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def add_common_arguments(parser: argparse.ArgumentParser, minutes: float) -> None:
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--resume", action="store_true", help="go on from OUT")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", help="a CUDA GPU if there is one, else the CPU")
    parser.add_argument("--seed", type=int, default=0)


def report_seconds(arguments: argparse.Namespace, most: float) -> float:
    """Between two reports and savings: an eighth of the time, for whom has a GPU for minutes."""
    return min(most, arguments.minutes * 60 / 8)


def add_drawing_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=2, help="processes that draw; beside a GPU, as many as there are other cores")
    parser.add_argument("--more", nargs="+", default=[], metavar="STYLE", help="styles that most looks are in, for those that are not yet learnt well")
    parser.add_argument("--photographs", type=Path, help="a folder that photographs.py wrote, for some of the scenes")


def add_pool_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool", type=Path, help="a folder for the latents of what was drawn, which are found there again; for one autoencoder and one set of looks")


def add_compile_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--compile", action="store_true", help="fuse the network's operations: faster, after minutes; needs a C++ compiler on a CPU")


def start(arguments: argparse.Namespace) -> tuple[torch.device, np.random.Generator]:
    """Prepare a stage: threads, seeds, OUT."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    return pick_device(arguments.device), np.random.default_rng(arguments.seed)


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for convolutions and matrix products, weights stay float32; all in float32 on a processor without such instructions,
    where convolutions take tens of times as long in bfloat16."""
    fast = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


class Average:
    """Exponential moving average of those weights of a module that learn, slower as training goes on."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.module = copy.deepcopy(module).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (self.steps + 1) / (self.steps + 12))
        learning = [(average, p.detach()) for average, p in zip(self.module.parameters(), module.parameters()) if p.requires_grad]
        averages, weights = zip(*learning)
        torch._foreach_lerp_(averages, weights, 1 - decay)


def learning_rate(share_done: float, step: int, peak: float, hold: float = 0.0, warm_up: int = 200) -> float:
    """Linear warm-up, then `peak` until the share `hold` of the time, then a cosine to 2 % of it."""
    share = min(1.0, max(0.0, (share_done - hold) / (1 - hold)))
    return peak * min(1.0, (step + 1) / warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


class Log:
    """JSON lines, to a file and to the terminal."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a")
        self.start = time.time()

    def write(self, **values: Any) -> None:
        rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}
        line = json.dumps({"minutes": round((time.time() - self.start) / 60, 2), **rounded})
        self.file.write(line + "\n")
        self.file.flush()
        print(line, flush=True)


def psnr(mean_square: Tensor) -> Tensor:
    """Decibels from mean squared errors of pictures in -1..1."""
    return 10 * torch.log10(4 / mean_square.clamp(min=1e-9))


def count_parameters(modules: Iterable[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())
