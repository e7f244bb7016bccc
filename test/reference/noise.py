"""Writes noise.json: consecutive draws of torch's CPU generator, of sizes that are and are not multiples of 16, and below 16, which
torch draws by another method that keeps every second number for later. Of draws longer than 300, every 97th number and the last 16.

    pip install torch==2.15.0 numpy
    python noise.py
"""

import json
import pathlib

import torch

out = []
for seed, sizes in [
    (0, [16, 17, 64]),
    (1234, [100, 16]),
    (2**32 - 1, [31, 256]),
    (5, [1, 1, 2, 3, 15, 7]),
    (6, [3, 16, 4, 33, 1, 1]),  # the number that is kept outlives longer draws
    (7, [4 * 64 * 64, 4 * 63 * 65, 5, 100_003, 16]),
]:
    generator = torch.Generator("cpu").manual_seed(seed)
    draws = []
    for n in sizes:
        numbers = torch.randn(n, generator=generator).tolist()
        draws.append([round(x, 8) for x in (numbers if n <= 300 else numbers[::97] + numbers[-16:])])
    out.append({"seed": seed, "sizes": sizes, "draws": draws})
pathlib.Path(__file__).with_name("noise.json").write_text(json.dumps(out) + "\n")
