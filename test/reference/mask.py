"""Writes mask.json: what diffusers' StableDiffusionInpaintPipeline makes with the weights of tiny/, and with a UNet of nine
channels, which it writes to tiny-inpaint/unet. Takes the weights from pipeline.py, which it runs.

    python mask.py     (in pipeline.py's environment)
"""

import base64
import itertools
import json

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from PIL import Image

import pipeline as plain
from pipeline import folder_scheduler, here, text_encoder, tokenizer, unet, vae

torch.manual_seed(1)
config = {k: v for k, v in dict(unet.config).items() if not k.startswith("_")}
inpainting_unet = UNet2DConditionModel(**{**config, "in_channels": 9}).eval()
with torch.no_grad():
    inpainting_unet.conv_out.weight.mul_(2)
for parameter in inpainting_unet.parameters():
    parameter.requires_grad_(False)
plain.folder = here / "tiny-inpaint"
plain.export(
    "unet",
    plain.Wrap(inpainting_unet, lambda m, sample, t, states: m(sample, t, states).sample),
    {"sample": torch.randn(2, 9, 16, 16), "timestep": torch.tensor([5.0, 7.0]), "encoder_hidden_states": torch.randn(2, 16, 16)},
    "out_sample",
    {"sample": {0: "batch", 2: "height", 3: "width"}, "timestep": {0: "batch"}, "encoder_hidden_states": {0: "batch", 1: "sequence"}},
)
plain.write_config("unet", dict(inpainting_unet.config))

sde = {"algorithm_type": "sde-dpmsolver++"}
schedulers = {
    "ddim": (DDIMScheduler, {}),
    "ddpm": (DDPMScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, sde),
    "lcm": (LCMScheduler, {}),
}
# scheduler, channels of the UNet, steps, strength, guidance, prompt, seed, size, what is repainted: left, top, right, bottom;
# more of the scheduler's config. The boxes lie on the grid of the latents, where a cell's maximum is its nearest pixel.
combinations = [
    ("ddim", 4, 20, 0.75, 7.5, "a red glass", 1, (32, 32), (8, 4, 28, 20)),
    ("euler", 4, 20, 0.58, 1.0, "blue ink", 2, (48, 32), (0, 0, 24, 32)),
    ("dpmpp_2m", 4, 9, 0.9, 7.5, "glass", 3, (32, 32), (16, 16, 32, 32)),
    ("ddim", 9, 20, 0.75, 7.5, "a red glass", 4, (32, 32), (8, 4, 28, 20)),
    ("euler", 9, 12, 0.5, 1.0, "blue", 5, (48, 32), (0, 0, 24, 32)),
]
# Schedulers that draw at each step: the order of draws shows.
combinations += [
    (name, channels, 10, 0.7, guidance, "a blue glass", 20 + i, (32, 32), (8, 4, 28, 20))
    for i, (name, channels, guidance) in enumerate(
        itertools.product(["euler_a", "ddpm", "dpmpp_2m_sde", "lcm"], [4, 9], [1.0, 6.0])
    )
]
# All of the schedule: an inpainting UNet begins with noise alone, as large as the scheduler wants it.
combinations += [
    (name, 9, 8, 1.0, 4.0, "red ink", 50 + i, (32, 48), (4, 8, 32, 40), config)
    for i, (name, config) in enumerate(
        [(name, {"timestep_spacing": spacing}) for name in ["ddim", "euler", "euler_a", "heun"] for spacing in ["leading", "trailing"]]
        + [(name, {}) for name in ["ddpm", "dpmpp_2m", "dpmpp_2m_sde", "lcm"]]
    )
]
cases = []
for name, channels, steps, strength, guidance, prompt, seed, (width, height), (left, top, right, bottom), *configs in combinations:
    cls, overrides = schedulers[name]
    config = configs[0] if configs else {}
    inpaint = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=inpainting_unet if channels == 9 else unet,
        scheduler=cls.from_config({**{k: v for k, v in folder_scheduler.items() if k != "_class_name"}, **config, **overrides}),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )
    inpaint.set_progress_bar_config(disable=True)
    y, x = np.mgrid[:height, :width]
    starter = np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 255
    picture = inpaint(
        prompt=prompt, image=Image.fromarray(starter), mask_image=Image.fromarray(mask), width=width, height=height,
        strength=strength, num_inference_steps=steps, guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
    ).images[0]
    pixels = (picture * 255).round().astype(np.uint8)
    print(name, channels, "deviation", round(float(pixels.std()), 1))
    cases.append(
        dict(scheduler=name, config=config, channels=channels, steps=steps, strength=strength, guidance=guidance, prompt=prompt, seed=seed,
             width=width, height=height, box=[left, top, right, bottom], pixels=base64.b64encode(pixels.tobytes()).decode())
    )
(here / "mask.json").write_text(json.dumps({"versions": plain.versions, "cases": cases}, indent=1) + "\n")
