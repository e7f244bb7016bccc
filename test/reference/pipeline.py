"""Writes tiny/ (a Stable Diffusion folder with small random weights, as ONNX) and pipeline.json: what diffusers'
StableDiffusionImg2ImgPipeline makes with the same weights.

    pip install torch==2.15.0 diffusers transformers onnx numpy pillow     (versions of the last run: see pipeline.json)
    python pipeline.py
"""

import base64
import itertools
import json
import pathlib

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

here = pathlib.Path(__file__).parent
folder = here / "tiny"
torch.manual_seed(0)


def write_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level BPE with a few merges; every text can be encoded."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    symbols = list(bytes_to_unicode().values())
    merges = ["i n", "in k</w>", "g l", "a s", "as s</w>", "r e", "re d</w>", "b l", "bl u", "blu e</w>"]
    tokens = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    target = folder / "tokenizer"
    target.mkdir(parents=True, exist_ok=True)
    (target / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(dict.fromkeys(tokens))}, ensure_ascii=False))
    (target / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    config = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "model_max_length": 16}
    (target / "tokenizer_config.json").write_text(json.dumps(config))
    return CLIPTokenizer.from_pretrained(target)


def write_config(name: str, config: dict) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "config.json").write_text(json.dumps({k: v for k, v in config.items() if not k.startswith("_")}, default=str))


def export(name: str, module: torch.nn.Module, inputs: dict, output: str, dynamic: dict) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        module.eval(),
        tuple(inputs.values()),
        folder / name / "model.onnx",
        input_names=list(inputs),
        output_names=[output],
        dynamic_axes=dynamic,
        opset_version=17,
        dynamo=False,
    )


class Wrap(torch.nn.Module):
    def __init__(self, module, forward):
        super().__init__()
        self.module, self.run = module, forward

    def forward(self, *args):
        return self.run(self.module, *args)


tokenizer = write_tokenizer()
text_encoder = CLIPTextModel(
    CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        attn_implementation="eager",
    )
).eval()
unet = UNet2DConditionModel(
    sample_size=16, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=16,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    attention_head_dim=2, norm_num_groups=4,
).eval()
vae = AutoencoderKL(
    in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
    down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.5, sample_size=32,
).eval()
with torch.no_grad():
    # Random weights say little: make the prompt, the latents and the picture vary enough to tell a mistake.
    text_encoder.get_input_embeddings().weight.mul_(30)
    vae.decoder.conv_out.weight.mul_(2)
    unet.conv_out.weight.mul_(2)
for parameter in [*text_encoder.parameters(), *unet.parameters(), *vae.parameters()]:
    parameter.requires_grad_(False)

export(
    "text_encoder",
    Wrap(text_encoder, lambda m, ids: m(ids)[0]),
    {"input_ids": torch.zeros(1, 16, dtype=torch.int64)},
    "last_hidden_state",
    {"input_ids": {0: "batch", 1: "sequence"}},
)
export(
    "unet",
    Wrap(unet, lambda m, sample, t, states: m(sample, t, states).sample),
    {"sample": torch.randn(2, 4, 16, 16), "timestep": torch.tensor([5.0, 7.0]), "encoder_hidden_states": torch.randn(2, 16, 16)},
    "out_sample",
    {"sample": {0: "batch", 2: "height", 3: "width"}, "timestep": {0: "batch"}, "encoder_hidden_states": {0: "batch", 1: "sequence"}},
)
export(
    "vae_encoder",
    Wrap(vae, lambda m, sample: m.quant_conv(m.encoder(sample))),
    {"sample": torch.randn(1, 3, 32, 32)},
    "latent_parameters",
    {"sample": {0: "batch", 2: "height", 3: "width"}},
)
export(
    "vae_decoder",
    Wrap(vae, lambda m, z: m.decode(z).sample),
    {"latent_sample": torch.randn(1, 4, 16, 16)},
    "sample",
    {"latent_sample": {0: "batch", 2: "height", 3: "width"}},
)
for name, module in {"text_encoder": text_encoder, "unet": unet, "vae_encoder": vae, "vae_decoder": vae}.items():
    write_config(name, module.config.to_dict() if name == "text_encoder" else dict(module.config))
(folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
base = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
(folder / "scheduler").mkdir(exist_ok=True)
folder_scheduler = {"_class_name": "DDIMScheduler", **base, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
(folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(folder_scheduler))

karras = {"use_karras_sigmas": True}
sde = {"algorithm_type": "sde-dpmsolver++"}
schedulers = {
    "ddim": (diffusers.DDIMScheduler, {}),
    "ddpm": (diffusers.DDPMScheduler, {}),
    "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_karras": (diffusers.EulerDiscreteScheduler, karras),
    "euler_a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "heun": (diffusers.HeunDiscreteScheduler, {}),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_karras": (diffusers.DPMSolverMultistepScheduler, karras),
    "dpmpp_2m_sde": (diffusers.DPMSolverMultistepScheduler, sde),
    "dpmpp_2m_sde_karras": (diffusers.DPMSolverMultistepScheduler, {**sde, **karras}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "unipc_karras": (diffusers.UniPCMultistepScheduler, karras),
    "lcm": (diffusers.LCMScheduler, {}),
}
combinations = [
    ("ddim", 20, 0.75, 7.5, "a red glass", "blue ink", 1, (32, 32)),
    ("ddim", 25, 0.3, 1.0, "a red glass", "", 2, (32, 48)),
    ("ddim", 10, 1.0, 13.0, "", "blue", 3, (48, 32)),
    ("euler", 20, 0.58, 7.5, "ink, ink & ink!", "", 4, (32, 32)),
    ("euler", 9, 1.0, 3.0, "Ünïcode 3x", "blue", 5, (64, 32)),
    ("euler_karras", 20, 0.75, 7.5, "red", "glass", 6, (32, 32)),
    ("dpmpp_2m", 20, 0.75, 7.5, "a red glass", "blue ink", 7, (32, 32)),
    ("dpmpp_2m", 8, 0.5, 1.0, "blue", "", 8, (32, 64)),
    ("dpmpp_2m_karras", 20, 0.75, 10.0, "a very long prompt that does not fit into the sixteen tokens", "", 2**32 - 1, (32, 32)),
    ("ddim", 61, 0.9, 7.5, "glass", "", 9, (32, 32)),
]
# Every scheduler with a folder of another one's, and with configs of its own.
runs = [(20, 0.75, 7.5, (32, 32)), (12, 1.0, 3.0, (48, 32)), (30, 0.35, 1.0, (32, 32))]
combinations += [
    (name, *run[:3], "a red glass", "blue ink", 100 + i, run[3])
    for i, (name, run) in enumerate(itertools.product(schedulers, runs))
]
zero_snr = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
combinations += [
    (name, 16, 0.8, 5.0, "blue ink", "", 200 + i, (32, 32), config)
    for i, (name, config) in enumerate(
        [(name, zero_snr) for name in ["ddim", "euler", "euler_a", "dpmpp_2m", "unipc"]]
        # Stable Diffusion's pipeline has its own opinion of steps_offset and clip_sample.
        + [(name, {"steps_offset": 0, "clip_sample": True, "timestep_spacing": "leading"}) for name in ["ddim", "pndm", "euler", "heun"]]
    )
]

cases = []
for name, steps, strength, guidance, prompt, negative, seed, (width, height), *configs in combinations:
    cls, overrides = schedulers[name]
    config = configs[0] if configs else {}
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet,
        scheduler=cls.from_config({**{k: v for k, v in folder_scheduler.items() if k != "_class_name"}, **config, **overrides}),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    y, x = np.mgrid[:height, :width]
    starter = np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8)
    picture = pipeline(
        prompt=prompt, negative_prompt=negative, image=Image.fromarray(starter), strength=strength, num_inference_steps=steps,
        guidance_scale=guidance, generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
    ).images[0]
    pixels = (picture * 255).round().astype(np.uint8)
    print(name, steps, strength, "deviation", round(float(pixels.std()), 1), "clipped", round(float(np.isin(pixels, [0, 255]).mean()), 3))
    cases.append(
        dict(scheduler=name, config=config, steps=steps, strength=strength, guidance=guidance, prompt=prompt, negative_prompt=negative, seed=seed,
             width=width, height=height, ids=tokenizer(prompt, padding="max_length", max_length=16, truncation=True).input_ids,
             pixels=base64.b64encode(pixels.tobytes()).decode())
    )
versions = {"diffusers": diffusers.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
(here / "pipeline.json").write_text(json.dumps({"versions": versions, "cases": cases}, indent=1) + "\n")
