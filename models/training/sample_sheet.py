"""Look at the model: a sheet of img2img results, starters down and prompts across, and figures for each prompt.

    python sample_sheet.py --tokenizer runs/tokenizer --autoencoder runs/autoencoder --diffusion runs/diffusion --out sheet.png

Every training that changes the denoiser makes the same sheet at its end.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from torch import Tensor

import checkpoint
from autoencoder import Autoencoder, to_bytes, to_tensor
from denoiser import GUIDANCE_WIDTH, Denoiser, guidance_embedding
from diffusion import sample, sample_lcm
from groups import HELD_OUT_SEED, draw
from png import write_sheet
from tokenizer import Tokenizer
from training import autocast, pick_device

PROMPTS = [
    "", "flat vector", "ink drawing", "comic", "pastel", "neon", "pixel art", "stained glass", "art nouveau",
    "watercolour", "oil painting", "sepia", "charcoal", "mosaic", "blueprint", "low-poly", "woodcut", "photo",
    "highly detailed", "simple", "blurry", "bright", "dark", "vivid", "muted", "warm", "cold",
    "red tones", "green tones", "blue tones", "pink pastel", "black and white",
]  # fmt: skip


def figures(picture: Tensor) -> tuple[float, float, float]:
    """Brightness, chroma and edge density of pictures [batch, 3, h, w] in 0..1."""
    brightness = picture.mean()
    chroma = (picture.amax(1) - picture.amin(1)).mean()
    grey = picture.mean(1)
    edges = torch.diff(grey, dim=1).abs().mean() + torch.diff(grey, dim=2).abs().mean()
    return float(brightness), float(chroma), float(edges)


def guided(model: Denoiser, text: Tensor, guidance: float):
    """A denoiser (see diffusion.py) with classifier-free guidance; text is [2 * batch, ...]: negative, then prompt."""

    def denoise(noisy: Tensor, times: Tensor) -> Tensor:
        with autocast(noisy.device):
            plain, worded = model.unet(torch.cat([noisy, noisy]), torch.cat([times, times]), text).float().chunk(2)
        return plain + guidance * (worded - plain)

    return denoise


#: How one prompt changes a batch of starters: (prompt, starters' latents) -> latents.
Repaint = Callable[[str, Tensor], Tensor]


def guided_repaint(model: Denoiser, tokenizer: Tokenizer, strength: float, guidance: float, steps: int, seed: int) -> Repaint:
    """DPM-Solver++ with classifier-free guidance, the same noise for every prompt."""
    model.eval()

    def repaint(prompt: str, latents: Tensor) -> Tensor:
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents.device)
        text = model.text_encoder(torch.tensor([tokenizer(""), tokenizer(prompt)], device=latents.device))
        return sample(guided(model, text.repeat_interleave(len(latents), 0), guidance), latents, noise, steps, strength, "dpmpp_2m")

    return repaint


def lcm_repaint(model: Denoiser, tokenizer: Tokenizer, strength: float, guidance: float, steps: int, seed: int) -> Repaint:
    """A few steps of a distilled model."""
    model.eval()

    def repaint(prompt: str, latents: Tensor) -> Tensor:
        text = model.text_encoder(torch.tensor([tokenizer(prompt)], device=latents.device)).repeat(len(latents), 1, 1)
        scale = guidance_embedding(torch.full((len(latents),), guidance, device=latents.device))

        def denoise(noisy: Tensor, times: Tensor) -> Tensor:
            with autocast(noisy.device):
                return model.unet(noisy, times, text, scale).float()

        return sample_lcm(denoise, latents, steps, strength, torch.Generator().manual_seed(seed))

    return repaint


@torch.no_grad()
def make_sheet(path: Path, autoencoder: Autoencoder, repaint: Repaint, device: torch.device, prompts: list[str] = PROMPTS,
               scenes: tuple[int, ...] = (0, 3, 8, 20), size: int = 256) -> None:  # fmt: skip
    """Write the sheet, a row for every scene and a column for every prompt, starters first; print the columns' figures."""
    starters = to_tensor(np.stack([draw(HELD_OUT_SEED, size, scene)[0][0] for scene in scenes])).to(device)
    latents = autoencoder.encode(starters)
    results = [("starter", starters)]
    results += [(prompt or "(empty)", autoencoder.decode(repaint(prompt, latents)).clamp(-1, 1)) for prompt in prompts]
    for name, pictures in results:
        distance = (pictures - starters).pow(2).mean().sqrt() / 2
        print(f"{name:20s} brightness %.3f chroma %.3f edges %.4f" % figures(pictures / 2 + 0.5), f"distance {distance:.3f}")
    across = min(11, len(results))
    columns = [to_bytes(pictures) for _, pictures in results]
    columns += [np.full_like(columns[0], 255)] * (-len(columns) % across)
    rows = []
    for first in range(0, len(columns), across):
        rows += [[column[row] for column in columns[first : first + across]] for row in range(len(scenes))]
    write_sheet(path, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--diffusion", type=Path, required=True)
    parser.add_argument("--lcm", action="store_true", help="--diffusion is what distil.py wrote")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--scenes", type=int, nargs="+", default=[0, 3, 8, 20], help="numbers of held-out scenes to start from")
    parser.add_argument("--strength", type=float, default=0.75)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--steps", type=int, help="25, or 4 with --lcm")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)

    tokenizer = Tokenizer.load(arguments.tokenizer)
    autoencoder = Autoencoder().to(device).eval()
    model = Denoiser(len(tokenizer.ids), GUIDANCE_WIDTH if arguments.lcm else None).to(device, memory_format=torch.channels_last)
    checkpoint.load_average(arguments.autoencoder, autoencoder, device)
    checkpoint.load_average(arguments.diffusion, model, device)
    steps = arguments.steps or (4 if arguments.lcm else 25)
    make_repaint = lcm_repaint if arguments.lcm else guided_repaint
    repaint = make_repaint(model, tokenizer, arguments.strength, arguments.guidance, steps, arguments.seed)
    make_sheet(arguments.out, autoencoder, repaint, device, arguments.prompts, tuple(arguments.scenes), arguments.size)


if __name__ == "__main__":
    main()
