"""Weights between those of a training and of one that went on from it.

    python mix.py --before runs/diffusion --after runs/pixel --share 0.33 --out runs/mixed

A training mostly of few looks forgets something of the others. Part of the way to it most of what it learnt is there, and hardly
anything is forgotten (WiSE-FT, Wortsman et al. 2022). Writes a training's state without moments.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--share", type=float, required=True, help="of the way: 0 is before, 1 is after")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    share, before, after = arguments.share, checkpoint.averages(arguments.before), checkpoint.averages(arguments.after)
    checkpoint.save_weights(arguments.out, {name: (1 - share) * value + share * after[name] for name, value in before.items()})


if __name__ == "__main__":
    main()
