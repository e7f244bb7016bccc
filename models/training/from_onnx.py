"""Turn an exported folder back into checkpoints, to go on training from it or to look at it.

    python from_onnx.py --model ../paintbox --out runs/from-onnx

Writes autoencoder.pt and diffusion.pt, which every other command takes. The weights are the float16 ones of the
folder; training that goes on from them starts with a fresh optimizer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from autoencoder import Autoencoder
from tokenizer import Tokenizer
from train_diffusion import make_networks
from training import write_safely


def weights_of(path: Path) -> dict[str, Tensor]:
    """All weights of a graph as float32, under the names that they have in PyTorch."""
    graph = onnx.load(str(path)).graph
    return {
        tensor.name.removesuffix("_float16"): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in graph.initializer
    }


def load_into(module: torch.nn.Module, weights: dict[str, Tensor], prefix: str = "") -> None:
    """Fill a module; complains if a weight is missing."""
    wanted = module.state_dict()
    module.load_state_dict({name: weights[prefix + name].reshape(value.shape) for name, value in wanted.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    graph = {name: weights_of(arguments.model / name / "model.onnx") for name in ("text_encoder", "unet", "vae_encoder", "vae_decoder")}

    autoencoder = Autoencoder()
    load_into(autoencoder.encoder, graph["vae_encoder"], "encoder.")
    load_into(autoencoder.decoder, graph["vae_decoder"], "decoder.")
    autoencoder.latent_mean.copy_(graph["vae_decoder"]["latent_mean"].flatten())
    settings = json.loads((arguments.model / "vae_encoder/config.json").read_text())
    autoencoder.latent_std.fill_(1 / settings["scaling_factor"])

    text_encoder, unet = make_networks(len(Tokenizer.load(arguments.model / "tokenizer").ids))
    load_into(text_encoder, graph["text_encoder"])
    load_into(unet, graph["unet"])

    arguments.out.mkdir(parents=True, exist_ok=True)
    states = {"text_encoder": text_encoder.state_dict(), "unet": unet.state_dict()}
    write_safely(arguments.out / "autoencoder.pt", autoencoder.state_dict())
    write_safely(arguments.out / "diffusion.pt", {"weights": states, "average": states, "step": 0, "samples": 0})


if __name__ == "__main__":
    main()
