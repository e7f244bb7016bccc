"""Look at the model: a sheet of img2img results, starters down and prompts across, and figures for each prompt.

    python sample_sheet.py --autoencoder runs/autoencoder/autoencoder.pt --diffusion runs/diffusion/diffusion.pt \
        --tokenizer data/tokenizer --held-out data/held-out --out sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from autoencoder import Autoencoder
from diffusion import sample
from render import VERSIONS
from tokenizer import Tokenizer
from train_diffusion import Denoiser
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


def load_starters(arguments: argparse.Namespace) -> Tensor:
    """Starters [batch, 3, size, size] in -1..1: picture files, or plain held-out scenes."""
    if arguments.starters:
        files = [Image.open(path).convert("RGB").resize((arguments.size,) * 2, Image.LANCZOS) for path in arguments.starters]
        pictures = np.stack([np.asarray(file) for file in files])
    else:
        shard = np.load(sorted(arguments.held_out.glob(f"{arguments.size}-*.npy"))[0], mmap_mode="r")
        pictures = np.stack([shard[group * VERSIONS] for group in arguments.groups])
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--diffusion", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--groups", type=int, nargs="+", default=[0, 3, 5, 8], help="held-out scenes to start from")
    parser.add_argument("--starters", type=Path, nargs="+", help="picture files to start from instead")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--negative", default="")
    parser.add_argument("--strength", type=float, default=0.75)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--scheduler", choices=["ddim", "dpmpp_2m"], default="ddim")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--scale", type=float, default=0.5, help="of the pictures in the sheet")
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)

    tokenizer = Tokenizer.load(arguments.tokenizer)
    autoencoder = Autoencoder().to(device).eval()
    autoencoder.load_state_dict(torch.load(arguments.autoencoder, map_location=device))
    model = Denoiser(len(tokenizer.ids)).to(device, memory_format=torch.channels_last).eval()
    weights = torch.load(arguments.diffusion, map_location=device)["average"]
    model.text_encoder.load_state_dict(weights["text_encoder"])
    model.unet.load_state_dict(weights["unet"])

    starters = load_starters(arguments).to(device)
    number = len(starters)
    latents = autoencoder.encode(starters)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(arguments.seed)).to(device)
    columns: list[tuple[str, Tensor]] = [("starter", starters)]
    for prompt in arguments.prompts:
        text = model.text_encoder(torch.tensor([tokenizer(arguments.negative), tokenizer(prompt)], device=device))
        text = text.repeat_interleave(number, 0)

        def denoise(noisy: Tensor, times: Tensor) -> Tensor:
            with autocast(device):
                v = model.unet(torch.cat([noisy, noisy]), torch.cat([times, times]), text).float()
            plain, worded = v.chunk(2)
            return plain + arguments.guidance * (worded - plain)

        made = sample(denoise, latents, noise, arguments.steps, arguments.strength, arguments.scheduler)
        columns.append((prompt or "(empty)", autoencoder.decode(made).clamp(-1, 1)))

    for name, pictures in columns:
        distance = (pictures - starters).pow(2).mean().sqrt() / 2
        print(f"{name:20s} brightness %.3f chroma %.3f edges %.4f" % figures(pictures / 2 + 0.5), f"distance {distance:.3f}")
    side, label = int(arguments.size * arguments.scale), 14
    rows = -(-len(columns) // arguments.columns)
    sheet = Image.new("RGB", (side * min(len(columns), arguments.columns), rows * (number * side + label)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (name, pictures) in enumerate(columns):
        left, top = index % arguments.columns * side, index // arguments.columns * (number * side + label)
        pen.text((left + 2, top + 1), name, fill="black")
        for row, picture in enumerate(pictures):
            pixels = ((picture / 2 + 0.5) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            sheet.paste(Image.fromarray(pixels).resize((side, side), Image.LANCZOS), (left, top + label + row * side))
    sheet.save(arguments.out)


if __name__ == "__main__":
    main()
