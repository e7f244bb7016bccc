"""Writes families/: small Stable Diffusion, SDXL, SDXL refiner, latent consistency and InstructPix2Pix folders with random weights, as
optimum-onnx exports them; and families.json: what diffusers' img2img pipelines, and InstructPix2Pix', make of the same weights.
What folders share (tokenizer, VAE, text encoder) is written once; the tests put the folders together.

    python3 -m venv v && v/bin/pip install torch==2.15.0 diffusers==0.35.2 transformers==4.57.6 optimum-onnx==0.1.0 onnx==1.23.2 pillow
    OMP_NUM_THREADS=1 v/bin/python test/reference/families.py
"""

import base64
import importlib.metadata
import json
import pathlib
import shutil
import tempfile

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LatentConsistencyModelImg2ImgPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UniPCMultistepScheduler,
    UNet2DConditionModel,
)
from optimum.exporters.onnx import onnx_export_from_model
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

here = pathlib.Path(__file__).parent
target = here / "families"
torch.manual_seed(0)


def tokenizer(pad: str) -> CLIPTokenizer:
    """The small vocabulary of tiny/, with another padding token."""
    with tempfile.TemporaryDirectory() as folder:
        for file in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            shutil.copy(here / "tiny" / "tokenizer" / file, folder)
        config = json.loads((pathlib.Path(folder) / "tokenizer_config.json").read_text())
        (pathlib.Path(folder) / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": pad}))
        return CLIPTokenizer.from_pretrained(folder)


def text_encoder(cls, width: int, **more):
    config = CLIPTextConfig(
        vocab_size=len(sd_tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=sd_tokenizer.bos_token_id, eos_token_id=sd_tokenizer.eos_token_id, **more,
    )
    model = cls(config).eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(30)
    return model


def unet(**more):
    config = dict(sample_size=16, in_channels=4, out_channels=4) | more
    model = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2, norm_num_groups=4, **config,
    ).eval()
    with torch.no_grad():
        # Random weights say little: make prompts, latents and pictures vary enough to tell a mistake.
        model.conv_out.weight.mul_(2)
    return model


def autoencoder(**more):
    model = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, sample_size=32, **more,
    ).eval()
    with torch.no_grad():
        model.decoder.conv_out.weight.mul_(2)
    return model


sd_tokenizer, sdxl_tokenizer_2 = tokenizer("<|endoftext|>"), tokenizer("!")
vae = autoencoder(scaling_factor=0.5)
# The same weights, with the mean and deviation of latents that some SDXL models have.
normalized = autoencoder(scaling_factor=0.5, latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.9, 1.1, 1.2, 0.8])
normalized.load_state_dict(vae.state_dict())
encoder = text_encoder(CLIPTextModel, 16)
encoder_2 = text_encoder(CLIPTextModelWithProjection, 24, projection_dim=24)
betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
sd_schedule = {**betas, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
leading = DDIMScheduler(**sd_schedule)
plain = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
sd_unet = unet(cross_attention_dim=16)
xl = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
pipelines = {
    "sd": StableDiffusionImg2ImgPipeline(vae, encoder, sd_tokenizer, sd_unet, leading, **plain),
    "sd-v": StableDiffusionImg2ImgPipeline(
        vae, encoder, tokenizer("!"), sd_unet, DDIMScheduler(**sd_schedule, prediction_type="v_prediction"), **plain
    ),
    "sdxl": StableDiffusionXLImg2ImgPipeline(
        normalized, encoder, encoder_2, sd_tokenizer, sdxl_tokenizer_2,
        unet(cross_attention_dim=40, projection_class_embeddings_input_dim=6 * 8 + 24, **xl),
        EulerDiscreteScheduler(**betas, timestep_spacing="leading", steps_offset=1), add_watermarker=False,
    ),
    "sdxl-refiner": StableDiffusionXLImg2ImgPipeline(
        vae, None, encoder_2, None, sdxl_tokenizer_2,
        unet(cross_attention_dim=24, projection_class_embeddings_input_dim=5 * 8 + 24, **xl),
        EulerDiscreteScheduler(**betas, timestep_spacing="leading", steps_offset=1),
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False,
    ),
    "lcm": LatentConsistencyModelImg2ImgPipeline(
        vae, encoder, sd_tokenizer, unet(cross_attention_dim=16, time_cond_proj_dim=32), LCMScheduler(**betas), **plain
    ),
    "instruct-pix2pix": StableDiffusionInstructPix2PixPipeline(
        vae, encoder, sd_tokenizer, unet(cross_attention_dim=16, in_channels=8),
        EulerAncestralDiscreteScheduler(**betas, steps_offset=1), **plain
    ),
}
# Of each family what no other one before it has.
own = {
    "sd": ["text_encoder", "unet", "vae_encoder", "vae_decoder", "tokenizer"],
    "sd-v": ["tokenizer"],
    "sdxl": ["text_encoder", "text_encoder_2", "tokenizer_2", "unet", "vae_encoder/config.json", "vae_decoder/config.json"],
    "sdxl-refiner": ["unet"],
    "lcm": ["unet"],
    "instruct-pix2pix": ["unet"],
}
shutil.rmtree(target, ignore_errors=True)
for name, pipeline in pipelines.items():
    for module in [m for m in pipeline.components.values() if isinstance(m, torch.nn.Module)]:
        module.requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        export = pathlib.Path(folder) / name
        if name != "sd-v":
            onnx_export_from_model(pipeline, export, task="image-to-image", do_validation=False)
        pipeline.save_config(export)
        pipeline.scheduler.save_pretrained(export / "scheduler")
        for part in ("tokenizer", "tokenizer_2"):
            if getattr(pipeline, part, None):
                getattr(pipeline, part).save_pretrained(export / part)
        for part in ["model_index.json", "scheduler", *own[name]]:
            (target / name / part).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (export / part).is_dir() else shutil.copy)(export / part, target / name / part)

schedulers = {
    "ddim": (DDIMScheduler, {}),
    "ddpm": (DDPMScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_karras": (EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "unipc": (UniPCMultistepScheduler, {}),
    "lcm": (LCMScheduler, {}),
}
small, wide, tall = (32, 32), (48, 32), (32, 64)
# scheduler, steps, strength (of instruct-pix2pix the image guidance), guidance, prompt, negative prompt, size[, guidance rescale]
runs = {
    "sd": [
        ("ddim", 20, 0.75, 7.5, "a red glass", "blue ink", small), ("ddim", 12, 1.0, 1.0, "red", "", wide),
        ("ddpm", 10, 0.6, 5.0, "ink", "glass", small), ("pndm", 20, 0.5, 7.5, "blue glass", "", tall),
        ("euler", 15, 0.8, 12.0, "a red glass", "blue", small), ("euler_karras", 10, 0.45, 3.0, "red ink", "", small),
        ("euler_a", 12, 0.7, 7.5, "red", "ink", wide), ("heun", 8, 0.9, 6.0, "blue", "red", small),
        ("dpmpp_2m", 20, 0.75, 7.5, "a blue glass", "red ink", small), ("dpmpp_2m_karras", 9, 0.55, 4.0, "ink", "", tall),
        ("unipc", 12, 0.75, 7.5, "glass, glass!", "ink", small), ("lcm", 4, 0.5, 1.0, "red", "", small),
    ],
    "sd-v": [
        ("ddim", 20, 0.75, 7.5, "a red glass", "blue ink", small), ("ddim", 10, 0.3, 1.0, "red", "", tall),
        ("ddpm", 8, 1.0, 4.0, "ink", "glass", small), ("pndm", 12, 0.75, 7.5, "blue glass", "", small),
        ("euler", 15, 0.8, 9.0, "a red glass", "blue", wide), ("euler_a", 10, 0.6, 7.5, "red", "ink", small),
        ("heun", 6, 1.0, 6.0, "blue", "red", small), ("dpmpp_2m", 20, 0.75, 7.5, "a blue glass", "red ink", small),
        ("unipc", 10, 0.5, 5.0, "glass", "", small),
    ],
    "sdxl": [
        ("euler", 20, 0.3, 5.0, "a red glass", "", small), ("euler", 12, 0.75, 5.0, "a red glass", "blue ink", wide),
        ("euler", 10, 1.0, 1.0, "ink", "", tall), ("ddim", 15, 0.6, 7.5, "blue", "red", small),
        ("euler_a", 10, 0.7, 5.0, "red ink", "", small), ("dpmpp_2m", 20, 0.5, 6.0, "a blue glass", "ink", small),
        ("dpmpp_2m_karras", 12, 0.8, 5.0, "glass", "", small), ("unipc", 10, 0.75, 4.0, "red", "blue", tall),
        ("heun", 6, 0.9, 5.0, "ink", "red", small), ("euler", 12, 0.75, 8.0, "a red glass", "blue ink", small, 0.7),
    ],
    "sdxl-refiner": [
        ("euler", 20, 0.3, 5.0, "a red glass", "", small), ("ddim", 12, 0.75, 7.5, "ink", "blue", wide),
        ("dpmpp_2m", 10, 1.0, 1.0, "blue", "", small),
    ],
    "lcm": [
        ("lcm", 4, 0.8, 8.5, "a red glass", "", small), ("lcm", 4, 0.5, 8.5, "blue ink", "", wide),
        ("lcm", 1, 1.0, 2.0, "red", "", small), ("lcm", 8, 0.6, 1.0, "ink", "", tall),
        ("lcm", 2, 0.3, 12.0, "a red glass", "", small), ("lcm", 6, 0.9, 4.0, "", "", small),
        ("lcm", 3, 0.75, 20.0, "blue glass", "", small), ("lcm", 5, 0.4, 0.0, "red, red", "", wide),
    ],
    "instruct-pix2pix": [
        ("euler_a", 12, 1.5, 7.5, "a red glass", "blue ink", small), ("euler", 10, 1.5, 7.5, "red", "", wide),
        ("ddim", 6, 1.1, 2.0, "ink", "glass", tall), ("euler", 8, 0.9, 7.5, "blue glass", "red", small),
        ("ddim", 8, 1.5, 1.0, "red ink", "blue", small), ("dpmpp_2m_karras", 12, 1.0, 12.0, "a blue glass", "ink", small),
        ("pndm", 10, 3.0, 3.0, "glass, glass!", "", tall), ("euler_a", 9, 1.2, 4.0, "ink", "red", wide),
        ("heun", 6, 2.0, 6.0, "blue", "", small), ("unipc", 8, 1.5, 7.5, "", "red ink", small),
    ],
}

cases = []
for family, pipeline in pipelines.items():
    pipeline.set_progress_bar_config(disable=True)
    # As from a saved folder, whose scheduler_config.json spells every value out.
    config = {key: value for key, value in pipeline.scheduler.config.items() if key != "_use_default_values"}
    for seed, (name, steps, strength, guidance, prompt, negative, (width, height), *rescale) in enumerate(runs[family]):
        cls, overrides = schedulers[name]
        pipeline.scheduler = cls.from_config({**config, **overrides})
        y, x = np.mgrid[:height, :width]
        starter = np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8)
        more = {} if family == "lcm" else {"negative_prompt": negative if negative or not family.startswith("sdxl") else None}
        if rescale:
            more["guidance_rescale"] = rescale[0]
        if family == "instruct-pix2pix":
            more["image_guidance_scale"] = strength
        else:
            more["strength"] = strength
        picture = pipeline(
            prompt=prompt, image=Image.fromarray(starter), num_inference_steps=steps, guidance_scale=guidance,
            generator=torch.Generator("cpu").manual_seed(seed), output_type="np", **more,
        ).images[0]
        pixels = (picture * 255).round().astype(np.uint8)
        print(family, name, steps, strength, "deviation", round(float(pixels.std()), 1), "clipped", round(float(np.isin(pixels, [0, 255]).mean()), 3))
        cases.append(
            dict(family=family, scheduler=name, steps=steps, **({"strength": strength} if "strength" in more else {"strength": 1, "image_guidance": strength}), guidance=guidance, rescale=rescale[0] if rescale else 0,
                 prompt=prompt, negative_prompt=negative, seed=seed, width=width, height=height,
                 pixels=base64.b64encode(pixels.tobytes()).decode())
        )
versions = {name: importlib.metadata.version(name) for name in ("diffusers", "transformers", "torch", "optimum-onnx")}
lines = ",\n".join(json.dumps(case) for case in cases)
(here / "families.json").write_text(f'{{"versions": {json.dumps(versions)}, "cases": [\n{lines}\n]}}\n')
