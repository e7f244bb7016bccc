"""Writes flux.json.gz: small Flux.1 models (dev, schnell, Kontext), what diffusers makes of them, and optimum's export of dev's
transformer. The weights are no part of it: both sides compute them from their names, but for the exported ones. The T5 tokenizer is
that of stable_diffusion_3.json.gz.

    python3 -m venv v && v/bin/pip install torch==2.15.0 diffusers==0.35.2 transformers==4.57.6 optimum-onnx==0.1.0 onnx==1.23.2 sentencepiece pillow
    OMP_NUM_THREADS=1 v/bin/python test/reference/flux.py
"""

import base64
import gzip
import importlib.metadata
import json
import pathlib
import tempfile

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from optimum.exporters.onnx import onnx_export_from_model
from PIL import Image
from small_models import fill, here, tokenizer
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel, T5TokenizerFast

with gzip.open(here / "stable_diffusion_3.json.gz") as file:
    definition = json.loads(file.read())["tokenizer"]
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "tokenizer.json"
    path.write_text(json.dumps(definition))
    t5_tokens = T5TokenizerFast(tokenizer_file=str(path), extra_ids=100, model_max_length=512)

# Random weights say little: what is small beside the rest is made to count.
gains = {
    "time_text_embed.timestep_embedder.linear_2.weight": 2,
    "time_text_embed.guidance_embedder.linear_2.weight": 3,
    "time_text_embed.text_embedder.linear_2.weight": 3,
    "context_embedder.weight": 3,
    "proj_out.weight": 1.5,
}
for block in range(2):
    gains[f"transformer_blocks.{block}.attn.add_v_proj.weight"] = 4

clip = fill(
    "text_encoder",
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77,
            hidden_act="quick_gelu", bos_token_id=49406, eos_token_id=2, attn_implementation="eager",
        )
    ),
)
t5 = fill(
    "text_encoder_2",
    T5EncoderModel(T5Config(vocab_size=len(t5_tokens), d_model=96, d_kv=16, d_ff=64, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu")),
)
vae = fill(
    "vae",
    AutoencoderKL(
        latent_channels=16, block_out_channels=(16, 16, 32), layers_per_block=1, norm_num_groups=8, sample_size=64, scaling_factor=0.3611,
        shift_factor=0.1159, down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, use_quant_conv=False, use_post_quant_conv=False,
    ),
)


def transformer(guidance):
    model = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=96,
        pooled_projection_dim=32, guidance_embeds=guidance, axes_dims_rope=(4, 6, 6),
    )
    return fill("transformer", model, gains)


def components(denoiser, scheduler):
    return dict(
        transformer=denoiser, scheduler=scheduler, vae=vae, text_encoder=clip, tokenizer=tokenizer("<|endoftext|>"), text_encoder_2=t5, tokenizer_2=t5_tokens,
    )


dynamic = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
dev = transformer(True)
models = {
    "flux-dev": FluxPipeline(**components(dev, dynamic)),
    "flux-schnell": FluxPipeline(**components(transformer(False), FlowMatchEulerDiscreteScheduler(shift=1.0))),
    "flux-kontext": FluxKontextPipeline(**components(dev, dynamic)),
}
small, wide, tall = (32, 32), (48, 32), (32, 64)
# steps, strength, guidance, prompt, size[, negative prompt, true guidance[, left, top, right, bottom of what is repainted]]
runs = [
    (28, 0.6, 7.0, "a red glass", small), (10, 1.0, 3.5, "ink on wood", wide), (10, 0.58, 4.5, "a photo of paint", tall),
    (8, 0.05, 7.0, "soft light", small), (12, 0.85, 2.0, "blue, blue glass!", wide, "a red film", 2.0), (4, 0.75, 0.0, "studio", small, "", 1.5),
    (9, 0.9, 5.0, " ".join(["a red glass of ink,"] * 30), small), (6, 0.7, 3.0, "café", tall, "wood", 4.0),
    (10, 0.8, 6.0, "blue ink", small, "", 1.0, (8, 8, 24, 32)), (8, 1.0, 3.0, "a red glass", wide, "soft wood", 3.0, (16, 0, 48, 16)),
]


def run(name, made, seed, steps, strength, guidance, prompt, size, negative="", true_guidance=1.0, box=None, **more):
    width, height = size
    y, x = np.mgrid[:height, :width]
    starter = Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8))
    kontext = name == "flux-kontext"
    if kontext:
        # diffusers' own: a strength below 1 or a mask is its inpainting pipeline's, whose mask may be everything.
        cls = FluxKontextInpaintPipeline if box or strength < 1 else FluxKontextPipeline
        more.update(_auto_resize=False, max_area=width * height)
    else:
        cls = FluxInpaintPipeline if box else FluxImg2ImgPipeline
    if cls is not FluxKontextPipeline:
        more["strength"] = strength
    if box or cls is FluxKontextInpaintPipeline:
        mask = np.zeros((height, width), np.uint8)
        left, top, right, bottom = box or (0, 0, width, height)
        mask[top:bottom, left:right] = 255
        more["mask_image"] = Image.fromarray(mask)
    runner = cls(**made.components)
    runner.set_progress_bar_config(disable=True)
    output = runner(
        prompt=prompt, negative_prompt=negative, true_cfg_scale=true_guidance, image=starter, height=height, width=width, num_inference_steps=steps,
        guidance_scale=guidance, generator=torch.Generator("cpu").manual_seed(seed), output_type="np", **more,
    ).images
    return (output[0] * 255).round().astype(np.uint8)


cases = []
for name, made in models.items():
    for seed, one in enumerate(runs):
        steps, strength, guidance, prompt, (width, height), *rest = one
        if name == "flux-kontext" and seed < 6:
            one = (steps, 1.0, *one[2:])
        pixels = run(name, made, seed, *one)
        print(name, one[:4], "deviation", round(float(pixels.std()), 1), "clipped", round(float(np.isin(pixels, [0, 255]).mean()), 3))
        negative, true_guidance, box = [*rest, "", 1.0, None][:3] if len(rest) < 3 else rest
        if len(rest) == 2:
            negative, true_guidance, box = *rest, None
        cases.append(
            dict(family=name, scheduler="flow_euler", steps=steps, strength=one[1], guidance=guidance, prompt=prompt, negative_prompt=negative,
                 true_guidance=true_guidance, seed=seed, width=width, height=height, **({"box": box} if box else {}),
                 pixels=base64.b64encode(pixels.tobytes()).decode())
        )

# How far a mistake moves a picture: mean of 255.
for name, made in models.items():
    first = (28, 1.0 if name == "flux-kontext" else 0.6, 7.0, "a red glass", small, "blue ink", 2.0)
    own = run(name, made, 0, *first).astype(int)
    shifted = FlowMatchEulerDiscreteScheduler.from_config(made.scheduler.config, base_shift=0.6, max_shift=1.25)
    others = {
        "another prompt": run(name, made, 0, *first[:3], "soft studio light", *first[4:]),
        "no T5 text": run(name, made, 0, *first, prompt_2=" "),
        "negative": run(name, made, 0, *first[:5], "soft wood", first[6]),
        "true guidance": run(name, made, 0, *first[:6], 3.0),
        "guidance": run(name, made, 0, *first[:2], first[2] + 1, *first[3:]),
        "mu": run(name, type(made)(**{**made.components, "scheduler": shifted}), 0, *first),
        "seed": run(name, made, 1, *first),
    }
    print(name, {what: round(float(abs(own - other.astype(int)).mean()), 1) for what, other in others.items()})

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    onnx_export_from_model(models["flux-dev"], path, task="text-to-image", do_validation=False)
    exported = (path / "transformer" / "model.onnx").read_bytes()
    print("exported", sorted(p.name for p in path.iterdir()), len(exported))


def files(made):
    """The configs of its folder, as save_pretrained writes them."""
    with tempfile.TemporaryDirectory() as folder:
        made.save_config(folder)
        index = {"model_index.json": json.loads((pathlib.Path(folder) / "model_index.json").read_text())}
    parts = {part: getattr(made, part) for part in ("transformer", "vae", "text_encoder", "text_encoder_2")}
    configs = {f"{part}/config.json": json.loads(model.config.to_json_string() if hasattr(model.config, "to_json_string") else model.to_json_string()) for part, model in parts.items()}
    scheduler = json.loads(made.scheduler.to_json_string())
    tensors = {
        part: {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name != "encoder.embed_tokens.weight" and not name.endswith("position_ids")}
        for part, model in parts.items()
    }
    return {"files": {**index, **configs, "scheduler/scheduler_config.json": scheduler}, "tensors": tensors}


out = {
    "versions": {name: importlib.metadata.version(name) for name in ("diffusers", "transformers", "torch", "optimum-onnx")},
    "gains": gains,
    "transformer": base64.b64encode(exported).decode(),
    "families": {name: files(made) for name, made in models.items()},
    "cases": cases,
}
with gzip.GzipFile(here / "flux.json.gz", "wb", mtime=0) as file:
    file.write(json.dumps(out).encode())
