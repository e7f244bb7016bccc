"""Groups of pictures, drawn on the fly by other processes and kept in memory while they are new."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
import torch

from captions import LookRecord
from pool import Pool
from render import render_group

#: Seed of what no training draws.
HELD_OUT_SEED = 999


def draw(seed: int, size: int, number: int, photographs: Path | None = None, only: str | None = None, more: Sequence[str] = ()) -> tuple[np.ndarray, list[LookRecord]]:
    """Group `number` of a seed: uint8 [VERSIONS, size, size, 3] and its records; some of windows of `photographs`."""
    pictures, records = render_group(np.random.default_rng([seed, size, number]), size, photographs, only, more)
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
    """The newest `capacity` groups of one size; `prepare` turns the pictures of a group into what is kept of them, and `describe` its
    records into what is said of them.

    A training starts when a tenth of them is there, or 200; the others come while it runs. With a folder as `pool` they also stay on disk.
    `only` is the style of all looks, `more` are those of most. Groups from number `end` on are not drawn.
    """

    def __init__(
        self,
        executor: ProcessPoolExecutor,
        seed: int,
        size: int,
        capacity: int,
        prepare: Callable[[np.ndarray], np.ndarray],
        ahead: int = 8,
        end: int | None = None,
        describe: Callable[[np.random.Generator, list[LookRecord]], Any] | None = None,
        photographs: Path | None = None,
        only: str | None = None,
        more: Sequence[str] = (),
        pool: Path | None = None,
    ) -> None:
        self.looks = photographs, only, more
        self.describe, self.end = describe, end
        self.pool = Pool(pool, seed, size) if pool else None
        self.executor, self.seed, self.size, self.capacity, self.prepare = executor, seed, size, capacity, prepare
        known = self.pool.newest(capacity) if self.pool else []
        self.kept: list[np.ndarray] = []
        self.records: list[list[LookRecord]] = []
        self.said: list[Any] = []
        self.taken = 0
        for group in known:
            self._keep(*group)
        self.ordered = self.pool.number if self.pool else 0
        self.pending: deque[Future] = deque()
        for _ in range(ahead):
            self._order()
        while len(self.kept) < min(max(1, capacity // 10), 200):
            self._take()

    def __len__(self) -> int:
        return len(self.kept)

    def _order(self) -> None:
        if self.ordered == self.end:
            return
        self.pending.append(self.executor.submit(draw, self.seed, self.size, self.ordered, *self.looks))
        self.ordered += 1

    def _take(self) -> None:
        """Wait for the next group; it takes the place of the oldest."""
        pictures, records = self.pending.popleft().result()
        self._order()
        kept = self.prepare(pictures)
        if self.pool:
            self.pool.add((kept, records))
        self._keep(kept, records)

    def _keep(self, kept: np.ndarray, records: list[LookRecord]) -> None:
        said = self.describe(np.random.default_rng([self.seed, self.size, self.taken]), records) if self.describe else None
        for values, value in ((self.kept, kept), (self.records, records), (self.said, said)):
            if len(values) < self.capacity:
                values.append(value)
            else:
                values[self.taken % self.capacity] = value
        self.taken += 1

    def fill(self) -> None:
        while len(self.kept) < self.capacity:
            self._take()

    def refresh(self, most: int = 1) -> None:
        """Take so many more groups, or fewer if fewer have been drawn meanwhile."""
        for _ in range(most):
            if not self.pending or not self.pending[0].done():
                return
            self._take()


def held_out(
    executor: ProcessPoolExecutor,
    size: int,
    number: int,
    prepare: Callable[[np.ndarray], np.ndarray],
    describe: Callable[[np.random.Generator, list[LookRecord]], Any] | None = None,
    pool: Path | None = None,
) -> Groups:
    """Groups that no training sees, always the same."""
    groups = Groups(executor, HELD_OUT_SEED, size, number, prepare, end=number, describe=describe, pool=pool)
    groups.fill()
    return groups
