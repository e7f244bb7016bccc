"""Writes schedulers-dump.json: the img2img loop of diffusers' schedulers on a 1x4x2x2 latent, for many configs, steps and strengths.
schedulers.json is an older dump of the same kind, by hand-picked cases.

    pip install torch==2.15.0 diffusers==0.42.0 numpy     (versions of the last run: see schedulers-dump.json)
    python schedulers.py

Clean latents are 0.5 * cos(i), i = 0..15. Noise comes from torch.Generator('cpu').manual_seed(1234): the first 16 numbers are the noise
of the beginning, later ones the noise of the steps. The stand-in for a UNet is 0.6 * x[i] + 0.3 * sin(0.01 * t + 0.7 * i).
Of each case: the timesteps that run, and the latents in the beginning and after each step, as base64 of little-endian float32.
"""

import base64
import inspect
import itertools
import json
import pathlib
import warnings

import diffusers
import numpy as np
import torch

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()

SEED = 1234
BASE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
KARRAS = {"use_karras_sigmas": True}
SDE = {"algorithm_type": "sde-dpmsolver++"}
NAMES = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_karras": ("EulerDiscreteScheduler", KARRAS),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", KARRAS),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", SDE),
    "dpmpp_2m_sde_karras": ("DPMSolverMultistepScheduler", {**SDE, **KARRAS}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "unipc_karras": ("UniPCMultistepScheduler", KARRAS),
    "lcm": ("LCMScheduler", {}),
}
# Steps and strengths, taken in turn.
RUNS = [
    (61, 1.0), (20, 0.75), (50, 0.02), (4, 1.0), (61, 0.3), (25, 0.58), (1, 1.0), (13, 0.45), (61, 0.9), (2, 1.0),
    (30, 0.1), (150, 0.05), (9, 0.99), (3, 0.67), (61, 0.02), (40, 0.5), (14, 1.0), (15, 1.0), (16, 0.2),
]  # fmt: skip


def grid():
    """Every spacing and prediction type of every scheduler, with and without zero SNR, where the class has them."""
    runs = itertools.cycle(RUNS)
    for name, (cls, own) in NAMES.items():
        keys = set(inspect.signature(getattr(diffusers, cls).__init__).parameters)
        predictions = ["epsilon", "v_prediction"] + (["sample"] if name not in ("pndm", "euler_a") else [])
        spacings = ["leading", "linspace", "trailing"] if name != "lcm" else ["leading"]
        snr = [False, True] if "rescale_betas_zero_snr" in keys else [False]
        for spacing, prediction, zero_snr in itertools.product(spacings, predictions, snr):
            config = {**own, "timestep_spacing": spacing, "prediction_type": prediction}
            if zero_snr:
                config["rescale_betas_zero_snr"] = True
            if spacing == "leading":
                config["steps_offset"] = 1
            steps, strength = next(runs)
            if name == "lcm":
                steps = min(steps, 50)
                strength = max(strength, 1 / steps)
            yield name, config, steps, strength, False


def keys():
    """One by one, the keys that only some classes have."""

    def case(name, config, steps=12, strength=0.8, consistency=False):
        return name, {**NAMES[name][1], **config}, steps, strength, consistency

    for run in [(12, 0.8), (61, 0.5)]:
        for alpha_to_one in [True, False]:
            yield case("ddim", {"set_alpha_to_one": alpha_to_one}, *run)
            yield case("pndm", {"set_alpha_to_one": alpha_to_one}, *run)
        for prediction in ["epsilon", "v_prediction"]:
            yield case("ddim", {"eta": 1.0, "prediction_type": prediction}, *run)
            yield case("ddim", {"eta": 0.4, "prediction_type": prediction, "timestep_spacing": "trailing"}, *run)
        for name in ["ddim", "ddpm", "heun", "lcm"]:
            if name != "lcm" or run[0] < 50:
                yield case(name, {"clip_sample": True}, *run)
                yield case(name, {"clip_sample": True, "clip_sample_range": 0.4, "prediction_type": "v_prediction"}, *run)
        for variance in ["fixed_small", "fixed_small_log", "fixed_large"]:
            yield case("ddpm", {"variance_type": variance}, *run)
        for name in ["euler", "euler_karras", "dpmpp_2m", "dpmpp_2m_karras", "dpmpp_2m_sde", "unipc", "unipc_karras"]:
            yield case(name, {"final_sigmas_type": "sigma_min"}, *run)
        for name in ["dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2m_sde_karras"]:
            for order, solver in itertools.product([1, 2, 3], ["midpoint", "heun"]):
                yield case(name, {"solver_order": order, "solver_type": solver}, *run)
            if name != "dpmpp_2m_sde_karras":  # whose last two sigmas are then the same
                yield case(name, {"lower_order_final": False, "final_sigmas_type": "sigma_min", "solver_order": 3}, *run)
            yield case(name, {"euler_at_final": True, "lower_order_final": False, "final_sigmas_type": "sigma_min"}, *run)
        for name in ["unipc", "unipc_karras"]:
            for order, solver in itertools.product([1, 2, 3], ["bh1", "bh2"]):
                # bh1 divides infinity by infinity where the schedule ends at sigma 0
                final = "sigma_min" if solver == "bh1" else "zero"
                yield case(name, {"solver_order": order, "solver_type": solver, "final_sigmas_type": final}, *run)
            yield case(name, {"disable_corrector": [0, 1, 5, 30, 40]}, *run)
        yield case("unipc", {"lower_order_final": False, "final_sigmas_type": "sigma_min"}, *run)
        yield case("dpmpp_2m", {"solver_type": "bh2"}, *run)
        yield case("unipc", {"solver_type": "midpoint"}, *run)
        for name in ["euler_karras", "unipc_karras"]:
            yield case(name, {"sigma_min": 0.1, "sigma_max": 10.0}, *run)
        yield case("heun", KARRAS, *run)
        for spacing in ["leading", "linspace", "trailing"]:
            yield case("dpmpp_2m", {"lambda_min_clipped": -2.0, "timestep_spacing": spacing}, *run)
    for name in NAMES:
        yield case(name, {"beta_schedule": "squaredcos_cap_v2"})
        yield case(name, {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02})
        yield case(name, {key: None for key in BASE})  # the class's own defaults
        yield case(name, {"trained_betas": [round(0.001 * 1.2**i, 6) for i in range(24)], "num_train_timesteps": 24,
                          **({"original_inference_steps": 12} if name == "lcm" else {})}, 6, 1.0)  # fmt: skip
        yield case(name, {}, 12, 0.8)
    for steps, strength in [(4, 1.0), (4, 0.8), (4, 0.5), (1, 0.02), (8, 0.3), (7, 0.61), (25, 0.5), (50, 1.0)]:
        yield case("lcm", {}, steps, strength, True)
    yield case("lcm", {"original_inference_steps": 100, "timestep_scaling": 4.0}, 6, 0.47, True)
    yield case("lcm", {"original_inference_steps": 30, "timestep_scaling": 1.0, "prediction_type": "sample"}, 20, 0.5)


def packed(arrays):
    return base64.b64encode(np.asarray(arrays, "<f4").tobytes()).decode()


def run(cls, config, steps, strength, consistency):
    config = {k: v for k, v in {**BASE, **config}.items() if v is not None}
    eta = config.pop("eta", None)
    scheduler = getattr(diffusers, cls)(**config)
    if consistency:  # LatentConsistencyModelImg2ImgPipeline
        original = config.get("original_inference_steps", 50)
        scheduler.set_timesteps(steps, original_inference_steps=original, strength=strength)
        timesteps = scheduler.timesteps
    else:  # StableDiffusionImg2ImgPipeline.get_timesteps
        scheduler.set_timesteps(steps)
        start = max(steps - min(int(steps * strength), steps), 0) * scheduler.order
        timesteps = scheduler.timesteps[start:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
    generator = torch.Generator("cpu").manual_seed(SEED)
    index = torch.arange(16, dtype=torch.float32).reshape(1, 4, 2, 2)
    latents = scheduler.add_noise(0.5 * torch.cos(index), torch.randn(1, 4, 2, 2, generator=generator), timesteps[:1])
    known = inspect.signature(scheduler.step).parameters
    extra = {k: v for k, v in {"generator": generator, "eta": eta}.items() if k in known and v is not None}
    states = [latents]
    for t in timesteps:
        output = 0.6 * scheduler.scale_model_input(latents, t) + 0.3 * torch.sin(0.01 * float(t) + 0.7 * index)
        latents = scheduler.step(output, t, latents, **extra, return_dict=False)[0]
        states.append(latents)
    return timesteps, torch.stack(states)


cases = []
for name, config, steps, strength, consistency in itertools.chain(grid(), keys()):
    cls = NAMES[name][0]
    timesteps, states = run(cls, config, steps, strength, consistency)
    if not torch.isfinite(states).all():
        print("not finite in diffusers, left out:", name, config, steps, strength)
        continue
    case = {"name": name, "cls": cls, "config": config, "steps": steps, "strength": strength}
    if consistency:
        case["latent_consistency"] = True
    cases.append({**case, "timesteps": packed(timesteps), "latents": packed(states)})
versions = {"diffusers": diffusers.__version__, "torch": torch.__version__, "numpy": np.__version__}
lines = ",\n".join(json.dumps(case) for case in cases)
path = pathlib.Path(__file__).with_name("schedulers-dump.json")
path.write_text(f'{{"versions": {json.dumps(versions)}, "seed": {SEED}, "base": {json.dumps(BASE)}, "cases": [\n{lines}\n]}}\n')
print(len(cases), "cases,", path.stat().st_size, "bytes")
