"""Stage 4: distil the denoiser into one that needs 4 steps and no second row for guidance.

    python distil.py --tokenizer runs/tokenizer --autoencoder runs/autoencoder --diffusion runs/diffusion --out runs/lcm --minutes 30

The result is a latent consistency model as diffusers runs it: it takes an embedding of the guidance scale beside the
timestep, and from any point of a guided trajectory it predicts the trajectory's end. Here every trajectory is solved
to its end by the teacher (TEACHER_STEPS guided steps of DPM-Solver++), and each point on the way is a training sample, so
nothing is bootstrapped. The text encoder stays as it is. Writes state, log.jsonl and sheet.png to OUT.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import checkpoint
from autoencoder import Autoencoder
from denoiser import GUIDANCE_WIDTH, Denoiser, guidance_embedding
from diffusion import noised_to, signal_and_noise, solve
from groups import Groups, drawers, held_out
from restyling import Batch, describer, draw_batch, encoder_of
from sample_sheet import PROMPTS, guided, lcm_repaint, make_sheet
from tokenizer import Tokenizer
from training import Average, Log, add_common_arguments, add_compile_argument, add_drawing_arguments, add_pool_argument, autocast, learning_rate, report_seconds, start

TEACHER_STEPS = 8


def draw_guidance(number: int, device: torch.device) -> Tensor:
    """2 to 14; nearly half of them near the default."""
    kind, share = torch.rand(2, number, device=device)
    return torch.where(kind < 0.4, 6 + 4 * share, 2 + 12 * share)


@torch.no_grad()
def trajectory(teacher: Denoiser, batch: Batch, empty: Tensor, guidance: Tensor, first: int, device: torch.device):
    """Points of guided trajectories that begin at timestep `first`: latents, timesteps, ends; all [points, ...]."""
    # Like img2img, most begin at the starter; others where a later step of the student begins, at a changed picture.
    number = len(batch.ids)
    kind, share = torch.rand(2, number, device=device)
    clean = torch.lerp(batch.starter, batch.latents, torch.where(kind < 0.5, 0.0, 1.1 * share).view(-1, 1, 1, 1))
    text = teacher.text_encoder(torch.cat([empty.expand_as(batch.ids), batch.ids]))
    denoise = guided(teacher, text, guidance.view(-1, 1, 1, 1))
    times = [round(first * (TEACHER_STEPS - step) / TEACHER_STEPS) for step in range(TEACHER_STEPS)]
    end, states = solve(denoise, noised_to(clean, torch.randn_like(clean), first), times)
    return torch.cat(states), torch.tensor(times, device=device).repeat_interleave(number), end.repeat(TEACHER_STEPS, 1, 1, 1)


def clean_prediction(student: Denoiser, latents: Tensor, timesteps: Tensor, text: Tensor, guidance: Tensor) -> Tensor:
    """What the student takes for the trajectory's end."""
    with autocast(latents.device):
        v = student.unet(latents, timesteps.float(), text, guidance_embedding(guidance))
    signal, noise = (table.view(-1, 1, 1, 1) for table in signal_and_noise(timesteps))
    return signal * latents - noise * v.float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--diffusion", type=Path, required=True, help="the teacher")
    add_common_arguments(parser, minutes=30)
    add_compile_argument(parser)
    add_drawing_arguments(parser)
    add_pool_argument(parser)
    parser.add_argument("--groups", type=int, nargs=2, default=(500, 200), help="newest groups kept, of 128 and 256 pixels")
    parser.add_argument("--batch", type=int, default=16, help="trajectories at once at 16x16; half of it at 32x32")
    parser.add_argument("--redraw", type=int, default=1, help="new groups taken before each step, at most")
    parser.add_argument("--peak-rate", type=float, default=4e-4)
    parser.add_argument("--large", type=float, default=0.35, help="share of trajectories at 32x32")
    parser.add_argument("--sheet", type=int, default=len(PROMPTS), help="prompts on the sheet")
    arguments = parser.parse_args()
    device, rng = start(arguments)
    executor = drawers(arguments.workers)

    tokenizer = Tokenizer.load(arguments.tokenizer)
    empty = torch.tensor([tokenizer("")], device=device)
    autoencoder = Autoencoder().to(device).eval()
    checkpoint.load_average(arguments.autoencoder, autoencoder, device)
    encode = encoder_of(autoencoder, device)
    teacher = Denoiser(len(tokenizer.ids)).to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    checkpoint.load_average(arguments.diffusion, teacher, device)
    student = Denoiser(len(tokenizer.ids), GUIDANCE_WIDTH).to(device, memory_format=torch.channels_last)
    student.load_state_dict(teacher.state_dict(), strict=False)
    torch.nn.init.zeros_(student.unet.cond_proj.weight)
    student.text_encoder.requires_grad_(False)
    optimizer = torch.optim.AdamW(student.unet.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)
    average = Average(student, 0.995)
    if arguments.compile:
        teacher.unet.compile(dynamic=False)
        student.unet.compile(dynamic=False)
    step, points = 0, 0
    if arguments.resume:
        progress = checkpoint.resume(arguments.out, student, average, optimizer, device)
        step, points = progress["step"], progress["points"]
    log = Log(arguments.out / "log.jsonl")
    # With a pool, what the teacher learnt from.
    seed = arguments.seed if arguments.pool else arguments.seed + 5000 + step
    describe = describer(tokenizer)
    groups = {
        size: Groups(executor, seed, size, kept, encode, describe=describe, ahead=4 * arguments.workers, photographs=arguments.photographs, more=arguments.more, pool=arguments.pool)
        for size, kept in zip((128, 256), arguments.groups)
    }

    def evaluate() -> dict[str, float]:
        """Mean squared error of predicted ends on held-out trajectories, by timestep."""
        torch.manual_seed(1)
        batch = draw_batch(test_groups, np.random.default_rng(0), tokenizer, 16, None, 1.0).to(device)
        result = {}
        for first in (300, 500, 750, 950):
            guidance = torch.full((16,), 7.5, device=device)
            latents, _, end = trajectory(teacher, batch, empty, guidance, first, device)
            with torch.no_grad():
                text = teacher.text_encoder(batch.ids)
                made = clean_prediction(average.module, latents[:16], torch.full((16,), first, device=device), text, guidance)
            result[f"end_{first}"] = float((made - end[:16]).pow(2).mean())
        torch.manual_seed(arguments.seed + step)
        return result

    test_groups = held_out(executor, 128, min(40, arguments.groups[0]), encode, describe, arguments.pool)
    log.write(step=step, points=points, **evaluate())
    started, reported, running, first_step = time.time(), time.time(), None, step
    while (share := (time.time() - started) / (arguments.minutes * 60)) < 1:
        size, number = (256, arguments.batch // 2) if rng.random() < arguments.large else (128, arguments.batch)
        groups[size].refresh(arguments.redraw)
        batch = draw_batch(groups[size], rng, tokenizer, number, None, 0.9).to(device)
        guidance = draw_guidance(number, device)
        first = int(rng.integers(8, 50)) * 20 + 19
        latents, timesteps, ends = trajectory(teacher, batch, empty, guidance, first, device)
        with torch.no_grad():
            text = teacher.text_encoder(batch.ids)
        for rows in torch.randperm(len(latents), device=device).chunk(2):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(share, step - first_step, arguments.peak_rate, hold=0.5, warm_up=50)
            made = clean_prediction(student, latents[rows], timesteps[rows], text[rows % number], guidance[rows % number])
            loss = ((made - ends[rows]).pow(2) + 1e-4).sqrt().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.unet.parameters(), 1.0)
            optimizer.step()
            average.update(student)
            step, points = step + 1, points + len(rows)
            running = loss.detach() if running is None else running.lerp(loss.detach(), 0.01)
        if time.time() - reported > report_seconds(arguments, 300):
            reported = time.time()
            log.write(step=step, points=points, loss=running.item(), **evaluate())
            checkpoint.save(arguments.out, student, average, optimizer, step=step, points=points)

    executor.shutdown(cancel_futures=True)
    checkpoint.save(arguments.out, student, average, optimizer, step=step, points=points)
    log.write(step=step, points=points, loss=running.item(), **evaluate())
    make_sheet(arguments.out / "sheet.png", autoencoder, lcm_repaint(average.module, tokenizer, 0.75, 7.5, 4, 1), device, PROMPTS[: arguments.sheet])


if __name__ == "__main__":
    main()
