"""Draw the starters of `npm run models:eval`: plain scenes from a seed that no training uses.

    python held_out.py --out runs/starters

Writes NNN.png and scenes.json: for each what it shows and whether it is photograph-like. Half of them are photograph-like. Of the
first drawn ones it also writes simulated/STYLE-NNN.png, in the looks that `npm run models:eval` measures beside its judge.
`npm run models:starters FOLDER` packs all into ../../evaluation.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from groups import HELD_OUT_SEED
from png import write_png
from render import to_bytes
from scenes import draw_scene
from styles import STYLES

#: Looks that have a measure in ../../evaluation/looks.ts, and how many starters are shown in them.
SIMULATED, SIMULATED_NUMBER = ("pixel", "watercolour", "oil", "photo"), 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    (arguments.out / "simulated").mkdir(parents=True, exist_ok=True)
    scenes = []
    attempt = 0
    while len(scenes) < arguments.number:
        # Apart from the scenes by which trainings measure themselves, as those may be used to choose among checkpoints.
        picture, content, photograph_like = draw_scene(np.random.default_rng([HELD_OUT_SEED, 1, attempt]), arguments.size)
        attempt += 1
        if photograph_like != bool(len(scenes) % 2):
            continue
        write_png(arguments.out / f"{len(scenes):03d}.png", to_bytes(picture))
        if not photograph_like and len(scenes) < 2 * SIMULATED_NUMBER:
            for style in SIMULATED:
                look = STYLES[style](picture.clamp(0, 1), np.random.default_rng(len(scenes)))
                write_png(arguments.out / "simulated" / f"{style}-{len(scenes):03d}.png", to_bytes(look))
        scenes.append({"content": content, "photographLike": photograph_like})
    (arguments.out / "scenes.json").write_text(json.dumps(scenes, indent=0) + "\n")


if __name__ == "__main__":
    main()
