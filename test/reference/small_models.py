"""What the scripts share that make small models: weights that follow from their names, and CLIP's tokenizer."""

import json
import math
import pathlib
import tempfile

import numpy as np
import torch
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

here = pathlib.Path(__file__).parent


def values(name: str, shape, gain=1) -> torch.Tensor:
    """Numbers that follow from the name: FNV-1a of it seeds murmur3's finalizer. test/pipeline/checkpoints.ts does the same."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    with np.errstate(over="ignore"):
        h = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x85EBCA6B)
        h ^= h >> np.uint32(13)
        h *= np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    scale, offset = spread(name, shape)
    numbers = (h.astype(np.float64) / 2**31 - 1) * (scale * gain) + offset
    return torch.from_numpy(numbers.astype(np.float32).reshape(shape))


# Random weights say little: predictions that a mistake would change, and pictures that are not all black and white.
gains = {"conv_out.weight": 2, "decoder.conv_out.weight": 0.5, "decoder.layers.15.weight": 0.03, "pos_embed.pos_embed": 20}


def spread(name: str, shape):
    if name.endswith("bias"):
        return 0.1, 0.5 if name == "decoder.layers.15.bias" else 0
    if len(shape) == 1:
        return 0.2, 1
    if "embedding.weight" in name:
        return 1, 0
    return math.sqrt(3 / math.prod(shape[1:])) * gains.get(name, 0.3 if name.endswith("conv.4.weight") else 1), 0


def fill(part: str, model: torch.nn.Module, more_gains={}) -> torch.nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values(name, parameter.shape, more_gains.get(name, 1)))
            parameter.requires_grad_(False)
    return model.eval()


def tokenizer(pad: str) -> CLIPTokenizer:
    merges = (here / "../../assets/clip/merges.txt").read_text().split("\n")[1:-1]
    symbols = list(bytes_to_unicode().values())
    tokens = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
        (pathlib.Path(folder) / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
        return CLIPTokenizer(f"{folder}/vocab.json", f"{folder}/merges.txt", pad_token=pad, model_max_length=77)
