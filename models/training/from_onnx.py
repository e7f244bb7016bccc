"""Turn an exported folder back into checkpoints, to go on training from it or to look at it.

    python from_onnx.py --model ../paintbox --out runs/from-onnx

Writes OUT/tokenizer, OUT/autoencoder and OUT/diffusion, which every other command takes. The weights are the float16 ones of
the folder; training that goes on from them (--resume) starts with fresh moments.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

import checkpoint
from autoencoder import Autoencoder
from denoiser import GUIDANCE_WIDTH, Denoiser
from export import weights_of
from tokenizer import Tokenizer


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

    tokenizer = Tokenizer.load(arguments.model / "tokenizer")
    denoiser = Denoiser(len(tokenizer.ids), GUIDANCE_WIDTH if "cond_proj.weight" in graph["unet"] else None)
    load_into(denoiser.text_encoder, graph["text_encoder"])
    load_into(denoiser.unet, graph["unet"])

    tokenizer.save(arguments.out / "tokenizer")
    for name, module in (("autoencoder", autoencoder), ("diffusion", denoiser)):
        checkpoint.save_weights(arguments.out / name, module.state_dict())


if __name__ == "__main__":
    main()
