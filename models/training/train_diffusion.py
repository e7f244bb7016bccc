"""Stage 4: train the denoiser and the text encoder on cached latents.

    python train_diffusion.py --latents data/latents --held-out data/held-out-latents --tokenizer data/tokenizer \
        --out runs/diffusion --minutes 70

Two kinds of samples are mixed, both with the plain Stable Diffusion noise schedule:

* plain: a picture, noised, with its caption (12 % with the empty caption, for guidance);
* restyled: what img2img meets. The latents hold something between the *plain version of the same scene* (the
  starter) and the wanted look, and the caption names the wanted look. The network learns to see in them a picture
  that is a little nearer to the wanted look than what is there:

      latents = signal * between + noise * gaussian,    clean = between + pull(t) * (wanted - between).

  Guidance multiplies the pull, step after step. The pull falls with the timestep, so that at low strength the starter
  is kept and at high strength the words decide. It is small, and it fades for a picture that is already further away
  from the look than the starter was, so that a negative prompt pushes no further than it should.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from autoencoder import LATENT_CHANNELS
from captions import LookRecord, caption
from diffusion import ALPHAS_CUMPROD, NOISE, SIGNAL, TRAIN_STEPS
from text_encoder import TextEncoder
from tokenizer import Tokenizer
from training import Average, Log, autocast, count_parameters, learning_rate, pick_device, write_safely
from unet import UNet

TEXT_WIDTH = 128
UNET_CHANNELS = (128, 160, 160)
#: Share of samples with the empty caption.
EMPTY_CAPTIONS = 0.12
#: Share of captions that name only the look.
LOOK_ONLY = 0.5
#: The pull grows from 0 to --pull between these timesteps.
PULL_FROM, PULL_FULL = 100, 450


def make_networks(vocab_size: int) -> tuple[TextEncoder, UNet]:
    return TextEncoder(vocab_size, TEXT_WIDTH), UNet(LATENT_CHANNELS, UNET_CHANNELS, text_width=TEXT_WIDTH)


@dataclass
class Batch:
    """latents (wanted), starter [batch, channels, h, w]; ids [batch, sequence]; restyle [batch] bool: starter differs."""

    latents: Tensor
    starter: Tensor
    ids: Tensor
    restyle: Tensor


class LatentGroups:
    """Cached latents of one picture size."""

    def __init__(self, folder: Path, size: int) -> None:
        self.latents = np.load(folder / f"{size}.npy", mmap_mode="r")
        self.records: list[list[LookRecord]] = json.loads((folder / f"{size}.json").read_text())

    def pick_starter(self, rng: np.random.Generator, records: list[LookRecord], version: int) -> int:
        """A version to start from: the plain one mostly, any other sometimes.

        A look without a style changes only qualities and tones, so it starts from a picture without a style.
        """
        if records[version]["style"] is None:
            others = [i for i, r in enumerate(records) if i != version and (i == 0 or r["style"] is None)]
            return int(rng.choice(others)) if others else version
        if version != 0 and rng.random() < 0.6:
            return 0
        return int(rng.choice([i for i in range(len(records)) if i != version]))

    def batch(self, rng: np.random.Generator, tokenizer: Tokenizer, number: int, crop: int | None, restyled: float) -> Batch:
        """Random samples; with `crop`, random windows of that many latents, captioned by look alone."""
        latents, starters, ids, restyle = [], [], [], []
        for _ in range(number):
            group = rng.integers(len(self.latents))
            records = self.records[group]
            version = int(rng.integers(len(records)))
            record = records[version]
            has_look = bool(record["style"] or record["qualities"] or record["tones"])
            starter = version
            if rng.random() < EMPTY_CAPTIONS:
                text = ""
            else:
                text = caption(rng, record, crop is None and rng.random() > LOOK_ONLY)
                if has_look and rng.random() < restyled:
                    starter = self.pick_starter(rng, records, version)
            pair = self.latents[group][[version, starter]]
            if crop is not None:
                top, left = rng.integers(pair.shape[-1] - crop + 1, size=2)
                pair = pair[:, :, top : top + crop, left : left + crop]
            latents.append(pair[0])
            starters.append(pair[1])
            ids.append(tokenizer(text))
            restyle.append(starter != version)
        return Batch(
            torch.from_numpy(np.stack(latents)).float(),
            torch.from_numpy(np.stack(starters)).float(),
            torch.tensor(ids),
            torch.tensor(restyle),
        )


def draw_timesteps(number: int) -> Tensor:
    """Half uniform, half where img2img works most (300..950)."""
    uniform = torch.rand(number) * TRAIN_STEPS
    middle = 300 + torch.rand(number) * 650
    return torch.where(torch.rand(number) < 0.5, uniform, middle).long()


def draw_ways(number: int) -> Tensor:
    """How far each picture has come from the starter (0) to the wanted look (1).

    Mostly it is still the starter or anywhere on the way. Some have gone too far, where the pull brings them back, and
    some the other way, as under a negative prompt: there the pull fades, so that nothing is driven away for ever.
    """
    kind, share = torch.rand(number), torch.rand(number)
    way = torch.where(kind < 0.30, torch.zeros(number), share)
    way = torch.where(kind > 0.70, 1 + 0.5 * share, way)
    return torch.where(kind > 0.80, -0.8 * share, way)


def noised(batch: Batch, timesteps: Tensor, full_pull: float) -> tuple[Tensor, Tensor]:
    """Noisy latents and the v they call for (see the module's docstring)."""
    number = len(timesteps)
    signal, amount = SIGNAL[timesteps].view(-1, 1, 1, 1), NOISE[timesteps].view(-1, 1, 1, 1)
    way = torch.where(batch.restyle, draw_ways(number), 1.0).view(-1, 1, 1, 1)
    pull = full_pull * ((timesteps - PULL_FROM) / (PULL_FULL - PULL_FROM)).clamp(0, 1).view(-1, 1, 1, 1)
    pull = pull * (1 + way / 0.2).clamp(0, 1)
    between = torch.lerp(batch.starter, batch.latents, way)
    noise = torch.randn_like(between)
    v = signal * noise - amount * between - pull / amount * (batch.latents - between)
    return signal * between + amount * noise, v


def loss_weights(timesteps: Tensor) -> Tensor:
    """1 at high noise; falls where the signal-to-noise ratio is above 5, as errors there are hardly visible."""
    ratio = ALPHAS_CUMPROD[timesteps] / (1 - ALPHAS_CUMPROD[timesteps])
    return (ratio.clamp(max=5) + 1) / (ratio + 1)


class Denoiser(nn.Module):
    """Text encoder and UNet together, as they are trained."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.text_encoder, self.unet = make_networks(vocab_size)

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        return self.unet(latents, timesteps, self.text_encoder(ids))


@torch.no_grad()
def evaluate(model: Denoiser, held_out: dict[int, LatentGroups], tokenizer: Tokenizer, device: torch.device) -> dict[str, float]:
    """How good predictions of the clean latents are on held-out pictures, with fixed noise.

    `plain_T`: mean squared error at timestep T. `pull_T`: how far words move the prediction for a noised plain
    starter towards the look they name (0: not at all, 1: all the way), before guidance multiplies it.
    """
    model.eval()
    batch = held_out[128].batch(np.random.default_rng(0), tokenizer, 192, None, 1.0)
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
    model.train()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument("--batch", type=int, default=48, help="samples of 16x16 latents a step; a quarter of it at 32x32")
    parser.add_argument("--peak-rate", type=float, default=8e-4)
    parser.add_argument("--hold", type=float, default=0.4, help="share of the time at the peak rate")
    parser.add_argument("--restyled", type=float, default=0.5, help="share of restyled samples among captioned ones")
    parser.add_argument("--pull", type=float, default=0.25, help="see above; at timesteps from 450")
    parser.add_argument("--large", type=float, nargs=2, default=(0.15, 0.5), help="share of steps at 32x32, first and last")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/diffusion.pt")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    device = pick_device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / "diffusion.pt"

    tokenizer = Tokenizer.load(arguments.tokenizer)
    groups = {size: LatentGroups(arguments.latents, size) for size in (128, 256)}
    held_out = {128: LatentGroups(arguments.held_out, 128)}
    model = Denoiser(len(tokenizer.ids)).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01)
    step, samples = 0, 0
    average = Average(model, 0.9990)
    if arguments.resume:
        saved = torch.load(checkpoint, map_location=device)
        for name in ("text_encoder", "unet"):
            getattr(model, name).load_state_dict(saved["weights"][name])
            getattr(average.module, name).load_state_dict(saved["average"][name])
        if "optimizer" in saved:
            optimizer.load_state_dict(saved["optimizer"])
        step, samples, average.steps = saved["step"], saved["samples"], saved["step"]
    log = Log(arguments.out / "log.jsonl")
    log.write(parameters=count_parameters([model.unet]), text_parameters=count_parameters([model.text_encoder]))

    def save() -> None:
        parts = {"weights": model, "average": average.module}
        states = {key: {n: getattr(part, n).state_dict() for n in ("text_encoder", "unet")} for key, part in parts.items()}
        write_safely(checkpoint, {**states, "optimizer": optimizer.state_dict(), "step": step, "samples": samples})

    start, reported, running, first_step = time.time(), time.time(), None, step
    while (share := (time.time() - start) / (arguments.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, step - first_step, arguments.peak_rate, arguments.hold)
        large = rng.random() < arguments.large[0] + (arguments.large[1] - arguments.large[0]) * (share > 0.6)
        if large:
            batch = groups[256].batch(rng, tokenizer, arguments.batch // 4, None, arguments.restyled)
        elif rng.random() < 0.25:
            batch = groups[256].batch(rng, tokenizer, arguments.batch, 16, arguments.restyled)
        else:
            batch = groups[128].batch(rng, tokenizer, arguments.batch, None, arguments.restyled)
        timesteps = draw_timesteps(len(batch.latents))
        noisy, wanted = noised(batch, timesteps, arguments.pull)
        noisy = noisy.to(device, memory_format=torch.channels_last)
        with autocast(device):
            made = model(noisy, timesteps.to(device).float(), batch.ids.to(device))
        errors = (made.float() - wanted.to(device)).pow(2).mean((1, 2, 3))
        loss = (errors * loss_weights(timesteps).to(device)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        step, samples = step + 1, samples + len(batch.latents)
        running = loss.item() if running is None else 0.99 * running + 0.01 * loss.item()
        if time.time() - reported > 120:
            reported = time.time()
            log.write(step=step, samples=samples, loss=running, **evaluate(average.module, held_out, tokenizer, device))
            save()
    save()
    log.write(step=step, samples=samples, loss=running, **evaluate(average.module, held_out, tokenizer, device))


if __name__ == "__main__":
    main()
