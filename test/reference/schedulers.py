"""Writes schedulers-dump.json: the img2img loop of diffusers' schedulers on a 1x4x2x2 latent, for many configs, steps and strengths.
schedulers.json and schedulers-2.json are dumps of the same kind, by hand-picked cases.

    pip install torch==2.15.0 diffusers==0.42.1 numpy scipy     (versions of the last run: see schedulers-dump.json)
    python schedulers.py

Clean latents are 0.5 * cos(i), i = 0..15. Noise comes from torch.Generator('cpu').manual_seed(1234): the first 16 numbers are the noise
of the beginning, later ones the noise of the steps. The stand-in for a UNet is 0.6 * x[i] + 0.3 * sin(0.01 * t + 0.7 * i).
Of each case: the timesteps that run, the sigmas where the class lists them, and the latents in the beginning and after each step, as base64 of little-endian float32.
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
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def spread(name, cls, config={}):
    """A name for each spread of sigmas."""
    return {name: (cls, config)} | {
        f"{name}_{kind}": (cls, {**config, f"use_{kind}_sigmas": True}) for kind in ["karras", "exponential", "beta"]
    }


NAMES = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    **spread("euler", "EulerDiscreteScheduler"),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    **spread("heun", "HeunDiscreteScheduler"),
    **spread("lms", "LMSDiscreteScheduler"),
    **spread("dpm2", "KDPM2DiscreteScheduler"),
    **spread("dpm2_a", "KDPM2AncestralDiscreteScheduler"),
    **spread("dpmpp_2m", "DPMSolverMultistepScheduler"),
    **spread("dpmpp_2m_sde", "DPMSolverMultistepScheduler", SDE),
    **spread("dpmpp_singlestep", "DPMSolverSinglestepScheduler"),
    **spread("unipc", "UniPCMultistepScheduler"),
    **spread("deis", "DEISMultistepScheduler"),
    **spread("sa_solver", "SASolverScheduler"),
    "edm_euler": ("EDMEulerScheduler", {}),
    **spread("flow_euler", "FlowMatchEulerDiscreteScheduler"),
    "flow_heun": ("FlowMatchHeunDiscreteScheduler", {}),
}
CONSISTENCY = ["lcm", "tcd"]
# The classes for noise that know flows too.
FLOWING = ["dpmpp_2m", "dpmpp_2m_sde", "dpmpp_singlestep", "unipc", "unipc_karras", "deis", "sa_solver"]
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
        if "timestep_spacing" not in keys and "beta_start" not in keys:
            continue
        no_samples = ("pndm", "euler_a", "dpm2", "dpm2_a")
        predictions = ["epsilon", "v_prediction"] + (["sample"] if not name.startswith(no_samples) else [])
        spacings = ["leading", "linspace", "trailing"] if "timestep_spacing" in keys and name not in CONSISTENCY else [None]
        snr = [False, True] if "rescale_betas_zero_snr" in keys else [False]
        if name.endswith(("exponential", "beta")):
            predictions, snr = ["epsilon"], [False]
        for spacing, prediction, zero_snr in itertools.product(spacings, predictions, snr):
            config = {**own, **({"timestep_spacing": spacing} if spacing else {}), "prediction_type": prediction}
            if zero_snr:
                config["rescale_betas_zero_snr"] = True
            if spacing == "leading":
                config["steps_offset"] = 1
            steps, strength = next(runs)
            if name in CONSISTENCY:
                steps = min(steps, 50)
                strength = max(strength, 1 / steps)
            yield name, config, steps, strength, {}


def keys():
    """One by one, the keys that only some classes have."""

    def case(name, config, steps=12, strength=0.8, **rest):
        return name, {**NAMES[name][1], **config}, steps, strength, rest

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
        for name in [n for n in NAMES if n.startswith(("euler", "dpmpp", "unipc", "edm")) and n != "euler_a"]:
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
        for spacing in ["leading", "linspace", "trailing"]:
            for name in ["dpmpp_2m", "sa_solver"]:
                yield case(name, {"lambda_min_clipped": -2.0, "timestep_spacing": spacing}, *run)
        yield case("dpmpp_singlestep", {"lambda_min_clipped": -2.0}, *run)
    for run in [(12, 0.8), (21, 0.3)]:
        for order, solver, final in itertools.product([1, 2, 3], ["midpoint", "heun"], ["zero", "sigma_min"]):
            solving = {"solver_order": order, "solver_type": solver, "final_sigmas_type": final}
            for algorithm, lower in itertools.product(["dpmsolver++", "sde-dpmsolver++"], [True, False]):
                yield case("dpmpp_singlestep", {**solving, "algorithm_type": algorithm, "lower_order_final": lower}, *run)
        for name in [n for n in NAMES if n.startswith("deis")]:
            for order, lower in itertools.product([1, 2, 3], [True, False]):
                yield case(name, {"solver_order": order, "lower_order_final": lower}, *run)
        for name, lower in itertools.product([n for n in NAMES if n.startswith("sa_solver")], [True, False]):
            # Beyond these, in steps as unequal as beta's, diffusers' float32 loses the digits that could be compared.
            for predictor, corrector in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)]:
                orders = {"predictor_order": predictor, "corrector_order": corrector, "lower_order_final": lower}
                yield case(name, orders, *run)
        for prediction in ["epsilon", "v_prediction", "sample"]:
            config = {"algorithm_type": "noise_prediction", "prediction_type": prediction}
            yield case("sa_solver", config, *run)
            yield case("sa_solver", {**config, "predictor_order": 3, "corrector_order": 3}, *run)
        yield case("sa_solver", {"predictor_order": 4, "corrector_order": 4}, *run)
        for name in FLOWING:
            for shift in [1.0, 3.0]:
                yield case(name, {**FLOW, "flow_shift": shift}, *run)
            if not name.startswith("sa_"):
                yield case(name, {**FLOW, "use_dynamic_shifting": True}, *run, mu=0.9)
        for order in [1, 2, 3]:
            for name in [n for n in FLOWING if not n.startswith("sa_")]:
                yield case(name, {**FLOW, "flow_shift": 2.5, "solver_order": order}, *run)
        yield case("unipc", {**FLOW, "flow_shift": 3.0, "shift_terminal": 0.05}, *run)
        yield case("unipc", {**FLOW, "flow_shift": 3.0, "final_sigmas_type": "sigma_min"}, *run)
        for config in [{"sigma_schedule": "exponential"}, {"prediction_type": "v_prediction"}, {"rho": 5.0, "sigma_data": 1.0},
                       {"sigma_min": 0.02, "sigma_max": 20.0}]:  # fmt: skip
            yield case("edm_euler", config, *run)
        for name in [n for n in NAMES if n.startswith("flow_")]:
            for shift in [1.0, 3.0, 0.5]:
                yield case(name, {"shift": shift}, *run)
        for name in [n for n in NAMES if n.startswith("flow_euler")]:
            for mu in [0.5, 1.15]:
                yield case(name, {"use_dynamic_shifting": True}, *run, mu=mu, given_sigmas=True)
                yield case(name, {"use_dynamic_shifting": True}, *run, mu=mu)
            yield case(name, {"shift": 3.0}, *run, given_sigmas=True)
        for config in [{"shift_terminal": 0.1}, {"stochastic_sampling": True}, {"invert_sigmas": True},
                       {"use_dynamic_shifting": True, "time_shift_type": "linear", "shift_terminal": 0.02}]:  # fmt: skip
            mu = {"mu": 0.8} if "use_dynamic_shifting" in config else {}
            yield case("flow_euler", {"shift": 3.0, **config}, *run, **mu)
    for prediction, eta in itertools.product(["epsilon", "v_prediction", "sample"], [0.0, 0.3, 0.7, 1.0]):
        yield case("tcd", {"prediction_type": prediction, "eta": eta}, 20, 0.7)
    for name in [n for n in NAMES if "beta_start" in inspect.signature(getattr(diffusers, NAMES[n][0]).__init__).parameters]:
        yield case(name, {"beta_schedule": "squaredcos_cap_v2"})
        yield case(name, {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02})
        yield case(name, {key: None for key in BASE})  # the class's own defaults
        yield case(name, {"trained_betas": [round(0.001 * 1.2**i, 6) for i in range(24)], "num_train_timesteps": 24,
                          **({"original_inference_steps": 12} if name in CONSISTENCY else {})}, 6, 1.0)  # fmt: skip
        yield case(name, {}, 12, 0.8)
    for steps, strength in [(4, 1.0), (4, 0.8), (4, 0.5), (1, 0.02), (8, 0.3), (7, 0.61), (25, 0.5), (50, 1.0)]:
        yield case("lcm", {}, steps, strength, latent_consistency=True)
    yield case("lcm", {"original_inference_steps": 100, "timestep_scaling": 4.0}, 6, 0.47, latent_consistency=True)
    yield case("lcm", {"original_inference_steps": 30, "timestep_scaling": 1.0, "prediction_type": "sample"}, 20, 0.5)


def packed(arrays):
    return base64.b64encode(np.asarray(arrays, "<f4").tobytes()).decode()


def run(cls, config, steps, strength, latent_consistency=False, mu=None, given_sigmas=False):
    known = inspect.signature(getattr(diffusers, cls).__init__).parameters
    config = {k: v for k, v in {**{k: v for k, v in BASE.items() if k in known}, **config}.items() if v is not None}
    eta = config.pop("eta", None)
    scheduler = getattr(diffusers, cls)(**config)
    if latent_consistency:  # LatentConsistencyModelImg2ImgPipeline
        original = config.get("original_inference_steps", 50)
        scheduler.set_timesteps(steps, original_inference_steps=original, strength=strength)
        timesteps = scheduler.timesteps
    else:
        passed = {"sigmas": np.linspace(1.0, 1 / steps, steps)} if given_sigmas else {"num_inference_steps": steps}
        scheduler.set_timesteps(**passed, **({"mu": mu} if mu is not None else {}))
        if cls.startswith("FlowMatch"):  # StableDiffusion3Img2ImgPipeline.get_timesteps
            start = int(max(steps - min(steps * strength, steps), 0)) * scheduler.order
        else:  # StableDiffusionImg2ImgPipeline.get_timesteps
            start = max(steps - min(int(steps * strength), steps), 0) * scheduler.order
        timesteps = scheduler.timesteps[start:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
    generator = torch.Generator("cpu").manual_seed(SEED)
    index = torch.arange(16, dtype=torch.float32).reshape(1, 4, 2, 2)
    noise = torch.randn(1, 4, 2, 2, generator=generator)
    if hasattr(scheduler, "scale_noise"):
        latents = scheduler.scale_noise(0.5 * torch.cos(index), timesteps[:1], noise)
    else:
        latents = scheduler.add_noise(0.5 * torch.cos(index), noise, timesteps[:1])
    known = inspect.signature(scheduler.step).parameters
    extra = {k: v for k, v in {"generator": generator, "eta": eta}.items() if k in known and v is not None}
    states = [latents]
    for t in timesteps:
        output = 0.6 * scheduler.scale_model_input(latents, t) if hasattr(scheduler, "scale_model_input") else 0.6 * latents
        output = output + 0.3 * torch.sin(0.01 * float(t) + 0.7 * index)
        latents = scheduler.step(output, t, latents, **extra, return_dict=False)[0]
        states.append(latents)
    return timesteps, getattr(scheduler, "sigmas", None), torch.stack(states)


cases = []
for name, config, steps, strength, rest in itertools.chain(grid(), keys()):
    cls = NAMES[name][0]
    timesteps, sigmas, states = run(cls, config, steps, strength, **rest)
    if not torch.isfinite(states).all():
        print("not finite in diffusers, left out:", name, config, steps, strength)
        continue
    case = {"name": name, "cls": cls, "config": config, "steps": steps, "strength": strength, **rest}
    if sigmas is not None and name not in ("lcm", "ddim", "ddpm", "pndm"):
        case["sigmas"] = packed(sigmas)
    cases.append({**case, "timesteps": packed(timesteps), "latents": packed(states)})
versions = {"diffusers": diffusers.__version__, "torch": torch.__version__, "numpy": np.__version__}
lines = ",\n".join(json.dumps(case) for case in cases)
path = pathlib.Path(__file__).with_name("schedulers-dump.json")
path.write_text(f'{{"versions": {json.dumps(versions)}, "seed": {SEED}, "base": {json.dumps(BASE)}, "cases": [\n{lines}\n]}}\n')
print(len(cases), "cases,", path.stat().st_size, "bytes")
