"""Groups of pictures, drawn on the fly by other processes and kept in memory while they are new."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Callable

import numpy as np
import torch

from captions import LookRecord
from render import render_group

#: Seed of what no training draws.
HELD_OUT_SEED = 999


def draw(seed: int, size: int, number: int, photographs: Path | None = None, only: str | None = None) -> tuple[np.ndarray, list[LookRecord]]:
    """Group `number` of a seed: uint8 [VERSIONS, size, size, 3] and its records; some of windows of `photographs`."""
    pictures, records = render_group(np.random.default_rng([seed, size, number]), size, photographs, only)
    return np.stack(pictures), records


def drawers(workers: int = 2) -> ProcessPoolExecutor:
    """The processes that draw for a training. Spawned, as a fork would inherit the locks of PyTorch's threads."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_drawer)


def _start_drawer() -> None:
    """One thread to draw with, and an end with the training even if that is killed."""
    torch.set_num_threads(1)

    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()


class Groups:
    """The newest `capacity` groups of one size; `prepare` turns the pictures of a group into what is kept of them.

    `only` is the style of all looks.

    A training starts when a tenth of them is there; the others come while it runs.
    """

    def __init__(
        self,
        executor: ProcessPoolExecutor,
        seed: int,
        size: int,
        capacity: int,
        prepare: Callable[[np.ndarray], np.ndarray],
        ahead: int = 8,
        photographs: Path | None = None,
        only: str | None = None,
    ) -> None:
        self.photographs, self.only = photographs, only
        self.executor, self.seed, self.size, self.capacity, self.prepare = executor, seed, size, capacity, prepare
        self.kept: list[np.ndarray] = []
        self.records: list[list[LookRecord]] = []
        self.taken = self.ordered = 0
        self.pending: deque[Future] = deque()
        for _ in range(ahead):
            self._order()
        while len(self.kept) < max(1, capacity // 10):
            self._take()

    def __len__(self) -> int:
        return len(self.kept)

    def _order(self) -> None:
        self.pending.append(self.executor.submit(draw, self.seed, self.size, self.ordered, self.photographs, self.only))
        self.ordered += 1

    def _take(self) -> None:
        """Wait for the next group; it takes the place of the oldest."""
        pictures, records = self.pending.popleft().result()
        self._order()
        kept = self.prepare(pictures)
        if len(self.kept) < self.capacity:
            self.kept.append(kept)
            self.records.append(records)
        else:
            self.kept[self.taken % self.capacity] = kept
            self.records[self.taken % self.capacity] = records
        self.taken += 1

    def fill(self) -> None:
        while len(self.kept) < self.capacity:
            self._take()

    def refresh(self) -> None:
        """Take one more group if it has been drawn meanwhile."""
        if self.pending[0].done():
            self._take()


def held_out(executor: ProcessPoolExecutor, size: int, number: int, prepare: Callable[[np.ndarray], np.ndarray]) -> Groups:
    """Groups that no training sees, always the same."""
    groups = Groups(executor, HELD_OUT_SEED, size, number, prepare, ahead=1)
    groups.fill()
    return groups
