"""Writes loras.json.gz: LoRAs for the small models of checkpoints.json.gz, in the layouts that trainers write, and the pictures that
diffusers makes with them (load_lora_weights, then fuse_lora); and what lycoris-lora makes of LoCon and LoHa. The weights are no part
of it: both sides compute them from their names.

    v/bin/pip install peft==0.18.1 lycoris-lora==4.1.3 (beside what checkpoints.py takes)
    OMP_NUM_THREADS=1 v/bin/python test/reference/loras.py
"""

import base64
import gzip
import importlib.metadata
import json
import math
import tempfile

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from lycoris.functional import locon, loha
from PIL import Image
from safetensors.torch import save_file
from small_models import fill, here, tokenizer, values
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

families = json.loads(gzip.decompress((here / "checkpoints.json.gz").read_bytes()))["families"]


def pipeline_of(name):
    files, padding = families[name]["files"], families[name]["padding"]
    config = lambda part: {key: value for key, value in files[f"{part}/config.json"].items()}
    clip = lambda cls, part: fill(part, cls(CLIPTextConfig(**config(part) | {"attn_implementation": "eager"})))
    unet = fill("unet", UNet2DConditionModel.from_config(config("unet")))
    vae = fill("vae", AutoencoderKL.from_config(config("vae")))
    schedule = files["scheduler/scheduler_config.json"]
    if name == "sdxl":
        return StableDiffusionXLImg2ImgPipeline(
            vae, clip(CLIPTextModel, "text_encoder"), clip(CLIPTextModelWithProjection, "text_encoder_2"),
            tokenizer(padding["tokenizer"]), tokenizer(padding["tokenizer_2"]), unet,
            EulerDiscreteScheduler.from_config(schedule), add_watermarker=False,
        )
    none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return StableDiffusionImg2ImgPipeline(
        vae, clip(CLIPTextModel, "text_encoder"), tokenizer(padding["tokenizer"]), unet, DDIMScheduler.from_config(schedule), **none
    )


attention = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
convolutions = ("conv1", "conv2", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv")
encoder = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def modules(family, part, ends):
    for name, shape in families[family]["tensors"][part].items():
        module = name.removesuffix(".weight")
        if name != module and module.endswith(ends):
            yield module, shape


def pair(shape, rank):
    """down and up"""
    to, frm, *kernel = shape
    return [rank, frm, *kernel], [to, rank, *(1 for _ in kernel)]


def kohya(family, prefix, ends, rank, alpha, rename=lambda module: module):
    """Keys -> shape, or the number of an alpha. @param prefix by part"""
    tensors = {}
    for part, start in prefix.items():
        for i, (module, shape) in enumerate(modules(family, part, ends)):
            own = rank if i % 3 else 2 * rank  # ranks may differ from layer to layer
            key = f"{start}_{rename(module).replace('.', '_')}"
            down, up = pair(shape, own)
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": alpha}
    return tensors


def peft(family, parts, ends, rank, names):
    tensors = {}
    for part in parts:
        for module, shape in modules(family, part, ends):
            for name, own in zip(names, pair(shape, rank)):
                tensors[f"{part}.{module}.{name}.weight"] = own
    return tensors


def original(module):
    """SGM's names of SDXL's UNet, of the modules that trainers write by them."""
    place, rest = module.split(".", 1)
    if place == "mid_block":
        kind, number, end = rest.split(".", 2)
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}.{end}"
    level, kind, number, end = rest.split(".", 3)
    if place == "down_blocks":
        return f"input_blocks.{1 + 3 * int(level) + int(number)}.{1 if kind == 'attentions' else 0}.{end}"
    return f"output_blocks.{3 * int(level) + int(number)}.{1 if kind == 'attentions' else 0}.{end}"


loras = {
    "kohya": ("sd", "float16", kohya("sd", {"unet": "lora_unet", "text_encoder": "lora_te"}, attention + convolutions + encoder, 2, 1.5)),
    "peft": ("sd", "float32", peft("sd", ["unet", "text_encoder"], attention + encoder, 3, ("lora_A", "lora_B"))),
    "old": ("sd", "float32", peft("sd", ["unet"], attention[:4], 2, ("lora.down", "lora.up"))),
    "kohya-xl": (
        "sdxl", "bfloat16",
        kohya("sdxl", {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}, attention + encoder, 2, 2.0),
    ),
    "peft-xl": ("sdxl", "float32", peft("sdxl", ["unet", "text_encoder", "text_encoder_2"], attention + convolutions + encoder, 2, ("lora_A", "lora_B"))),
    "original-xl": ("sdxl", "float16", kohya("sdxl", {"unet": "lora_unet"}, attention, 2, 1.0, original)),
}
dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# LoRAs with scales, scheduler, steps, strength, guidance, prompt, negative prompt
runs = [
    ([("kohya", 0.5)], 4, 0.75, 5.0, "a red glass", "blue"),
    ([("kohya", 1.0)], 3, 1.0, 1.0, "ink", ""),
    ([("kohya", -0.75)], 4, 0.5, 4.0, "oil painting of the sea", "ugly"),
    ([("peft", 0.8)], 4, 0.75, 6.0, "a red glass", ""),
    ([("old", 1.0)], 4, 0.8, 3.0, "a red glass", ""),
    ([("kohya", 0.6), ("peft", -0.4)], 4, 0.75, 5.0, "a red glass", "blue"),
    ([("kohya-xl", 0.7)], 3, 0.9, 4.0, "a red glass", "blue"),
    ([("peft-xl", 0.5)], 3, 0.9, 4.0, "ink", "sea"),
    ([("original-xl", 1.0)], 3, 0.9, 4.0, "ink", "sea"),
    ([("kohya-xl", 0.3), ("peft-xl", 0.4)], 3, 0.9, 4.0, "a red glass", "blue"),
]


def tensors_of(name):
    _, dtype, entries = loras[name]
    made = {}
    for key, entry in entries.items():
        tensor = torch.tensor(float(entry)) if isinstance(entry, float) else values(key, entry)
        made[key] = tensor.to(dtypes[dtype]).contiguous()
    return made


cases = []
width = height = 64
y, x = np.mgrid[:height, :width]
starter = Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8))
for family in ("sd", "sdxl"):
    pipeline = pipeline_of(family)
    pipeline.set_progress_bar_config(disable=True)
    config = {key: value for key, value in pipeline.scheduler.config.items() if key != "_use_default_values"}
    scheduler = DDIMScheduler.from_config({**config, "clip_sample": False}) if family == "sd" else EulerDiscreteScheduler.from_config(config)
    pipeline.scheduler = scheduler
    plain = {}
    for number, (used, steps, strength, guidance, prompt, negative) in enumerate(runs):
        if loras[used[0][0]][0] != family:
            continue
        def picture():
            return pipeline(
                prompt=prompt, negative_prompt=negative or (None if family == "sdxl" else ""), image=starter, strength=strength,
                num_inference_steps=steps, guidance_scale=guidance, generator=torch.Generator("cpu").manual_seed(number), output_type="np",
            ).images[0]
        without = picture()
        for name, _ in used:
            with tempfile.TemporaryDirectory() as folder:
                save_file(tensors_of(name), f"{folder}/{name}.safetensors")
                pipeline.load_lora_weights(folder, weight_name=f"{name}.safetensors", adapter_name=name.replace("-", "_"))
        names = [name.replace("-", "_") for name, _ in used]
        pipeline.set_adapters(names, [scale for _, scale in used])
        components = ["unet", "text_encoder"] + (["text_encoder_2"] if family == "sdxl" else [])
        pipeline.fuse_lora(components=components, adapter_names=names)
        made = picture()
        pipeline.unfuse_lora(components=components)
        pipeline.unload_lora_weights()
        assert np.abs(picture() - without).max() < 0.02, "the weights are as they were"
        pixels = (made * 255).round().astype(np.uint8)
        print(family, used, "deviation", round(float(pixels.std()), 1), "clipped", round(float(np.isin(pixels, [0, 255]).mean()), 3),
              "changed", round(float(np.abs(made - without).mean()) * 255, 1), flush=True)
        cases.append({
            "family": family, "loras": used, "scheduler": "ddim" if family == "sd" else "euler", "steps": steps, "strength": strength,
            "guidance": guidance, "prompt": prompt, "negative_prompt": negative, "seed": number, "width": width, "height": height,
            "pixels": base64.b64encode(pixels[::2, ::2].tobytes()).decode(),
        })


# Products as lycoris-lora makes them, with gamma = 1.
def product(kind, shapes):
    tensors = {key: values(f"{kind}.{key}", shape) for key, shape in shapes.items()}
    if kind.startswith("locon"):
        delta = locon.diff_weight(tensors["lora_down.weight"], tensors["lora_up.weight"], tensors.get("lora_mid.weight"), backend="torch")
    else:
        delta = loha.diff_weight(
            *(tensors.get(key) for key in ("hada_w1_b", "hada_w1_a", "hada_w2_b", "hada_w2_a", "hada_t1", "hada_t2")), backend="torch")
    return {"kind": kind, "shapes": shapes, "delta": [round(float(value), 7) for value in delta.flatten()], "shape": list(delta.shape)}


products = [
    product("locon-linear", {"lora_down.weight": [2, 5], "lora_up.weight": [4, 2]}),
    product("locon-conv", {"lora_down.weight": [2, 3, 3, 3], "lora_up.weight": [4, 2, 1, 1]}),
    product("locon-mid", {"lora_down.weight": [2, 3, 1, 1], "lora_mid.weight": [2, 2, 3, 3], "lora_up.weight": [4, 2, 1, 1]}),
    product("loha-linear", {"hada_w1_a": [4, 2], "hada_w1_b": [2, 5], "hada_w2_a": [4, 2], "hada_w2_b": [2, 5]}),
    product("loha-conv", {"hada_w1_a": [4, 2], "hada_w1_b": [2, 27], "hada_w2_a": [4, 2], "hada_w2_b": [2, 27]}),
    product("loha-tucker", {"hada_w1_a": [2, 4], "hada_w1_b": [2, 3], "hada_t1": [2, 2, 3, 3],
                            "hada_w2_a": [2, 4], "hada_w2_b": [2, 3], "hada_t2": [2, 2, 3, 3]}),
]

versions = {name: importlib.metadata.version(name) for name in ("diffusers", "peft", "lycoris-lora", "torch")}
files = {name: {"family": family, "dtype": dtype, "tensors": tensors} for name, (family, dtype, tensors) in loras.items()}
text = json.dumps({"versions": versions, "files": files, "cases": cases, "products": products})
(here / "loras.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
