"""Writes tiny_vae.json: diffusers' latents of cases of checkpoints.py, decoded by its AutoencoderTiny in the place of the model's VAE.

    OMP_NUM_THREADS=1 v/bin/python test/reference/tiny_vae.py
"""

import base64
import importlib.metadata
import json

import numpy as np
import torch
from checkpoints import pipelines, runs, schedulers, tiny_vae
from PIL import Image
from small_models import here

cases = []
for name, number in [("sd", 0), ("sdxl", 1)]:
    pipeline = pipelines[name]
    scheduler, steps, strength, guidance, prompt, negative, (width, height) = runs[name][number]
    config = {key: value for key, value in pipeline.scheduler.config.items() if key != "_use_default_values"}
    pipeline.scheduler = schedulers[scheduler].from_config(config if "xl" in name else {**config, "clip_sample": False})
    y, x = np.mgrid[:height, :width]
    starter = Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8))
    latents = pipeline(
        prompt=prompt, negative_prompt=negative or None, image=starter, strength=strength, num_inference_steps=steps,
        guidance_scale=guidance, generator=torch.Generator("cpu").manual_seed(number), output_type="latent",
    ).images
    with torch.no_grad():
        sample = tiny_vae.decode(latents / tiny_vae.config.scaling_factor).sample
    pixels = ((sample[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    print(name, pixels.shape, "deviation", round(float(pixels.std()), 1))
    # Every second pixel of every second row, as in checkpoints.json.gz.
    cases.append({"family": name, "seed": number, "pixels": base64.b64encode(pixels[::2, ::2].tobytes()).decode()})

versions = {name: importlib.metadata.version(name) for name in ("diffusers", "transformers", "torch")}
(here / "tiny_vae.json").write_text(json.dumps({"versions": versions, "cases": cases}) + "\n")
