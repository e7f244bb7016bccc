"""Stage 2: train the autoencoder on crops of pictures that are drawn meanwhile.

    python train_autoencoder.py --out runs/autoencoder --minutes 20

Loss: absolute and squared error, the error of differences between neighbours (keeps lines sharp), and for the grain, which those
would silence, the difference of spectra; edges learn which looks have crisp ones. Latents get random noise before they are decoded, so that the decoder forgives what the
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
from torch import Tensor, nn

import checkpoint
from autoencoder import Autoencoder, finished, to_bytes, to_tensor
from captions import LookRecord
from denoiser import Denoiser
from diffusion import signal_and_noise
from groups import Groups, drawers, held_out
from png import write_sheet
from render import VERSIONS
from spectra import difference_of_textures
from styles import CRISP
from tokenizer import Tokenizer
from training import Average, Log, add_common_arguments, add_drawing_arguments, autocast, learning_rate, psnr, report_seconds, start


def crops(groups: Sequence[Groups], rng: np.random.Generator, number: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """[number, 3, size, size] in -1..1, at random places, flipped and sometimes with channels swapped; [number] how crisp their edges may be."""
    batch, crisp = np.empty((number, size, size, 3), np.uint8), np.empty(number, np.float32)
    for row in range(number):
        drawn = groups[rng.integers(len(groups))]
        group, version = rng.integers(len(drawn)), rng.integers(VERSIONS)
        picture = drawn.kept[group][version]
        crisp[row] = crispness(drawn.records[group], version)
        # Half of the crops start on a multiple of 8: there the 8-pixel patterns of some styles line up with latents.
        step = 8 if rng.random() < 0.5 else 1
        room = (drawn.size - size) // step + 1
        top, left = rng.integers(room, size=2) * step
        crop = picture[top : top + size, left : left + size]
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        batch[row] = crop[..., rng.permutation(3)] if rng.random() < 0.25 else crop
    return to_tensor(batch, device), torch.from_numpy(crisp).to(device)


def crispness(records: list[LookRecord], version: int) -> float:
    """1 for a look of crisp edges, 0 for others; a drawn scene without a style might be either."""
    style, qualities = records[version]["style"], records[version]["qualities"]
    if "blurry" in qualities:
        return 0.0
    drawn = records[0]["style"] is None
    return 0.5 if drawn and style is None else float(style in CRISP)


def gradient_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbouring pixels."""
    difference = made - wanted
    return torch.diff(difference, dim=2).abs().mean() + torch.diff(difference, dim=3).abs().mean()


#: What a denoiser makes of noised latents [batch, channels, h, w], as the decoder takes them.
Denoised = Callable[[Tensor], Tensor]
#: The timesteps from which it does.
DENOISED_FROM = (50, 400)


def denoised_by(denoiser: Denoiser, tokenizer: Tokenizer, autoencoder: Autoencoder) -> Denoised:
    """Latents as repainted pictures have them: less of the grain is in them than in a picture's own."""

    @torch.no_grad()
    def denoised(latents: Tensor) -> Tensor:
        mean = autoencoder.latent_mean.view(1, -1, 1, 1)
        clean = (latents - mean) / autoencoder.latent_std
        timesteps = torch.randint(*DENOISED_FROM, (len(latents),), device=latents.device)
        signal, noise = (table.view(-1, 1, 1, 1) for table in signal_and_noise(timesteps))
        noisy = signal * clean + noise * torch.randn_like(clean)
        ids = torch.tensor([tokenizer("")], device=latents.device).expand(len(latents), -1)
        v = denoiser(noisy, timesteps.float(), ids).float()
        return (signal * noisy - noise * v) * autoencoder.latent_std + mean

    return denoised


def losses_of(model: Autoencoder, pictures: Tensor, crisp: Tensor, noise_level: float, denoised: Denoised | None) -> dict[str, tuple[Tensor, Tensor]]:
    """Of one batch, by the parts that learn: the loss, and what is reported of it.

    `crisp` [batch] is what crispness() says. With `denoised` half of the latents are as that leaves them, and the layers should not learn.
    """
    decoder = model.decoder
    # A GPU computes in float32: what is left to learn after a while is as small as bfloat16's steps.
    with autocast(pictures.device) if pictures.device.type == "cpu" else nullcontext():
        latents = model.encoder(pictures)
        level = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) * 2 * noise_level
        noisy = latents + torch.randn_like(latents) * level
        if denoised:
            half = len(noisy) // 2
            noisy = torch.cat([noisy[:half], denoised(latents[half:].detach())])
        known = noisy.detach()  # to the parts that leave the layers and the encoder as they are
        losses = {}
        if learns(decoder.edges):
            edges = decoder.edges(known).float()
            unsure = F.binary_cross_entropy_with_logits(edges, crisp.view(-1, 1, 1, 1).expand_as(edges))
            losses["edges"] = unsure, unsure
        if learns(decoder.layers) or learns(decoder.grain):
            made = decoder.layers(noisy).float()
        if learns(decoder.grain):
            with torch.no_grad():
                sharpness = torch.sigmoid(decoder.edges(known)).float()
            textures = difference_of_textures(finished(made.detach(), sharpness, decoder.grain(known).float()), pictures)
            losses["textures"] = 0.1 * textures, textures
    if learns(decoder.layers):
        squared = F.mse_loss(made, pictures)
        # Latents stay near unit variance: much larger ones would make the noise meaningless.
        spread = (latents.float().pow(2).mean((0, 2, 3)) - 1).relu().mean() * 0.02
        losses["mean_square"] = 0.5 * (made - pictures).abs().mean() + 0.5 * squared + 0.5 * gradient_error(made, pictures) + spread, squared
    return losses


def learns(module: nn.Module) -> bool:
    return next(module.parameters()).requires_grad


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
    parser.add_argument("--finish", nargs="+", choices=("edges", "grain"), help="go on with these parts of the decoder alone: all else stays as it is")
    parser.add_argument("--latents-of", type=Path, nargs=2, metavar=("TOKENIZER", "DIFFUSION"), help="with --finish: half of the latents as this denoiser leaves them")
    arguments = parser.parse_args()
    if arguments.latents_of and not arguments.finish:
        parser.error("--latents-of is for --finish")
    device, rng = start(arguments)
    executor = drawers(arguments.workers)

    model = Autoencoder().to(device, memory_format=torch.channels_last)
    average = Average(model, 0.999)
    if arguments.finish:
        model.requires_grad_(False)
        for part in arguments.finish:
            model.decoder.get_submodule(part).requires_grad_(True)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    step = checkpoint.resume(arguments.out, model, average, optimizer, device)["step"] if arguments.resume else 0
    denoised = None
    if arguments.latents_of:
        tokenizer = Tokenizer.load(arguments.latents_of[0])
        denoiser = Denoiser(len(tokenizer.ids)).to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        checkpoint.load_average(arguments.latents_of[1], denoiser, device)
        denoised = denoised_by(denoiser, tokenizer, average.module)
    log = Log(arguments.out / "log.jsonl")
    test_groups = held_out(executor, 256, min(60, arguments.groups[1]), np.asarray)
    groups = [Groups(executor, arguments.seed + step, size, kept, np.asarray, ahead=4 * arguments.workers, photographs=arguments.photographs, more=arguments.more, end=kept if arguments.finish else None) for size, kept in zip((128, 256), arguments.groups)]
    started, reported, running, first_step = time.time(), time.time(), {}, step

    while (share := (time.time() - started) / (arguments.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, step - first_step, arguments.peak_rate, hold=arguments.hold)
        for drawn in groups:
            drawn.refresh()
        pictures, crisp = crops(groups, rng, arguments.batch, arguments.crop, device)
        losses = losses_of(model, pictures.contiguous(memory_format=torch.channels_last), crisp, arguments.latent_noise, denoised)
        optimizer.zero_grad(set_to_none=True)
        sum(loss for loss, _ in losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        step += 1
        for name, (_, value) in losses.items():
            running[name] = running.get(name, value.detach()).lerp(value.detach(), 0.01)
        if time.time() - reported > report_seconds(arguments, 60):
            reported = time.time()
            log.write(step=step, pictures=step * arguments.batch, **{name: value.item() for name, value in running.items()}, **evaluate(average.module, test_groups, device))
            checkpoint.save(arguments.out, model, average, optimizer, step=step)

    executor.shutdown(cancel_futures=True)
    if not arguments.finish:
        measure_statistics(average.module, lambda number, size: crops(groups, rng, number, size, device)[0], device)
    checkpoint.save(arguments.out, model, average, optimizer, step=step)
    log.write(step=step, pictures=step * arguments.batch, latent_std=float(average.module.latent_std), **evaluate(average.module, test_groups, device))
    make_sheet(arguments.out / "sheet.png", average.module, test_groups, device)


if __name__ == "__main__":
    main()
