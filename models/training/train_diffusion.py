"""Stage 3: train the denoiser and the text encoder on latents of pictures that are drawn meanwhile.

    python train_diffusion.py --tokenizer runs/tokenizer --autoencoder runs/autoencoder --out runs/diffusion --minutes 80

The samples are described in restyling.py. Writes the training's state (checkpoint.py), log.jsonl and sheet.png to OUT.
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
from denoiser import Denoiser
from diffusion import NOISE, SIGNAL
from groups import Groups, drawers, held_out
from restyling import describer, draw_batch, draw_timesteps, encoder_of, loss_weights, noised
from sample_sheet import PROMPTS, guided_repaint, make_sheet
from tokenizer import Tokenizer
from training import Average, Log, add_common_arguments, add_compile_argument, add_drawing_arguments, add_pool_argument, autocast, count_parameters, learning_rate, report_seconds, start


@torch.no_grad()
def evaluate(model: Denoiser, drawn: Groups, tokenizer: Tokenizer, device: torch.device) -> dict[str, float]:
    """How good predictions of the clean latents are on held-out pictures, with fixed noise.

    `plain_T`: mean squared error at timestep T. `pull_T`: how far words move the prediction for a noised plain
    starter towards the look they name (0: not at all, 1: all the way), before guidance multiplies it.
    """
    batch = draw_batch(drawn, np.random.default_rng(0), tokenizer, 192, None, 1.0).to(torch.device("cpu"))
    empty = torch.tensor([tokenizer("")]).expand_as(batch.ids)
    noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0))

    def predict(clean: Tensor, t: int, ids: Tensor) -> Tensor:
        noisy = SIGNAL[t] * clean + NOISE[t] * noise
        with autocast(device):
            v = model(noisy.to(device), torch.full((len(noisy),), float(t), device=device), ids.to(device))
        return SIGNAL[t] * noisy - NOISE[t] * v.float().cpu()

    result = {}
    for t in (100, 300, 500, 700, 900):
        result[f"plain_{t}"] = float((predict(batch.latents, t, batch.ids) - batch.latents).pow(2).mean())
    way = (batch.latents - batch.starter)[batch.restyle]
    for t in (300, 500, 700):
        moved = (predict(batch.starter, t, batch.ids) - predict(batch.starter, t, empty))[batch.restyle]
        result[f"pull_{t}"] = float((moved * way).sum() / way.pow(2).sum())
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True)
    add_common_arguments(parser, minutes=80)
    add_compile_argument(parser)
    add_drawing_arguments(parser)
    add_pool_argument(parser)
    parser.add_argument("--groups", type=int, nargs=2, default=(3000, 1500), help="newest groups kept, of 128 and 256 pixels")
    parser.add_argument("--redraw", type=int, nargs=2, default=(2, 1), help="steps between taking new groups, and how many; drawing takes CPU time from learning")
    parser.add_argument("--batch", type=int, default=48, help="samples of 16x16 latents a step; a quarter of it at 32x32")
    parser.add_argument("--peak-rate", type=float, default=8e-4)
    parser.add_argument("--average", type=float, default=0.999, help="decay of the running average of the weights")
    parser.add_argument("--hold", type=float, default=0.4, help="share of the time at the peak rate")
    parser.add_argument("--restyled", type=float, default=0.5, help="share of restyled samples among captioned ones")
    parser.add_argument("--pull", type=float, default=0.25, help="see restyling.py")
    parser.add_argument("--large", type=float, nargs=2, default=(0.15, 0.6), help="share of steps at 32x32, first and last")
    parser.add_argument("--sheet", type=int, default=len(PROMPTS), help="prompts on the sheet")
    parser.add_argument("--unet", action="store_true", help="go on with the UNet alone: the text encoder stays as it is")
    arguments = parser.parse_args()
    started = time.time()
    device, rng = start(arguments)
    executor = drawers(arguments.workers)

    tokenizer = Tokenizer.load(arguments.tokenizer)
    autoencoder = Autoencoder().to(device).eval()
    checkpoint.load_average(arguments.autoencoder, autoencoder, device)
    encode = encoder_of(autoencoder, device)
    model = Denoiser(len(tokenizer.ids)).to(device, memory_format=torch.channels_last)
    # Distilled variants share the text encoder, and LoRAs were trained for it.
    model.text_encoder.requires_grad_(not arguments.unet)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01)
    average = Average(model, arguments.average)
    if arguments.compile:
        model.compile(dynamic=False)
    step, samples = 0, 0
    if arguments.resume:
        progress = checkpoint.resume(arguments.out, model, average, optimizer, device)
        step, samples = progress["step"], progress["samples"]
        # A further part takes other samples of the same groups, and other noise.
        rng = np.random.default_rng([arguments.seed, step])
        torch.manual_seed(arguments.seed + step)
    warm_up = 20 if optimizer.state else 200
    log = Log(arguments.out / "log.jsonl")
    log.write(parameters=count_parameters([model.unet]), text_parameters=count_parameters([model.text_encoder]))

    describe = describer(tokenizer)
    test_groups = held_out(executor, 128, min(100, arguments.groups[0]), encode, describe, arguments.pool)
    # Groups of a pool are numbered on; without one, each part of a training draws others by another seed.
    seed = arguments.seed if arguments.pool else arguments.seed + step
    groups = {
        size: Groups(executor, seed, size, kept, encode, describe=describe, ahead=4 * arguments.workers, photographs=arguments.photographs, more=arguments.more, pool=arguments.pool)
        for size, kept in zip((128, 256), arguments.groups)
    }

    reported, running, first_step = time.time(), None, step
    # The time to draw the first groups counts too, as who lends a machine counts it; one step is made in any case.
    while (share := (time.time() - started) / (arguments.minutes * 60)) < 1 or step == first_step:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, step - first_step, arguments.peak_rate, arguments.hold, warm_up)
        large = rng.random() < arguments.large[0] + (arguments.large[1] - arguments.large[0]) * (share > 0.6)
        size, number, crop = (256, arguments.batch // 4, None) if large else (256, arguments.batch, 16) if rng.random() < 0.25 else (128, arguments.batch, None)
        if step % arguments.redraw[0] == 0:
            groups[size].refresh(arguments.redraw[1])
        batch = draw_batch(groups[size], rng, tokenizer, number, crop, arguments.restyled).to(device)
        timesteps = draw_timesteps(number, device)
        noisy, wanted = noised(batch, timesteps, arguments.pull)
        with autocast(device):
            made = model(noisy.to(memory_format=torch.channels_last), timesteps.float(), batch.ids)
        errors = (made.float() - wanted).pow(2).mean((1, 2, 3))
        loss = (errors * loss_weights(timesteps)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        step, samples = step + 1, samples + number
        running = loss.detach() if running is None else running.lerp(loss.detach(), 0.01)
        if time.time() - reported > report_seconds(arguments, 300):
            reported = time.time()
            drawn = sum(each.taken for each in groups.values())
            log.write(step=step, samples=samples, drawn=drawn, loss=running.item(), **evaluate(average.module, test_groups, tokenizer, device))
            checkpoint.save(arguments.out, model, average, optimizer, step=step, samples=samples)

    executor.shutdown(cancel_futures=True)
    checkpoint.save(arguments.out, model, average, optimizer, step=step, samples=samples)
    log.write(step=step, samples=samples, loss=running.item(), **evaluate(average.module, test_groups, tokenizer, device))
    make_sheet(arguments.out / "sheet.png", autoencoder, guided_repaint(average.module, tokenizer, 0.75, 7.5, 25, 1), device, PROMPTS[: arguments.sheet])


if __name__ == "__main__":
    main()
