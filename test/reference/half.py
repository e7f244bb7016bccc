"""Writes half.json: how far diffusers' pictures in float16 are from its pictures of the same weights in float32, for the cases of
checkpoints.py that have float16 weights. Both run on the CPU; pipelines of XL upcast their VAE, as they do on a GPU.

    OMP_NUM_THREADS=1 v/bin/python test/reference/half.py
"""

import importlib.metadata
import json

import numpy as np
from checkpoints import generate, pipelines, runs, schedulers
from small_models import here

differences = []
for name, pipeline in pipelines.items():
    pipeline.set_progress_bar_config(disable=True)
    config = {key: value for key, value in pipeline.scheduler.config.items() if key != "_use_default_values"}
    modules = [getattr(pipeline, part) for part in ("unet", "vae", "text_encoder", "text_encoder_2") if getattr(pipeline, part, None) is not None]
    for number, case in enumerate(runs[name][:2]):
        pictures = []
        for half in (False, True):
            for module in modules:
                module.half() if half else module.half().float()
            pipeline.scheduler = schedulers[case[0]].from_config(config if "xl" in name else {**config, "clip_sample": False})
            pictures.append(generate(name, pipeline, number, case).astype(int))
        difference = np.abs(pictures[0] - pictures[1])
        differences.append({"family": name, "seed": number, "mean": round(float(difference.mean()), 4), "largest": int(difference.max())})

versions = {name: importlib.metadata.version(name) for name in ("diffusers", "transformers", "torch")}
(here / "half.json").write_text(json.dumps({"versions": versions, "differences": differences}, indent=1) + "\n")
