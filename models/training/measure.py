"""Measure an exported folder with onnxruntime: round-trip quality, and time of a UNet call.

    python measure.py --model ../paintbox --held-out data/held-out --threads 2
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime

from render import VERSIONS


def open_graph(folder: Path, name: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(folder / name / "model.onnx"), options, providers=["CPUExecutionProvider"])


def round_trip(encoder: onnxruntime.InferenceSession, decoder: onnxruntime.InferenceSession, picture: np.ndarray) -> float:
    """PSNR in decibels of one picture (uint8 [h, w, 3]) encoded and decoded."""
    sample = (picture.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
    mean, _ = np.split(encoder.run(None, {"sample": sample})[0], 2, axis=1)
    made = decoder.run(None, {"latent_sample": mean})[0].clip(-1, 1)
    return float(10 * np.log10(4 / np.mean((made - sample) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    encoder, decoder = (open_graph(arguments.model, name, arguments.threads) for name in ("vae_encoder", "vae_decoder"))
    shard = sorted(arguments.held_out.glob("256-*.json"))[0]
    pictures, records = np.load(shard.with_suffix(".npy"), mmap_mode="r"), json.loads(shard.read_text())
    kinds: dict[str, list[float]] = {"photograph-like": [], "drawn": []}
    for row in range(0, len(records), VERSIONS):
        kind = "photograph-like" if records[row]["style"] == "photo" else "drawn"
        kinds[kind].append(round_trip(encoder, decoder, pictures[row]))
    for kind, values in kinds.items():
        print(f"round trip at 256 px, {len(values)} {kind} pictures: mean {np.mean(values):.1f} dB, worst {min(values):.1f} dB")

    unet = open_graph(arguments.model, "unet", arguments.threads)
    settings = json.loads((arguments.model / "unet/config.json").read_text())
    rng = np.random.default_rng(0)
    for size in (128, 256, 512):
        for rows in (1, 2, 4):
            feeds = {
                "sample": rng.standard_normal((rows, settings["in_channels"], size // 8, size // 8), np.float32),
                "timestep": np.full(rows, 500, np.float32),
                "encoder_hidden_states": rng.standard_normal((rows, 48, settings["cross_attention_dim"]), np.float32),
            }
            times = []
            for _ in range(7):
                start = time.perf_counter()
                unet.run(None, feeds)
                times.append(time.perf_counter() - start)
            print(f"unet {size} px, {rows} rows: {np.median(times) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
