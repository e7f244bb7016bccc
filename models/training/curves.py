"""Draw the curves of a training's log as SVG.

    python curves.py --log runs/diffusion/log.jsonl --out curves.svg
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 300, 56, 34, 14, 110
COLOURS = ["#1b6ca8", "#c0392b", "#27814a", "#8e5ea2", "#c77d0a", "#3b3b3b", "#d1477f", "#0f8b8d"]


def plot(rows: list[dict], across: str, names: list[str], title: str) -> str:
    """Curves over `across`, the values, as far as they are above 0, on a logarithmic axis; a grey line where a training was started again."""
    points = {name: [(row[across], row[name]) for row in rows if row.get(name, 0) > 0] for name in names}
    points = {name: curve for name, curve in points.items() if curve}
    values = [value for curve in points.values() for _, value in curve]
    low, high = math.log10(min(values)), math.log10(max(values))
    most = max(x for curve in points.values() for x, _ in curve)

    def place(x: float, value: float) -> tuple[float, float]:
        share = (math.log10(value) - low) / (high - low or 1)
        return LEFT + x / most * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    parts = [f'<text x="{LEFT}" y="{HEIGHT - 6}">{title}, by {across} (to {most:,})</text>']
    for step in range(5):
        value = 10 ** (low + (high - low) * step / 4)
        _, y = place(0, value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/><text x="4" y="{y + 4:.1f}">{value:.3g}</text>')
    for before, after in zip(rows, rows[1:]):
        if after.get("part", 1) != before.get("part", 1) and across in after:
            x, _ = place(after[across], values[0])
            parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#aaa" stroke-dasharray="3 3"/>')
    for number, (name, curve) in enumerate(points.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{TOP + 14 + 16 * number}" fill="{colour}">{name}</text>')
    style = "font-family='sans-serif' font-size='12'"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.log.read_text().splitlines()]
    across = next(name for name in ("samples", "points", "pictures", "step") if any(name in row for row in rows))
    rows = [row for row in rows if across in row]
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name.startswith(("plain_", "pull_", "end_", "psnr_", "loss"))]
    arguments.out.write_text(plot(rows, across, names, arguments.log.stem))


if __name__ == "__main__":
    main()
