"""One scene in several looks, and the records that say what was applied.

    python render.py --out runs/drawings

draws a sheet of groups to look at. Training draws its own, see groups.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from torch import Tensor

from captions import LookRecord
from photographs import window
from png import write_sheet
from scenes import draw_scene
from styles import LORA_STYLES, QUALITIES, STYLES, TONES

VERSIONS = 6
#: The versions that differ in one word.
TWINS = (VERSIONS - 2, VERSIONS - 1)
#: Share of scenes that are photographs, where there are some.
PHOTOGRAPHS_SHARE = 0.35
Rng = np.random.Generator

#: Styles that carry their own, nearly colourless palette: tones and vivid colours would contradict them.
COLOURLESS = {"ink", "charcoal", "sepia", "blueprint", "woodcut"}
CONTRADICTIONS = [{"bright", "dark"}, {"vivid", "muted"}, {"warm", "cold"}, {"detailed", "simple"}, {"blurry", "sharp"}, {"detailed", "blurry"}, {"simple", "sharp"}]


#: How many times as often as the others styles are drawn that are harder to learn.
OFTEN = {"watercolour": 4, "oil": 4, "pixel": 4, "photo": 4, "flat": 3, "charcoal": 2, "lowpoly": 2, "pastel": 2, "comic": 2}
SHARES = np.array([OFTEN.get(style, 1) for style in STYLES], float)
#: Share of styles that are of those that a training wants more of, where it names some.
MORE_SHARE = 0.6


def plain_record(content: str, photograph_like: bool) -> LookRecord:
    return {"style": "photo" if photograph_like else None, "qualities": [], "tones": [], "content": content}


def random_style(rng: Rng, more: Sequence[str]) -> str:
    """One of all styles, or mostly one of `more`."""
    if more and rng.random() < MORE_SHARE:
        return str(rng.choice(list(more)))
    return str(rng.choice(list(STYLES), p=SHARES / SHARES.sum()))


def random_record(rng: Rng, content: str, only: str | None = None, more: Sequence[str] = ()) -> LookRecord:
    """A look: usually a style (mostly of `more`; with `only` that one, always), with up to two qualities and at most one tone; never a
    contradiction."""
    style = only or random_style(rng, more) if rng.random() < 0.66 else None
    number = rng.choice(3, p=[0.5, 0.4, 0.1] if style else [0.2, 0.6, 0.2])
    qualities = [str(key) for key in rng.choice(list(QUALITIES), number, replace=False)]
    tones = [str(rng.choice(list(TONES)))] if rng.random() < (0.22 if style else 0.4) else []
    if any(pair <= set(qualities) for pair in CONTRADICTIONS):
        qualities = qualities[:1]
    if style in COLOURLESS or only:
        tones, qualities = [], [key for key in qualities if key not in ("vivid", "muted", "warm", "cold")]
    if tones:
        qualities = [key for key in qualities if key not in ("warm", "cold", "muted", "vivid")]
    return {"style": style, "qualities": qualities, "tones": tones, "content": content}


def twin_of(rng: Rng, record: LookRecord) -> LookRecord:
    """The same look but for one word: a tone or quality less, or, where there is none, one more."""
    if record["tones"]:
        return {**record, "tones": []}
    if record["qualities"]:
        return {**record, "qualities": record["qualities"][1:]}
    if record["style"] in COLOURLESS | set(LORA_STYLES):
        return {**record, "qualities": [str(rng.choice(["bright", "dark", "detailed", "blurry", "contrast"]))]}
    return {**record, "tones": [str(rng.choice(list(TONES)))]}


def apply_look(picture: Tensor, rng: Rng, record: LookRecord, photograph_like: bool) -> Tensor:
    """The picture [3, size, size] in 0..1 in the look that the record names."""
    if record["style"] and not (record["style"] == "photo" and photograph_like):
        picture = (STYLES | LORA_STYLES)[record["style"]](picture, rng).clamp(0, 1)
    for key in record["qualities"]:
        picture = QUALITIES[key](picture, rng).clamp(0, 1)
    for key in record["tones"]:
        picture = TONES[key](picture, rng).clamp(0, 1)
    return picture


def to_bytes(picture: Tensor) -> np.ndarray:
    """[3, size, size] in 0..1 to uint8 [size, size, 3]."""
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def render_group(rng: Rng, size: int, photographs: Path | None = None, only: str | None = None, more: Sequence[str] = ()) -> tuple[list[np.ndarray], list[LookRecord]]:
    """One scene in VERSIONS looks; the first is plain, the last two (TWINS) differ in one word and in nothing else.

    With a folder of `photographs` some scenes are windows of those; `only` is the style of all looks, `more` are those of most.
    """
    if photographs and rng.random() < PHOTOGRAPHS_SHARE:
        (scene, content), photograph_like = window(rng, size, photographs), True
    else:
        scene, content, photograph_like = draw_scene(rng, size)
    records = [plain_record(content, photograph_like)]
    records += [random_record(rng, content, only, more) for _ in range(VERSIONS - 2)]
    records.append(twin_of(rng, records[-1]))
    seeds = rng.integers(2**32, size=VERSIONS)
    seeds[TWINS[1]] = seeds[TWINS[0]]
    return [
        to_bytes(apply_look(scene.clamp(0, 1), np.random.default_rng(seed), record, photograph_like))
        for seed, record in zip(seeds, records)
    ], records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--groups", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--photographs", type=Path, help="what photographs.py wrote")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [render_group(np.random.default_rng([arguments.seed, group]), arguments.size, arguments.photographs) for group in range(arguments.groups)]
    write_sheet(arguments.out / "sheet.png", [pictures for pictures, _ in rows])
    for _, records in rows:
        print(records[0]["content"], *(" + ".join(filter(None, [r["style"], *r["qualities"], *r["tones"]])) for r in records[1:]), sep=" | ")


if __name__ == "__main__":
    main()
