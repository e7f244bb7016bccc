"""A LoRA for Paintbox: teach it a style that it does not know, without touching its weights.

    python from_onnx.py --model ../paintbox --out runs
    python train_lora.py --tokenizer runs/tokenizer --autoencoder runs/autoencoder --diffusion runs/diffusion --style risograph --out ../loras/risograph.safetensors

Every layer of the UNet but the first and the last gets two small matrices, whose product is added to its weight (Hu et al. 2021,
arXiv:2106.09685; for a convolution as in lycoris' LoCon). They learn from the same samples as the denoiser did, see restyling.py.
The file has PEFT's names.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

import checkpoint
from autoencoder import Autoencoder
from captions import LORA_PHRASES
from denoiser import Denoiser
from groups import Groups, drawers
from restyling import describer, draw_batch, draw_timesteps, encoder_of, loss_weights, noised
from styles import LORA_STYLES
from tokenizer import Tokenizer
from training import autocast, learning_rate, pick_device

#: They say how latents come in and go out, and when it is: no style.
LEFT_ALONE = {"conv_in", "conv_out", "time_linear1", "time_linear2"}


class LowRank(nn.Module):
    """Adds the product of `up` [to, rank] and `down` [rank, from * kernel] to a weight; nothing at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, weight[0].numel()))
        self.up = nn.Parameter(torch.zeros(len(weight), rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def add_low_rank(model: Denoiser, rank: int) -> dict[str, LowRank]:
    """By the names of the UNet's modules; all other weights are frozen."""
    model.requires_grad_(False)
    added = {}
    for name, module in list(model.unet.named_modules()):
        if isinstance(module, (nn.Linear, nn.Conv2d)) and name not in LEFT_ALONE:
            added[name] = LowRank(module.weight, rank).to(module.weight.device)
            parametrize.register_parametrization(module, "weight", added[name])
    return added


def save(path: Path, added: dict[str, LowRank], style: str, model: Denoiser) -> None:
    tensors = {}
    for name, low_rank in added.items():
        weight = model.unet.get_submodule(name).weight
        kernel = weight.shape[2:]
        tensors[f"unet.{name}.lora_A.weight"] = low_rank.down.detach().view(-1, weight.shape[1], *kernel).half().contiguous()
        tensors[f"unet.{name}.lora_B.weight"] = low_rank.up.detach().view(len(weight), -1, *(1 for _ in kernel)).half().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"modelspec.title": style, "modelspec.trigger_phrase": LORA_PHRASES[style][0]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tokenizer", "autoencoder", "diffusion"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--style", choices=list(LORA_STYLES), required=True)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--groups", type=int, default=400, help="newest groups kept, of 256 pixels")
    parser.add_argument("--batch", type=int, default=12, help="samples of 16x16 latents a step; a third of it at 32x32")
    parser.add_argument("--redraw", type=int, default=4, help="steps between two new groups; drawing takes CPU time from learning")
    parser.add_argument("--peak-rate", type=float, default=3e-3)
    parser.add_argument("--pull", type=float, default=0.25, help="see restyling.py")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--device", help="a CUDA GPU if there is one, else the CPU")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    device, rng = pick_device(arguments.device), np.random.default_rng(arguments.seed)
    executor = drawers(arguments.workers)

    tokenizer = Tokenizer.load(arguments.tokenizer)
    autoencoder = Autoencoder().to(device).eval()
    checkpoint.load_average(arguments.autoencoder, autoencoder, device)
    model = Denoiser(len(tokenizer.ids)).to(device, memory_format=torch.channels_last)
    checkpoint.load_average(arguments.diffusion, model, device)
    added = add_low_rank(model, arguments.rank)
    parameters = [parameter for each in added.values() for parameter in each.to(device).parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.peak_rate, betas=(0.9, 0.99), weight_decay=0.01)
    print(f"{sum(each.numel() for each in parameters)} numbers in {len(added)} layers", flush=True)

    groups = Groups(executor, arguments.seed, 256, arguments.groups, encoder_of(autoencoder, device), describe=describer(tokenizer), only=arguments.style)
    started = reported = time.time()
    step, running = 0, None
    while (share := (time.time() - started) / (60 * arguments.minutes)) < 1 or step == 0:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, step, arguments.peak_rate, 0.3, 50)
        if step % arguments.redraw == 0:
            groups.refresh()
        crop = 16 if rng.random() < 0.7 else None
        number = arguments.batch if crop else max(1, arguments.batch // 3)
        batch = draw_batch(groups, rng, tokenizer, number, crop, 0.8).to(device)
        timesteps = draw_timesteps(number, device)
        noisy, wanted = noised(batch, timesteps, arguments.pull)
        with autocast(device):
            made = model(noisy.to(memory_format=torch.channels_last), timesteps.float(), batch.ids)
        errors = (made.float() - wanted).pow(2).mean((1, 2, 3))
        loss = (errors * loss_weights(timesteps)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if time.time() - reported > 60:
            reported = time.time()
            print(f"{(reported - started) / 60:.0f} min, {step} steps, {groups.taken} groups drawn, loss {running:.4f}", flush=True)
            save(arguments.out, added, arguments.style, model)
    executor.shutdown(cancel_futures=True)
    save(arguments.out, added, arguments.style, model)
    print(f"{step} steps, loss {running:.4f}", flush=True)


if __name__ == "__main__":
    main()
