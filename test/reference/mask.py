"""Writes mask.json: what diffusers' StableDiffusionInpaintPipeline makes with the weights of tiny/, and with a UNet of nine
channels, which it writes to tiny-inpaint/unet. Takes the weights from pipeline.py, which it runs.

    python mask.py     (in pipeline.py's environment)
"""

import base64
import json

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
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

schedulers = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
# scheduler, channels of the UNet, steps, strength, guidance, prompt, seed, size, what is repainted: left, top, right, bottom
combinations = [
    ("ddim", 4, 20, 0.75, 7.5, "a red glass", 1, (32, 32), (8, 4, 28, 20)),
    ("euler", 4, 20, 0.58, 1.0, "blue ink", 2, (48, 32), (0, 0, 24, 32)),
    ("dpmpp_2m", 4, 9, 0.9, 7.5, "glass", 3, (32, 32), (16, 16, 32, 32)),
    ("ddim", 9, 20, 0.75, 7.5, "a red glass", 4, (32, 32), (8, 4, 28, 20)),
    ("euler", 9, 12, 0.5, 1.0, "blue", 5, (48, 32), (0, 0, 24, 32)),
]
cases = []
for name, channels, steps, strength, guidance, prompt, seed, (width, height), (left, top, right, bottom) in combinations:
    inpaint = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=inpainting_unet if channels == 9 else unet,
        scheduler=schedulers[name].from_config({k: v for k, v in folder_scheduler.items() if k != "_class_name"}),
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
        dict(scheduler=name, channels=channels, steps=steps, strength=strength, guidance=guidance, prompt=prompt, seed=seed,
             width=width, height=height, box=[left, top, right, bottom], pixels=base64.b64encode(pixels.tobytes()).decode())
    )
(here / "mask.json").write_text(json.dumps({"versions": plain.versions, "cases": cases}, indent=1) + "\n")
