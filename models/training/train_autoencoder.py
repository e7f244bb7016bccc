"""Stage 2: train the autoencoder on crops of pictures that are drawn meanwhile.

    python train_autoencoder.py --out runs/autoencoder --minutes 20

Loss: absolute and squared error, the error of differences between neighbours (keeps lines sharp), and for the grain, which those
would silence, the difference of spectra. Latents get random noise before they are decoded, so that the decoder forgives what the
denoiser gets slightly wrong. Writes the training's state (checkpoint.py), log.jsonl and sheet.png to OUT.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import checkpoint
from autoencoder import Autoencoder, to_bytes, to_tensor, with_grain
from groups import Groups, drawers, held_out
from png import write_sheet
from render import VERSIONS
from spectra import difference_of_textures
from training import Average, Log, add_common_arguments, add_drawing_arguments, autocast, learning_rate, psnr, report_seconds, start


def crops(groups: Sequence[Groups], rng: np.random.Generator, number: int, size: int, device: torch.device) -> Tensor:
    """[number, 3, size, size] in -1..1, at random places, flipped and sometimes with channels swapped."""
    batch = np.empty((number, size, size, 3), np.uint8)
    for row in range(number):
        drawn = groups[rng.integers(len(groups))]
        picture = drawn.kept[rng.integers(len(drawn))][rng.integers(VERSIONS)]
        # Half of the crops start on a multiple of 8: there the 8-pixel patterns of some styles line up with latents.
        step = 8 if rng.random() < 0.5 else 1
        room = (drawn.size - size) // step + 1
        top, left = rng.integers(room, size=2) * step
        crop = picture[top : top + size, left : left + size]
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        batch[row] = crop[..., rng.permutation(3)] if rng.random() < 0.25 else crop
    return to_tensor(batch, device)


def gradient_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbouring pixels."""
    difference = made - wanted
    return torch.diff(difference, dim=2).abs().mean() + torch.diff(difference, dim=3).abs().mean()


def loss_of(model: Autoencoder, pictures: Tensor, noise_level: float) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, mean squared error without grain, and difference of textures of one batch."""
    # A GPU computes in float32: what is left to learn after a while is as small as bfloat16's steps.
    with autocast(pictures.device) if pictures.device.type == "cpu" else nullcontext():
        latents = model.encoder(pictures)
        level = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) * 2 * noise_level
        noisy = latents + torch.randn_like(latents) * level
        made, grain = model.decoder.layers(noisy), model.decoder.grain(noisy.detach())
    latents, made, grain = latents.float(), made.float(), grain.float()
    squared = F.mse_loss(made, pictures)
    # Latents stay near unit variance: much larger ones would make the noise meaningless.
    spread = (latents.pow(2).mean((0, 2, 3)) - 1).relu().mean() * 0.02
    textures = difference_of_textures(with_grain(made.detach(), grain), pictures)
    loss = 0.5 * (made - pictures).abs().mean() + 0.5 * squared + 0.5 * gradient_error(made, pictures) + spread + 0.1 * textures
    return loss, squared.detach(), textures.detach()


@torch.no_grad()
def evaluate(model: Autoencoder, drawn: Groups, device: torch.device) -> dict[str, float]:
    """PSNR on held-out pictures: plain photograph-like ones, and all looks."""
    photographs = [group[0] for group, records in zip(drawn.kept, drawn.records) if records[0]["style"] == "photo"]
    everything = [group[number % VERSIONS] for number, group in enumerate(drawn.kept)]
    result = {}
    for name, pictures in (("photo", photographs), ("all", everything)):
        values = []
        for start in range(0, len(pictures), 8):
            batch = to_tensor(np.stack(pictures[start : start + 8]), device)
            with autocast(device):
                made = model.decoder(model.encoder(batch)).float().clamp(-1, 1)
            values.append(psnr((made - batch).pow(2).mean((1, 2, 3))))
        values = torch.cat(values)
        result[f"psnr_{name}"], result[f"psnr_{name}_min"] = float(values.mean()), float(values.min())
    return result


@torch.no_grad()
def measure_statistics(model: Autoencoder, draw_crops: Callable[[int, int], Tensor], device: torch.device) -> None:
    """Store mean per channel and overall deviation of the latents in the model."""
    latents = torch.cat([model.encoder(draw_crops(32, 128)) for _ in range(16)])
    mean = latents.mean((0, 2, 3))
    model.latent_mean.copy_(mean)
    model.latent_std.copy_((latents - mean.view(1, -1, 1, 1)).pow(2).mean().sqrt())


@torch.no_grad()
def make_sheet(path: Path, model: Autoencoder, drawn: Groups, device: torch.device) -> None:
    """Twelve held-out pictures in all looks, each above what comes back; fewer where there are fewer."""
    shown = drawn.kept[:12] if len(drawn) >= 12 else drawn.kept[:6]
    pictures = np.stack([group[number % VERSIONS] for number, group in enumerate(shown)])
    made = to_bytes(model.decode(model.encode(to_tensor(pictures).to(device))))
    write_sheet(path, [list(half) for start in (0, 6) for half in (pictures[start : start + 6], made[start : start + 6])], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser, minutes=20)
    add_drawing_arguments(parser)
    parser.add_argument("--groups", type=int, nargs=2, default=(600, 200), help="newest groups kept, of 128 and 256 pixels")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--peak-rate", type=float, default=1.2e-3)
    parser.add_argument("--hold", type=float, default=0.3, help="share of the time at the peak rate")
    parser.add_argument("--latent-noise", type=float, default=0.1)
    parser.add_argument("--grain", action="store_true", help="go on with the decoder's grain alone: all else stays as it is")
    arguments = parser.parse_args()
    device, rng = start(arguments)
    executor = drawers(arguments.workers)

    model = Autoencoder().to(device, memory_format=torch.channels_last)
    average = Average(model, 0.999)
    if arguments.grain:
        model.requires_grad_(False).decoder.grain.requires_grad_(True)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    step = checkpoint.resume(arguments.out, model, average, optimizer, device)["step"] if arguments.resume else 0
    log = Log(arguments.out / "log.jsonl")
    test_groups = held_out(executor, 256, min(60, arguments.groups[1]), np.asarray)
    groups = [Groups(executor, arguments.seed + step, size, kept, np.asarray, ahead=4 * arguments.workers, photographs=arguments.photographs, end=kept if arguments.grain else None) for size, kept in zip((128, 256), arguments.groups)]
    started, reported, running, first_step = time.time(), time.time(), None, step

    while (share := (time.time() - started) / (arguments.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, step - first_step, arguments.peak_rate, hold=arguments.hold)
        for drawn in groups:
            drawn.refresh()
        pictures = crops(groups, rng, arguments.batch, arguments.crop, device).contiguous(memory_format=torch.channels_last)
        loss, *parts = loss_of(model, pictures, arguments.latent_noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        step += 1
        running = torch.stack(parts) if running is None else running.lerp(torch.stack(parts), 0.01)
        if time.time() - reported > report_seconds(arguments, 60):
            reported = time.time()
            log.write(step=step, pictures=step * arguments.batch, psnr_crops=float(psnr(running[0])), textures=running[1].item(), **evaluate(average.module, test_groups, device))
            checkpoint.save(arguments.out, model, average, optimizer, step=step)

    executor.shutdown(cancel_futures=True)
    if not arguments.grain:
        measure_statistics(average.module, lambda number, size: crops(groups, rng, number, size, device), device)
    checkpoint.save(arguments.out, model, average, optimizer, step=step)
    log.write(step=step, pictures=step * arguments.batch, latent_std=float(average.module.latent_std), **evaluate(average.module, test_groups, device))
    make_sheet(arguments.out / "sheet.png", average.module, test_groups, device)


if __name__ == "__main__":
    main()
