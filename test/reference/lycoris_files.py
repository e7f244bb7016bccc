"""Writes lycoris.json: files as PyPI's lycoris-lora and peft write them, beside plain LoRAs: a LoKr for the small model of
checkpoints.json.gz with the pictures that lycoris-lora's network makes, its products, and the keys of DoRA and OFT files. The
weights are no part of it: both sides compute them from their names.

    v/bin/pip install peft==0.18.1 lycoris-lora==4.1.3 (beside what checkpoints.py takes)
    OMP_NUM_THREADS=1 v/bin/python test/reference/lycoris_files.py
"""

import base64
import gzip
import importlib.metadata
import json
import tempfile

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from lycoris.functional import lokr
from lycoris.kohya import create_network
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file
from small_models import fill, here, tokenizer, values
from transformers import CLIPTextConfig, CLIPTextModel

family = json.loads(gzip.decompress((here / "checkpoints.json.gz").read_bytes()))["families"]["sd"]


def make_pipeline():
    files = family["files"]
    encoder = CLIPTextModel(CLIPTextConfig(**files["text_encoder/config.json"] | {"attn_implementation": "eager"}))
    schedule = files["scheduler/scheduler_config.json"]
    pipeline = StableDiffusionImg2ImgPipeline(
        fill("vae", AutoencoderKL.from_config(files["vae/config.json"])), fill("text_encoder", encoder),
        tokenizer(family["padding"]["tokenizer"]), fill("unet", UNet2DConditionModel.from_config(files["unet/config.json"])),
        DDIMScheduler.from_config({**schedule, "clip_sample": False}), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def network_of(pipeline, scale=1.0, **options):
    options = {"preset": "attn-mlp", **options}
    network = create_network(scale, 2, 1.5, None, pipeline.text_encoder, pipeline.unet, conv_dim=2, conv_alpha=1.5, **options)
    network.apply_to(pipeline.text_encoder, pipeline.unet, True, True)
    return network


width = height = 64
y, x = np.mgrid[:height, :width]
starter = Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8))
kinds = {
    "lokr": {"algo": "lokr", "factor": 4, "preset": "attn-mlp"},
    "lokr-tucker": {"algo": "lokr", "factor": 8, "decompose_both": True, "use_tucker": True, "preset": "unet-convblock-only"},
}
runs = [("lokr", 0.7, 4, 0.75, 5.0, "a red glass", "blue"), ("lokr-tucker", -1.0, 3, 1.0, 1.0, "ink", "")]
files, cases = {}, []
for seed, (kind, scale, steps, strength, guidance, prompt, negative) in enumerate(runs):
    pipeline = make_pipeline()

    def picture():
        made = pipeline(
            prompt=prompt, negative_prompt=negative, image=starter, strength=strength, num_inference_steps=steps, guidance_scale=guidance,
            generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
        ).images[0]
        return (made * 255).round().astype(np.uint8)

    without = picture()
    network = network_of(pipeline, scale, **kinds[kind]).eval()
    # An alpha is a number; everything else follows from its name.
    entries = {key: float(tensor) if tensor.dim() == 0 else list(tensor.shape) for key, tensor in network.state_dict().items()}
    network.load_state_dict({key: torch.tensor(entry) if isinstance(entry, float) else values(key, entry) for key, entry in entries.items()})
    with torch.no_grad():
        pixels = picture()
    print(kind, len(entries), "keys, of", sorted({key.split(".")[-1] for key in entries}), "changed", round(float(np.abs(pixels.astype(int) - without).mean()), 1),
          "deviation", round(float(pixels.std()), 1), flush=True)
    files[kind] = {"family": "sd", "dtype": "float32", "tensors": entries}
    cases.append({
        "family": "sd", "loras": [(kind, scale)], "scheduler": "ddim", "steps": steps, "strength": strength, "guidance": guidance,
        "prompt": prompt, "negative_prompt": negative, "seed": seed, "width": width, "height": height,
        "pixels": base64.b64encode(pixels[::2, ::2].tobytes()).decode(),
    })


def product(kind, shapes):
    """As lycoris-lora makes it, with a scale of 1."""
    keys = [f"lokr_{key}" for key in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")]
    tensors = [values(f"{kind}.{key}", shapes[key]) if key in shapes else None for key in keys]
    # Gamma is alpha: it is divided by the rank that this function reads off a first factor.
    rank = next((shapes[key][1] for key in ("lokr_w1_a", "lokr_w2_a") if key in shapes), 1)
    delta = lokr.diff_weight(*tensors, gamma=rank, backend="torch")
    return {"kind": kind, "shapes": shapes, "delta": [round(float(value), 7) for value in delta.flatten()], "shape": list(delta.shape)}


products = [
    product("lokr-whole", {"lokr_w1": [2, 3], "lokr_w2": [4, 5]}),
    product("lokr-both", {"lokr_w1_a": [2, 2], "lokr_w1_b": [2, 3], "lokr_w2_a": [4, 2], "lokr_w2_b": [2, 5]}),
    product("lokr-conv", {"lokr_w1": [2, 3], "lokr_w2_a": [4, 2], "lokr_w2_b": [2, 5, 3, 3]}),
    product("lokr-whole-conv", {"lokr_w1": [2, 3], "lokr_w2": [4, 5, 3, 3]}),
    product("lokr-tucker", {"lokr_w1": [2, 3], "lokr_w2_a": [2, 4], "lokr_w2_b": [2, 5], "lokr_t2": [2, 2, 3, 3]}),
]

refused = {}
for name, options in {"dora": {"algo": "lora", "dora_wd": True}, "lokr-dora": {"algo": "lokr", "factor": 4, "dora_wd": True},
                      "oft": {"algo": "diag-oft"}, "boft": {"algo": "boft"}}.items():
    refused[name] = {key: list(tensor.shape) for key, tensor in network_of(make_pipeline(), **options).state_dict().items()}
pipeline = make_pipeline()
pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k"], use_dora=True))
with tempfile.TemporaryDirectory() as folder:
    pipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(pipeline.unet))
    refused["peft-dora"] = {key: list(tensor.shape) for key, tensor in load_file(f"{folder}/pytorch_lora_weights.safetensors").items()}
for name, entries in refused.items():
    print(name, len(entries), "keys, of", sorted({key.split(".", 1)[-1].split(".")[-1] for key in entries})[:8])
    refused[name] = dict(list(entries.items())[:12])  # what follows is the same for other layers

versions = {name: importlib.metadata.version(name) for name in ("diffusers", "peft", "lycoris-lora", "torch")}
text = json.dumps({"versions": versions, "files": files, "cases": cases, "products": products, "refused": refused})
(here / "lycoris.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
