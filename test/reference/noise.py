"""Writes noise.json: consecutive draws of torch's CPU generator. Run with torch 2.15: python noise.py"""

import json
import pathlib

import torch

out = []
for seed, sizes in [(0, [16, 17, 64]), (1234, [100, 16]), (2**32 - 1, [31, 256])]:
    generator = torch.Generator("cpu").manual_seed(seed)
    draws = [[round(x, 8) for x in torch.randn(n, generator=generator).tolist()] for n in sizes]
    out.append({"seed": seed, "sizes": sizes, "draws": draws})
pathlib.Path(__file__).with_name("noise.json").write_text(json.dumps(out) + "\n")
