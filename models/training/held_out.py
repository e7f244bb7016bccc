"""Draw the starters of `npm run models:eval`: plain scenes from a seed that no training uses.

    python held_out.py --out runs/starters --photographs runs/photographs

Writes NNN.png and scenes.json: for each what it shows and whether it is photograph-like. Half of them are photograph-like. Of the
first drawn ones it also writes simulated/STYLE-NNN.png, in the looks that `npm run models:eval` measures beside its judge,
and with --photographs the middle squares of those that are held out as photographs/NAME.png, with a README of their sources.
`npm run models:starters FOLDER` packs all into ../../evaluation.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from groups import HELD_OUT_SEED
from photographs import middle, pictures, table
from png import write_png
from render import to_bytes
from scenes import draw_scene
from styles import STYLES

#: Looks that have a measure in ../../evaluation/looks.ts, and how many starters are shown in them.
SIMULATED, SIMULATED_NUMBER = ("pixel", "watercolour", "oil", "photo"), 6

HEADING = """# Photographs to measure with

No training sees them. Each is the middle square of a photograph, scaled down to 256 x 256; old prints are grey. Their licences are
[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/), [CC BY 2.0](https://creativecommons.org/licenses/by/2.0/) and
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--photographs", type=Path, help="a folder that photographs.py wrote")
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
    if arguments.photographs:
        folder = arguments.out / "photographs"
        folder.mkdir(exist_ok=True)
        held_out = pictures(arguments.photographs, True)
        for photograph, picture in held_out:
            write_png(folder / f"{photograph.name}.png", to_bytes(middle(photograph, picture, arguments.size)))
        (folder / "README.md").write_text(HEADING + table([photograph for photograph, _ in held_out]))


if __name__ == "__main__":
    main()
