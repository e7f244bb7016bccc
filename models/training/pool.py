"""Groups that stay on disk, so that a training which goes on, or waits for a busy machine, need not draw them again.

What is kept is what the training prepared of the pictures: latents, which hold only for the autoencoder that made them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from captions import LookRecord

#: Groups in a file.
FILE = 25
Group = tuple[np.ndarray, list[LookRecord]]


class Pool:
    """The groups of one seed and size in a folder: SEED-SIZE-NUMBER.npz, by the number of the first group in the file."""

    def __init__(self, folder: Path, seed: int, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = str(folder / f"{seed}-{size}")
        self.files = sorted(folder.glob(f"{seed}-{size}-*.npz"))
        self.waiting: list[Group] = []

    @property
    def number(self) -> int:
        """Of the first group that is not in a file."""
        return int(self.files[-1].stem.split("-")[-1]) + FILE if self.files else 0

    def newest(self, number: int) -> list[Group]:
        """The newest groups, at most so many, oldest first."""
        groups: list[Group] = []
        for file in self.files[-(-(-number // FILE)) :]:
            with np.load(file) as content:
                groups += zip(content["kept"], json.loads(str(content["records"])))
        return groups[-number:]

    def add(self, group: Group) -> None:
        """Keep one more group; they are written when a file is full."""
        self.waiting.append(group)
        if len(self.waiting) < FILE:
            return
        kept, records = zip(*self.waiting)
        file = Path(f"{self.name}-{self.number:06d}.npz")
        with file.with_suffix(".part").open("wb") as part:
            np.savez(part, kept=np.stack(kept), records=json.dumps(records))
        file.with_suffix(".part").replace(file)
        self.files.append(file)
        self.waiting = []
