"""Stage 1: draw the training pictures.

    python render.py --out data/pictures --size 256 --groups 2000 --workers 2

Pictures come in groups of VERSIONS: the same scene, first plain, then in different looks. Each shard is a pair of
files, `NAME.npy` (uint8 [groups * VERSIONS, size, size, 3]) and `NAME.json` (one look record per picture).
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captions import LookRecord
from scenes import draw_scene
from styles import QUALITIES, STYLES, TONES

VERSIONS = 6
SHARD_GROUPS = 100
Rng = np.random.Generator

#: Styles that carry their own, nearly colourless palette: tones and vivid colours would contradict them.
COLOURLESS = {"ink", "charcoal", "sepia", "blueprint", "woodcut"}
CONTRADICTIONS = [{"bright", "dark"}, {"vivid", "muted"}, {"warm", "cold"}, {"detailed", "simple"}, {"blurry", "sharp"}, {"detailed", "blurry"}, {"simple", "sharp"}]


def plain_record(content: str, photograph_like: bool) -> LookRecord:
    return {"style": "photo" if photograph_like else None, "qualities": [], "tones": [], "content": content}


def random_record(rng: Rng, content: str) -> LookRecord:
    """A look: usually a style, with up to two qualities and at most one tone; never a contradiction."""
    style = str(rng.choice(list(STYLES))) if rng.random() < 0.66 else None
    number = rng.choice(3, p=[0.5, 0.4, 0.1] if style else [0.2, 0.6, 0.2])
    qualities = [str(key) for key in rng.choice(list(QUALITIES), number, replace=False)]
    tones = [str(rng.choice(list(TONES)))] if rng.random() < (0.22 if style else 0.4) else []
    if any(pair <= set(qualities) for pair in CONTRADICTIONS):
        qualities = qualities[:1]
    if style in COLOURLESS:
        tones, qualities = [], [key for key in qualities if key not in ("vivid", "muted", "warm", "cold")]
    if tones:
        qualities = [key for key in qualities if key not in ("warm", "cold", "muted", "vivid")]
    return {"style": style, "qualities": qualities, "tones": tones, "content": content}


def apply_look(picture: Tensor, rng: Rng, record: LookRecord, photograph_like: bool) -> Tensor:
    """The picture [3, size, size] in 0..1 in the look that the record names."""
    if record["style"] and not (record["style"] == "photo" and photograph_like):
        picture = STYLES[record["style"]](picture, rng).clamp(0, 1)
    for key in record["qualities"]:
        picture = QUALITIES[key](picture, rng).clamp(0, 1)
    for key in record["tones"]:
        picture = TONES[key](picture, rng).clamp(0, 1)
    return picture


def to_bytes(picture: Tensor) -> np.ndarray:
    """[3, size, size] in 0..1 to uint8 [size, size, 3]."""
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def render_group(rng: Rng, size: int) -> tuple[list[np.ndarray], list[LookRecord]]:
    """One scene in VERSIONS looks; the first is plain."""
    scene, content, photograph_like = draw_scene(rng, size)
    if rng.random() < 0.5:
        scene = scene.flip(2)
    records = [plain_record(content, photograph_like)]
    records += [random_record(rng, content) for _ in range(VERSIONS - 1)]
    return [to_bytes(apply_look(scene.clamp(0, 1), rng, record, photograph_like)) for record in records], records


def render_shard(path: Path, seed: int, size: int, groups: int) -> str:
    """Draw a shard unless it is there already."""
    torch.set_num_threads(1)
    if path.with_suffix(".json").exists():
        return path.name
    rng = np.random.default_rng(seed)
    pictures, records = [], []
    for _ in range(groups):
        group_pictures, group_records = render_group(rng, size)
        pictures += group_pictures
        records += group_records
    np.save(path.with_suffix(".npy"), np.stack(pictures))
    path.with_suffix(".json").write_text(json.dumps(records))
    return path.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    shards = -(-arguments.groups // SHARD_GROUPS)
    with ProcessPoolExecutor(arguments.workers) as pool:
        jobs = []
        for shard in range(shards):
            groups = min(SHARD_GROUPS, arguments.groups - shard * SHARD_GROUPS)
            path = arguments.out / f"{arguments.size}-{shard:04d}"
            jobs.append(pool.submit(render_shard, path, arguments.seed * 100_000 + arguments.size * 10 + shard, arguments.size, groups))
        for job in jobs:
            print(job.result(), flush=True)


if __name__ == "__main__":
    main()
