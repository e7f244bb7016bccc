"""Stage 2: train the autoencoder on crops of the drawn pictures.

    python train_autoencoder.py --pictures data/pictures --held-out data/held-out --out runs/autoencoder --minutes 20

Loss: absolute and squared error and the error of differences between neighbours (keeps lines sharp). Latents get
random noise before they are decoded, so that the decoder forgives what the denoiser gets slightly wrong.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoder import Autoencoder
from render import VERSIONS
from training import Average, Log, autocast, learning_rate, pick_device, psnr, write_safely


class Crops:
    """Random crops of the shards that exist; shards that appear later are used from then on."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder, self.rng = folder, rng
        self.refresh()

    def refresh(self) -> None:
        done = sorted(path.with_suffix(".npy") for path in self.folder.glob("*.json"))
        self.shards = [np.load(path, mmap_mode="r") for path in done]
        pixels = np.array([shard.shape[0] * shard.shape[1] ** 2 for shard in self.shards], dtype=np.float64)
        self.weights = pixels / pixels.sum()

    def batch(self, number: int, size: int) -> Tensor:
        """[number, 3, size, size] in -1..1, at random places, flipped and sometimes with channels swapped."""
        crops = np.empty((number, size, size, 3), np.uint8)
        for row in range(number):
            shard = self.shards[self.rng.choice(len(self.shards), p=self.weights)]
            # Half of the crops start on a multiple of 8: there the 8-pixel patterns of some styles line up with latents.
            step = 8 if self.rng.random() < 0.5 else 1
            room = (shard.shape[1] - size) // step + 1
            top, left = self.rng.integers(room, size=2) * step
            crop = shard[self.rng.integers(len(shard)), top : top + size, left : left + size]
            crop = crop[:, ::-1] if self.rng.random() < 0.5 else crop
            crops[row] = crop[..., self.rng.permutation(3)] if self.rng.random() < 0.25 else crop
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


def gradient_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbouring pixels."""
    difference = made - wanted
    return torch.diff(difference, dim=2).abs().mean() + torch.diff(difference, dim=3).abs().mean()


def loss_of(model: Autoencoder, pictures: Tensor, noise_level: float) -> tuple[Tensor, Tensor]:
    """Loss and mean squared error of one batch."""
    with autocast(pictures.device):
        latents = model.encoder(pictures)
        level = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) * 2 * noise_level
        made = model.decoder(latents + torch.randn_like(latents) * level)
    latents, made = latents.float(), made.float()
    squared = F.mse_loss(made, pictures)
    # Latents stay near unit variance: much larger ones would make the noise meaningless.
    spread = (latents.pow(2).mean((0, 2, 3)) - 1).relu().mean() * 0.02
    return 0.5 * (made - pictures).abs().mean() + squared + 0.25 * gradient_error(made, pictures) + spread, squared.detach()


@torch.no_grad()
def evaluate(model: Autoencoder, folder: Path, device: torch.device) -> dict[str, float]:
    """PSNR on held-out pictures of 256 pixels: plain photograph-like ones, and all looks."""
    model.eval()
    shard = sorted(folder.glob("256-*.json"))[0]
    pictures, records = np.load(shard.with_suffix(".npy"), mmap_mode="r"), json.loads(shard.read_text())
    photographs = [i for i, record in enumerate(records) if i % VERSIONS == 0 and record["style"] == "photo"]
    everything = list(range(0, len(records), 7))
    result = {}
    for name, rows in (("photo", photographs), ("all", everything)):
        values = []
        for start in range(0, len(rows), 8):
            batch = torch.from_numpy(np.stack([pictures[i] for i in rows[start : start + 8]])).to(device)
            batch = batch.permute(0, 3, 1, 2).float() / 127.5 - 1
            with autocast(device):
                made = model.decoder(model.encoder(batch)).float().clamp(-1, 1)
            values.append(psnr((made - batch).pow(2).mean((1, 2, 3))))
        values = torch.cat(values)
        result[f"psnr_{name}"], result[f"psnr_{name}_min"] = float(values.mean()), float(values.min())
    model.train()
    return result


@torch.no_grad()
def measure_statistics(model: Autoencoder, crops: Crops, device: torch.device) -> None:
    """Store mean per channel and overall deviation of the latents in the model."""
    latents = torch.cat([model.encoder(crops.batch(32, 128).to(device)) for _ in range(16)])
    mean = latents.mean((0, 2, 3))
    model.latent_mean.copy_(mean)
    model.latent_std.copy_((latents - mean.view(1, -1, 1, 1)).pow(2).mean().sqrt())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--peak-rate", type=float, default=1.2e-3)
    parser.add_argument("--hold", type=float, default=0.3, help="share of the time at the peak rate")
    parser.add_argument("--latent-noise", type=float, default=0.1)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/autoencoder.pt")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    device = pick_device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / "autoencoder.pt"

    crops = Crops(arguments.pictures, np.random.default_rng(arguments.seed))
    model = Autoencoder().to(device, memory_format=torch.channels_last)
    if arguments.resume:
        model.load_state_dict(torch.load(checkpoint, map_location=device))
    average = Average(model, 0.999)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    log = Log(arguments.out / "log.jsonl")
    start, step, running, reported = time.time(), 0, None, time.time()

    while (share := (time.time() - start) / (arguments.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share, step, arguments.peak_rate, hold=arguments.hold)
        pictures = crops.batch(arguments.batch, arguments.crop).to(device, memory_format=torch.channels_last)
        loss, squared = loss_of(model, pictures, arguments.latent_noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        step += 1
        running = squared if running is None else running.lerp(squared, 0.01)
        if time.time() - reported > 60:
            reported = time.time()
            crops.refresh()
            log.write(step=step, pictures=step * arguments.batch, psnr_crops=float(psnr(running)), **evaluate(average.module, arguments.held_out, device))
            write_safely(checkpoint, average.module.state_dict())

    measure_statistics(average.module, crops, device)
    write_safely(checkpoint, average.module.state_dict())
    log.write(step=step, pictures=step * arguments.batch, latent_std=float(average.module.latent_std), **evaluate(average.module, arguments.held_out, device))


if __name__ == "__main__":
    main()
