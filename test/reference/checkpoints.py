"""Writes checkpoints.json.gz: small models of each architecture that graphs are written for, in diffusers' layout and as single files
of the original layout, and what diffusers makes of them. The weights are no part of it: both sides compute them from their names.

    python3 -m venv v && v/bin/pip install torch==2.15.0 diffusers==0.35.2 transformers==4.57.6 safetensors ftfy pillow
    OMP_NUM_THREADS=1 v/bin/python test/reference/checkpoints.py
"""

import base64
import gzip
import importlib.metadata
import json
import math
import pathlib
import tempfile

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelImg2ImgPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders import single_file_utils
from PIL import Image
from safetensors.torch import save_file
from small_models import fill, here, tokenizer, values
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection


def text_encoder(cls, width, layers, act, **more):
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=width // 64,
        max_position_embeddings=77, hidden_act=act, bos_token_id=49406, eos_token_id=2, attn_implementation="eager", **more,
    )
    return fill("text_encoder", cls(config))


def unet(channels, down, **more):
    up = ["UpBlock2D" if kind == "DownBlock2D" else "CrossAttnUpBlock2D" for kind in reversed(down)]
    config = dict(sample_size=64, in_channels=4, out_channels=4, layers_per_block=2) | more
    return fill("unet", UNet2DConditionModel(block_out_channels=channels, down_block_types=down, up_block_types=up, **config))


def autoencoder(scaling):
    return fill(
        "vae",
        AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(32, 32, 64, 64), layers_per_block=2, sample_size=128,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=scaling,
        ),
    )


cross, plain_block = "CrossAttnDownBlock2D", "DownBlock2D"
first_levels = (cross, cross, cross, plain_block)
end_padded, zero_padded = tokenizer("<|endoftext|>"), tokenizer("!")
vae, xl_vae = autoencoder(0.18215), autoencoder(0.13025)
tiny_vae = fill(
    "vae",
    AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, num_encoder_blocks=(1, 2, 2, 2),
        num_decoder_blocks=(2, 2, 2, 1),
    ),
)
clip = text_encoder(CLIPTextModel, 128, 3, "quick_gelu")
clip_l = text_encoder(CLIPTextModel, 64, 3, "quick_gelu")
open_clip_h = text_encoder(CLIPTextModel, 128, 3, "gelu")
open_clip_g = text_encoder(CLIPTextModelWithProjection, 128, 3, "gelu", projection_dim=128)
betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
schedule = {**betas, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
pndm = PNDMScheduler(**{k: v for k, v in schedule.items() if k != "clip_sample"}, skip_prk_steps=True)
euler = EulerDiscreteScheduler(**betas, timestep_spacing="leading", steps_offset=1)
none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
sd1 = unet((32, 32, 64, 64), first_levels, cross_attention_dim=128, attention_head_dim=8)
sd1_inpaint = unet((32, 32, 64, 64), first_levels, cross_attention_dim=128, attention_head_dim=8, in_channels=9)
xl = {"sample_size": 128, "addition_embed_type": "text_time", "addition_time_embed_dim": 32, "use_linear_projection": True}
pipelines = {
    "sd": StableDiffusionImg2ImgPipeline(vae, clip, end_padded, sd1, pndm, **none),
    "sd-v": StableDiffusionImg2ImgPipeline(
        vae, open_clip_h, zero_padded,
        unet((64, 64, 128, 128), first_levels, sample_size=96, cross_attention_dim=128, attention_head_dim=[1, 1, 2, 2], use_linear_projection=True),
        DDIMScheduler(**schedule, prediction_type="v_prediction"), **none,
    ),
    "sdxl": StableDiffusionXLImg2ImgPipeline(
        xl_vae, clip_l, open_clip_g, end_padded, zero_padded,
        unet((64, 64, 128), (plain_block, cross, cross), cross_attention_dim=192, attention_head_dim=[1, 1, 2],
             transformer_layers_per_block=[1, 2, 3], projection_class_embeddings_input_dim=6 * 32 + 128, **xl),
        euler, add_watermarker=False,
    ),
    "sdxl-refiner": StableDiffusionXLImg2ImgPipeline(
        xl_vae, None, open_clip_g, None, zero_padded,
        unet((64, 64, 128, 128), (plain_block, cross, cross, plain_block), cross_attention_dim=128, attention_head_dim=[1, 1, 2, 2],
             transformer_layers_per_block=2, projection_class_embeddings_input_dim=5 * 32 + 128, **xl),
        euler, requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False,
    ),
    "sd-inpaint": StableDiffusionInpaintPipeline(vae, clip, end_padded, sd1_inpaint, pndm, **none),
    "lcm": LatentConsistencyModelImg2ImgPipeline(
        vae, clip, end_padded,
        unet((32, 64), (cross, plain_block), cross_attention_dim=128, attention_head_dim=8, layers_per_block=1, sample_size=16, time_cond_proj_dim=64),
        LCMScheduler(**betas), **none,
    ),
    "sd-taesd": StableDiffusionImg2ImgPipeline(tiny_vae, clip, end_padded, sd1, pndm, **none),
    "instruct-pix2pix": StableDiffusionInstructPix2PixPipeline(
        vae, clip, end_padded, unet((32, 32, 64, 64), first_levels, cross_attention_dim=128, attention_head_dim=8, in_channels=8),
        # The keys of other classes too, as the published model has them.
        EulerAncestralDiscreteScheduler.from_config({**schedule, "skip_prk_steps": True, "timestep_spacing": "leading"}), **none,
    ),
}

# How many layers of the text encoder the file has: Stable Diffusion 2 leaves out the last.
single_files = {"sd": "v1", "sd-v": "v2", "sdxl": "xl", "sdxl-refiner": "refiner", "sd-inpaint": "v1", "instruct-pix2pix": "v1"}


def original_unet(name: str) -> str:
    """The original name of a UNet's tensor: the inverse of diffusers' conversion."""
    for ours, theirs in single_file_utils.DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"].items():
        if name == ours:
            return theirs
    for ours, theirs in single_file_utils.DIFFUSERS_TO_LDM_MAPPING["unet"]["addition_embed_type"].items():
        if name == ours:
            return theirs
    where, number, *rest = name.split(".")
    if where == "mid_block":
        place = f"middle_block.{ {'resnets0': 0, 'attentions0': 1, 'resnets1': 2}[number + rest[0]] }"
        return f"{place}.{original_resnet('.'.join(rest[1:]))}"
    block, kind, index, inner = int(number), rest[0], int(rest[1]), ".".join(rest[2:])
    if where == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{3 * (block + 1)}.0.op.{inner.removeprefix('conv.')}"
        place = f"input_blocks.{3 * block + index + 1}.{0 if kind == 'resnets' else 1}"
    else:
        if kind == "upsamplers":
            return f"output_blocks.{3 * block + 2}.{'UP'}.{inner}"
        place = f"output_blocks.{3 * block + index}.{0 if kind == 'resnets' else 1}"
    return f"{place}.{original_resnet(inner)}"


def original_resnet(name: str) -> str:
    table = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
    first, _, rest = name.partition(".")
    return f"{table[first]}.{rest}" if first in table and rest in ("weight", "bias") else name


def original_vae(name: str, levels: int) -> str:
    for ours, theirs in single_file_utils.DIFFUSERS_TO_LDM_MAPPING["vae"].items():
        if name == ours:
            return theirs
    side, where, number, *rest = name.split(".")
    if where == "mid_block":
        if number == "resnets":
            return f"{side}.mid.block_{int(rest[0]) + 1}.{'.'.join(rest[1:])}"
        table = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}
        return f"{side}.mid.attn_1.{table[rest[1]]}.{rest[-1]}"
    level = int(number) if side == "encoder" else levels - 1 - int(number)
    way = "down" if side == "encoder" else "up"
    if rest[0] == "resnets":
        return f"{side}.{way}.{level}.block.{rest[1]}.{'.'.join(rest[2:])}".replace("conv_shortcut", "nin_shortcut")
    return f"{side}.{way}.{level}.{'downsample' if way == 'down' else 'upsample'}.conv.{rest[-1]}"


def open_clip(part, state):
    """The tensors of transformers' CLIP as open_clip has them: name -> tensor, and which of ours it is made of."""
    out = {}
    for name, tensor in state.items():
        sources = [name]
        short = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            short, tensor = "text_projection", tensor.T
        if "q_proj" in short:
            sources = [name.replace("q_proj", which) for which in ("q_proj", "k_proj", "v_proj")]
            short, tensor = short.replace("q_proj.", "in_proj_"), torch.cat([state[source] for source in sources])
        elif "k_proj" in short or "v_proj" in short:
            continue
        for theirs, ours in [
            ("encoder.layers", "transformer.resblocks"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn", "attn"),
            ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"), ("final_layer_norm", "ln_final"),
            ("embeddings.position_embedding.weight", "positional_embedding"), ("embeddings.token_embedding", "token_embedding"),
        ]:
            short = short.replace(theirs, ours)
        out[short] = (tensor, part, sources)
    return out


def single_file(name, pipeline):
    kind = single_files[name]
    tensors = {}
    unet_state = pipeline.unet.state_dict()
    for key, tensor in unet_state.items():
        original = original_unet(key)
        if ".UP." in original:
            # After a transformer the upsampler is the third in its block, else the second.
            block = key.split(".")[1]
            original = original.replace("UP", "2" if f"up_blocks.{block}.attentions.0.norm.weight" in unet_state else "1")
        tensors[f"model.diffusion_model.{original}"] = (tensor, "unet", [key])
    for key, tensor in pipeline.vae.state_dict().items():
        original = original_vae(key, 4)
        square = ".mid.attn_1." in original and original.endswith("weight") and ".norm." not in original
        tensors[f"first_stage_model.{original}"] = (tensor[:, :, None, None] if square else tensor, "vae", [key])
    plain = lambda part: {key: (tensor, part, [key]) for key, tensor in getattr(pipeline, part).state_dict().items()}
    if kind == "v1":
        encoders = {"cond_stage_model.transformer.": plain("text_encoder")}
    elif kind == "v2":
        clip = open_clip("text_encoder", pipeline.text_encoder.state_dict())
        # The last layer, which is left out, and what nobody asks for.
        last = {k.replace("resblocks.0.", "resblocks.3."): (v[0] * 2, None, []) for k, v in clip.items() if ".resblocks.0." in k}
        encoders = {"cond_stage_model.model.": {**clip, **last, "logit_scale": (torch.tensor(1.0), None, [])}}
    elif kind == "xl":
        encoders = {
            "conditioner.embedders.0.transformer.": plain("text_encoder"),
            "conditioner.embedders.1.model.": open_clip("text_encoder_2", pipeline.text_encoder_2.state_dict()),
        }
    else:
        encoders = {"conditioner.embedders.0.model.": open_clip("text_encoder_2", pipeline.text_encoder_2.state_dict())}
    for prefix, state in encoders.items():
        for key, entry in state.items():
            tensors[prefix + key] = entry
    # What training left in real files.
    tensors["alphas_cumprod"] = (torch.linspace(1, 0, 8), None, [])
    tensors["model_ema.decay"] = (torch.tensor(0.5), None, [])
    return tensors


def check_conversion(name, pipeline, tensors):
    """That diffusers' own loading makes the same models of the single file."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}.safetensors"
        save_file({key: tensor.contiguous() for key, (tensor, _, _) in tensors.items()}, path)
        pipeline.save_pretrained(f"{folder}/config")
        for part, cls in [("unet", UNet2DConditionModel), ("vae", AutoencoderKL)]:
            loaded = cls.from_single_file(path, config=f"{folder}/config", subfolder=part).state_dict()
            for key, tensor in getattr(pipeline, part).state_dict().items():
                assert torch.equal(loaded[key], tensor), (name, part, key)
        whole = type(pipeline).from_single_file(path, config=f"{folder}/config", local_files_only=True)
        for part in ("text_encoder", "text_encoder_2"):
            if getattr(pipeline, part, None) is None:
                continue
            loaded = getattr(whole, part).state_dict()
            for key, tensor in getattr(pipeline, part).state_dict().items():
                assert torch.equal(loaded[key], tensor), (name, part, key)


small, wide, tall = (64, 64), (128, 64), (64, 128)
ddim, dpmpp = DDIMScheduler, DPMSolverMultistepScheduler
schedulers = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler, "lcm": LCMScheduler} | {
    "euler_a": EulerAncestralDiscreteScheduler
}
# scheduler, steps, strength (of instruct-pix2pix the image guidance), guidance, prompt, negative prompt, size
general = [
    ("ddim", 8, 0.75, 7.5, "a red glass", "blue ink", small), ("euler", 6, 1.0, 1.0, "Ünïcode, l'été & 東京!", "", wide),
    ("dpmpp_2m", 9, 0.55, 4.0, "a photograph of an astronaut riding a horse", "", tall), ("ddim", 4, 0.5, 12.0, "", "ugly, blurry", small),
    ("euler", 8, 0.4, 7.5, "ink " * 90, "red", small), ("dpmpp_2m", 4, 1.0, 5.0, "blue", "glass", wide),
    ("ddim", 6, 0.9, 1.0, "oil painting of the sea, 4k", "", tall), ("euler", 5, 0.8, 6.0, "don't stop", "it's", small),
]
runs = {name: general for name in pipelines}
# At full strength diffusers' inpainting begins with noise alone, which is another thing.
runs["sd-inpaint"] = [(scheduler, steps, min(strength, 0.95), *rest) for scheduler, steps, strength, *rest in general]
runs["lcm"] = [
    ("lcm", steps, strength, guidance, prompt, "", size)
    for steps, strength, guidance, prompt, size in [
        (4, 0.8, 8.5, "a red glass", small), (4, 0.5, 8.5, "blue ink", wide), (1, 1.0, 2.0, "red", small), (8, 0.6, 1.0, "ink", tall),
        (2, 0.3, 12.0, "a red glass", small), (6, 0.9, 4.0, "", small), (3, 0.75, 20.0, "blue glass", small), (5, 0.4, 0.0, "red, red", wide),
    ]
]
runs["instruct-pix2pix"] = [
    ("ddim", 8, 1.5, 7.5, "a red glass", "blue ink", small), ("euler", 6, 1.5, 1.0, "Ünïcode, l'été & 東京!", "", wide),
    ("euler_a", 9, 2.5, 4.0, "a photograph of an astronaut riding a horse", "", tall), ("ddim", 4, 1.0, 12.0, "", "ugly, blurry", small),
    ("euler", 8, 0.5, 7.5, "ink " * 90, "red", small), ("dpmpp_2m", 4, 1.2, 5.0, "blue", "glass", wide),
    ("euler_a", 6, 3.0, 9.0, "oil painting of the sea, 4k", "", tall), ("euler", 5, 1.5, 6.0, "don't stop", "it's", small),
]
# left, top, right, bottom of what is repainted
boxes = [(16, 8, 56, 40), (0, 0, 48, 64), (32, 32, 64, 64), (0, 16, 64, 64)]
halves = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def generate(name, pipeline, number, case):
    scheduler, steps, strength, guidance, prompt, negative, (width, height) = case
    y, x = np.mgrid[:height, :width]
    starter = Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8))
    more = {"image_guidance_scale": strength} if name == "instruct-pix2pix" else {"strength": strength}
    if name == "sd-inpaint":
        mask = np.zeros((height, width), np.uint8)
        left, top, right, bottom = boxes[number % len(boxes)]
        mask[top:bottom, left:right] = 255
        more |= {"mask_image": Image.fromarray(mask), "width": width, "height": height}
    if name != "lcm":
        more["negative_prompt"] = negative if negative or "xl" not in name else None
    picture = pipeline(
        prompt=prompt, image=starter, num_inference_steps=steps, guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(number), output_type="np", **more,
    ).images[0]
    pixels = (picture * 255).round().astype(np.uint8)
    print(name, scheduler, pixels.shape, "deviation", round(float(pixels.std()), 1), "clipped", round(float(np.isin(pixels, [0, 255]).mean()), 3), flush=True)
    # Every second pixel of every second row is enough to tell a wrong picture, and a quarter of the bytes.
    return pixels[::2, ::2]


if __name__ == "__main__":
    families, cases = {}, []
    for name, pipeline in pipelines.items():
        pipeline.set_progress_bar_config(disable=True)
        config = {key: value for key, value in pipeline.scheduler.config.items() if key != "_use_default_values"}
        parts = ("unet", "vae", "text_encoder", "text_encoder_2")
        modules = {part: getattr(pipeline, part) for part in parts if getattr(pipeline, part, None) is not None}
        with tempfile.TemporaryDirectory() as folder:
            pipeline.save_pretrained(folder)
            files = ["model_index.json", "scheduler/scheduler_config.json", *(f"{part}/config.json" for part in modules)]
            families[name] = {
                "files": {file: json.loads((pathlib.Path(folder) / file).read_text()) for file in files},
                "padding": {part: getattr(pipeline, part).pad_token for part in ("tokenizer", "tokenizer_2") if getattr(pipeline, part, None)},
                # By the names of diffusers.
                "tensors": {part: {key: list(tensor.shape) for key, tensor in module.named_parameters()} for part, module in modules.items()},
            }
        if name in single_files:
            single = single_file(name, pipeline)
            check_conversion(name, pipeline, single)
            families[name]["original"] = [[key, list(tensor.shape), part, sources] for key, (tensor, part, sources) in single.items()]
        for number, case in enumerate(runs[name]):
            for dtype in ["float32", *(halves if number < 2 else [])]:
                if dtype != "float32":
                    saved = {part: {k: v.clone() for k, v in module.state_dict().items()} for part, module in modules.items()}
                    for module in modules.values():
                        module.load_state_dict({k: v.to(halves[dtype]).float() if v.is_floating_point() else v for k, v in module.state_dict().items()})
                pipeline.scheduler = schedulers[case[0]].from_config(config if "xl" in name else {**config, "clip_sample": False})
                pixels = generate(name, pipeline, number, case)
                if dtype != "float32":
                    for part, module in modules.items():
                        module.load_state_dict(saved[part])
                keys = ("scheduler", "steps", "strength", "guidance", "prompt", "negative_prompt")
                entry = dict(zip(keys, case[:6])) | {"width": case[6][0], "height": case[6][1], "family": name, "dtype": dtype, "seed": number}
                if name == "instruct-pix2pix":
                    entry |= {"strength": 1, "image_guidance": case[2]}
                if name == "sd-inpaint":
                    entry["box"] = boxes[number % len(boxes)]
                cases.append(entry | {"pixels": base64.b64encode(pixels.tobytes()).decode()})

    versions = {name: importlib.metadata.version(name) for name in ("diffusers", "transformers", "torch", "safetensors")}
    text = json.dumps({"versions": versions, "families": families, "cases": cases})
    (here / "checkpoints.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
