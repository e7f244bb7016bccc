"""Pictures to PNG files with nothing but Python and numpy."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np


def write_png(path: Path, picture: np.ndarray) -> None:
    """uint8 [height, width, 3] to an 8-bit RGB file without filters."""
    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], 1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def write_sheet(path: Path, rows: list[list[np.ndarray]], shrink: int = 2) -> None:
    """Rows of pictures uint8 [size, size, 3], each shrunk by averaging, with a white gap between them."""
    gap = 2
    small = []
    for row in rows:
        for picture in row:
            side = picture.shape[0] // shrink
            means = picture.reshape(side, shrink, side, shrink, 3).mean((1, 3)).round().astype(np.uint8)
            small.append(np.pad(means, ((0, gap), (0, gap), (0, 0)), constant_values=255))
    columns = len(rows[0])
    lines = [np.concatenate(small[start : start + columns], 1) for start in range(0, len(small), columns)]
    write_png(path, np.concatenate(lines, 0))
