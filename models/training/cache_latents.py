"""Stage 3: encode the drawn pictures once, so that the denoiser trains on latents.

    python cache_latents.py --pictures data/pictures --autoencoder runs/autoencoder/autoencoder.pt --out data/latents

Writes `SIZE.npy` (float16 [groups, VERSIONS, channels, SIZE/8, SIZE/8], normalised) and `SIZE.json` (for each group
the look records of its versions).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from autoencoder import LATENT_CHANNELS, VAE_SCALE_FACTOR, Autoencoder
from render import VERSIONS
from training import autocast, pick_device


@torch.no_grad()
def encode_shard(model: Autoencoder, path: Path, device: torch.device, batch: int) -> np.ndarray:
    """Latents float16 [pictures, channels, size/8, size/8] of one shard."""
    pictures = np.load(path, mmap_mode="r")
    side = pictures.shape[1] // VAE_SCALE_FACTOR
    latents = np.empty((len(pictures), LATENT_CHANNELS, side, side), np.float16)
    for start in range(0, len(pictures), batch):
        rows = torch.from_numpy(pictures[start : start + batch].copy()).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with autocast(device):
            latents[start : start + batch] = model.encode(rows).half().cpu().numpy()
    return latents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)
    model = Autoencoder().to(device, memory_format=torch.channels_last).eval()
    model.load_state_dict(torch.load(arguments.autoencoder, map_location=device))
    arguments.out.mkdir(parents=True, exist_ok=True)

    shards = sorted(arguments.pictures.glob("*.json"))
    for size in sorted({path.stem.split("-")[0] for path in shards}):
        latents, records = [], []
        for path in (path for path in shards if path.stem.startswith(size + "-")):
            latents.append(encode_shard(model, path.with_suffix(".npy"), device, arguments.batch))
            records += json.loads(path.read_text())
        joined = np.concatenate(latents)
        joined = joined.reshape(-1, VERSIONS, *joined.shape[1:])
        np.save(arguments.out / f"{size}.npy", joined)
        groups = [records[start : start + VERSIONS] for start in range(0, len(records), VERSIONS)]
        (arguments.out / f"{size}.json").write_text(json.dumps(groups))
        sample = joined[:: max(1, len(joined) // 200)].astype(np.float32)
        print(f"{size}: {joined.shape}, mean {sample.mean():.3f}, deviation {sample.std():.3f}", flush=True)


if __name__ == "__main__":
    main()
