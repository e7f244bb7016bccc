"""Stage 5: write the trained networks as an ONNX folder in optimum's layout, and check it against PyTorch.

    python export.py --tokenizer runs/tokenizer --autoencoder runs/autoencoder --diffusion runs/diffusion --out ../paintbox
    python export.py --tokenizer runs/tokenizer --autoencoder runs/autoencoder --diffusion runs/lcm --lcm --share ../paintbox --out ../paintbox-lcm

Weights are stored as float16 followed by a Cast, which halves the files; all arithmetic stays float32. The folder is
written beside the target first and its files are then moved over, so that a reader never sees half a file.
A distilled variant differs in its UNet only: with --share, links to another folder's networks take the place of the others.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import checkpoint
from autoencoder import LATENT_CHANNELS, Autoencoder
from denoiser import GUIDANCE_WIDTH, TEXT_WIDTH, UNET_CHANNELS, Denoiser
from diffusion import BETA_END, BETA_START, TRAIN_STEPS
from tokenizer import MAX_LENGTH, Tokenizer

OPSET = 17
#: Deviation of the noise that sampling from the encoder's distribution adds, in encoder units.
ENCODER_DEVIATION = 0.02
NATIVE_SIZE = 256
#: What /models says about the two variants, and their defaults.
CARD = {
    "full": {
        "title": "Paintbox",
        "description": "A small model that repaints pictures in a named style, quality or colour. Trained from scratch on pictures drawn by its own code, and twelve photographs.",
        "defaults": {"steps": 25, "guidance": 7.5, "scheduler": "dpmpp_2m"},
        "guidance_rescale": 0.3,
    },
    "lcm": {
        "title": "Paintbox in four steps",
        "description": "Paintbox distilled into a latent consistency model: four steps, one UNet row each.",
        "defaults": {"steps": 4, "guidance": 7.5, "scheduler": "lcm"},
    },
}


class EncoderGraph(nn.Module):
    """Pictures to mean (less the average latent) and log-variance, joined on the channel axis."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.encoder = autoencoder.encoder
        self.register_buffer("latent_mean", autoencoder.latent_mean.view(1, -1, 1, 1).clone())

    def forward(self, sample: Tensor) -> Tensor:
        mean = self.encoder(sample) - self.latent_mean
        return torch.cat([mean, torch.zeros_like(mean) + 2 * math.log(ENCODER_DEVIATION)], 1)


class DecoderGraph(nn.Module):
    """Latents as the encoder graph gives them to pictures."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder = autoencoder.decoder
        self.register_buffer("latent_mean", autoencoder.latent_mean.view(1, -1, 1, 1).clone())

    def forward(self, latent_sample: Tensor) -> Tensor:
        return self.decoder(latent_sample + self.latent_mean)


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace float32 weights of more than 64 values by float16 ones and a Cast to float32."""
    graph = model.graph
    weights, casts = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 64:
            weights.append(numpy_helper.from_array(values.astype(np.float16), tensor.name + "_float16"))
            casts.append(helper.make_node("Cast", [tensor.name + "_float16"], [tensor.name], to=TensorProto.FLOAT))
        else:
            weights.append(tensor)
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(weights)
    graph.node.extend(casts + nodes)
    onnx.checker.check_model(model)
    return model


def weights_of(path: Path) -> dict[str, Tensor]:
    """All weights of a graph as float32, under the names that they have in PyTorch."""
    graph = onnx.load(str(path)).graph
    return {
        tensor.name.removesuffix("_float16"): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in graph.initializer
    }


def export_graph(module: nn.Module, path: Path, inputs: dict[str, Tensor], output: str, axes: dict[str, dict[int, str]]) -> float:
    """Write one graph; returns the largest difference to PyTorch, over other sizes and batches than the traced ones."""
    module.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=[output],
            dynamic_axes=axes, opset_version=OPSET, dynamo=False,
            do_constant_folding=False,  # keeps the names of all weights, see from_onnx.py
        )  # fmt: skip
    onnx.save(store_as_float16(onnx.load(str(path))), str(path))

    # The same rounding in PyTorch, so that the comparison is about the graph and not about float16.
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() > 64:
                parameter.copy_(parameter.half().float())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch, scale in ((1, 1), (3, 2)):
        feeds = {}
        for name, value in inputs.items():
            shape = list(value.shape)
            shape[0] = batch
            if value.dim() == 4:
                shape[2] *= scale
            feeds[name] = torch.randint(0, 500, shape) if value.dtype == torch.int64 else torch.randn(shape)
            if name == "timestep":
                feeds[name] = feeds[name].abs() * 300
        with torch.no_grad():
            wanted = module(*feeds.values())
        made = session.run(None, {name: value.numpy() for name, value in feeds.items()})[0]
        largest = max(largest, float(np.abs(made - wanted.numpy()).max()))
    return largest


def export_networks(folder: Path, autoencoder: Autoencoder, denoiser: Denoiser, lcm: bool) -> dict[str, float]:
    """Write the four graphs; returns the largest difference of each to PyTorch."""
    picture_axes = {0: "batch", 2: "height", 3: "width"}
    ids = torch.zeros(2, MAX_LENGTH, dtype=torch.int64)
    latents = torch.randn(2, LATENT_CHANNELS, 32, 32)
    unet_inputs = {"sample": latents, "timestep": torch.tensor([10.0, 500.0]), "encoder_hidden_states": torch.randn(2, MAX_LENGTH, TEXT_WIDTH)}
    unet_axes = {"sample": picture_axes, "timestep": {0: "batch"}, "encoder_hidden_states": {0: "batch", 1: "sequence"}, "out_sample": picture_axes}
    if lcm:
        unet_inputs["timestep_cond"] = torch.randn(2, GUIDANCE_WIDTH)
        unet_axes["timestep_cond"] = {0: "batch"}
    return {
        "text_encoder": export_graph(
            denoiser.text_encoder, folder / "text_encoder/model.onnx", {"input_ids": ids}, "last_hidden_state",
            {"input_ids": {0: "batch", 1: "sequence"}, "last_hidden_state": {0: "batch", 1: "sequence"}},
        ),
        "unet": export_graph(denoiser.unet, folder / "unet/model.onnx", unet_inputs, "out_sample", unet_axes),
        "vae_encoder": export_graph(
            EncoderGraph(autoencoder), folder / "vae_encoder/model.onnx", {"sample": torch.randn(2, 3, 128, 128)}, "latent_parameters",
            {"sample": picture_axes, "latent_parameters": picture_axes},
        ),
        "vae_decoder": export_graph(
            DecoderGraph(autoencoder), folder / "vae_decoder/model.onnx", {"latent_sample": latents}, "sample",
            {"latent_sample": picture_axes, "sample": picture_axes},
        ),
    }  # fmt: skip


def write_configurations(folder: Path, tokenizer: Tokenizer, scaling_factor: float, lcm: bool) -> None:
    """Write every JSON file of the folder and the tokenizer."""

    def write(name: str, value: object) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")

    vae = {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": LATENT_CHANNELS,
        "block_out_channels": [48, 64, 80, 128],
        "sample_size": NATIVE_SIZE,
        "scaling_factor": scaling_factor,
    }
    write("vae_encoder/config.json", vae)
    write("vae_decoder/config.json", vae)
    write(
        "unet/config.json",
        {
            "_class_name": "UNet2DConditionModel",
            "in_channels": LATENT_CHANNELS,
            "out_channels": LATENT_CHANNELS,
            "sample_size": NATIVE_SIZE // 8,
            "cross_attention_dim": TEXT_WIDTH,
            "block_out_channels": list(UNET_CHANNELS),
            "time_cond_proj_dim": GUIDANCE_WIDTH if lcm else None,
        },
    )
    write(
        "text_encoder/config.json",
        {
            "architectures": ["CLIPTextModel"],
            "model_type": "clip_text_model",
            "hidden_size": TEXT_WIDTH,
            "max_position_embeddings": MAX_LENGTH,
            "num_hidden_layers": 2,
            "vocab_size": len(tokenizer.ids),
        },
    )
    scheduler = {
        "_class_name": "LCMScheduler" if lcm else "DDIMScheduler",
        "beta_start": BETA_START,
        "beta_end": BETA_END,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": TRAIN_STEPS,
        "prediction_type": "v_prediction",
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
        "rescale_betas_zero_snr": False,
    }
    write("scheduler/scheduler_config.json", {**scheduler, **({"original_inference_steps": 50, "timestep_scaling": 10.0} if lcm else {})})
    write(
        "model_index.json",
        {
            "_class_name": "LatentConsistencyModelImg2ImgPipeline" if lcm else "StableDiffusionPipeline",
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
            "scheduler": ["diffusers", scheduler["_class_name"]],
            "safety_checker": [None, None],
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
        },
    )
    write("img2img.json", {**CARD["lcm" if lcm else "full"], "license": "Apache-2.0", "size": {"native": NATIVE_SIZE, "multiple": 32, "min": 128, "max": 512}})
    tokenizer.save(folder / "tokenizer")


def move_over(source: Path, target: Path) -> None:
    """Move every file of `source` into `target`, replacing files one by one."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            part = destination.with_name(destination.name + ".part")
            shutil.copyfile(path, part)
            os.replace(part, destination)


def share(folder: Path, other: Path) -> None:
    """Replace every network but the UNet by a link to that of the other folder, which must have the same weights."""
    for name in ("text_encoder", "vae_encoder", "vae_decoder"):
        path, target = folder / name / "model.onnx", other / name / "model.onnx"
        own, others = weights_of(path), weights_of(target)
        if any(not np.allclose(value, others[key], atol=2e-3) for key, value in own.items()):
            raise SystemExit(f"{name} is not that of {other}")
        path.unlink()
        path.symlink_to(os.path.relpath(target, path.parent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, help="without it: random weights")
    parser.add_argument("--diffusion", type=Path, help="without it: random weights")
    parser.add_argument("--lcm", action="store_true", help="--diffusion is what distil.py wrote")
    parser.add_argument("--share", type=Path, metavar="FOLDER", help="link to the text encoder and autoencoder of this exported folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tolerance", type=float, default=2e-3)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    tokenizer = Tokenizer.load(arguments.tokenizer)
    autoencoder, denoiser = Autoencoder(), Denoiser(len(tokenizer.ids), GUIDANCE_WIDTH if arguments.lcm else None)
    if arguments.autoencoder:
        checkpoint.load_average(arguments.autoencoder, autoencoder)
    if arguments.diffusion:
        checkpoint.load_average(arguments.diffusion, denoiser)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scaling_factor = round(1 / float(autoencoder.latent_std), 6)
        differences = export_networks(folder, autoencoder, denoiser, arguments.lcm)
        write_configurations(folder, tokenizer, scaling_factor, arguments.lcm)
        for name, difference in differences.items():
            size = (folder / name / "model.onnx").stat().st_size / 1e6
            print(f"{name}: {size:.2f} MB, largest difference to PyTorch {difference:.1e}")
        if max(differences.values()) > arguments.tolerance:
            raise SystemExit("the exported graphs do not agree with PyTorch")
        move_over(folder, arguments.out)
    if arguments.share:
        share(arguments.out, arguments.share)


if __name__ == "__main__":
    main()
