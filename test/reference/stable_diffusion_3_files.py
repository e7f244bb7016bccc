"""Writes stable_diffusion_3_files.json.gz: small Stable Diffusion 3 and 3.5 models whose configs a single file can tell, the names that
their tensors have in such a file, which diffusers' own conversion turns back, and pictures that diffusers makes of them.

    OMP_NUM_THREADS=1 v/bin/python test/reference/stable_diffusion_3_files.py     the environment of stable_diffusion_3.py
"""

import base64
import gzip
import json
import pathlib
import tempfile

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Img2ImgPipeline
from diffusers.loaders import single_file_utils as conversion
from PIL import Image
from small_models import fill, here, tokenizer, values
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast, T5Config, T5EncoderModel

golden = json.loads(gzip.decompress((here / "stable_diffusion_3.json.gz").read_bytes()))
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "tokenizer.json"
    path.write_text(json.dumps(golden["tokenizer"]))
    t5_tokens = PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def clip(width, act, projection):
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=1, max_position_embeddings=77,
        hidden_act=act, bos_token_id=49406, eos_token_id=2, projection_dim=projection, attn_implementation="eager",
    )
    return fill("text_encoder", CLIPTextModelWithProjection(config))


# The first CLIP's projection is the identity, which files leave out.
clip_l, clip_g = clip(32, "quick_gelu", 32), clip(48, "gelu", 40)
clip_l.text_projection.weight.copy_(torch.eye(32))
t5_config = T5Config(vocab_size=len(t5_tokens), d_model=96, d_kv=16, d_ff=64, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu")
t5 = fill("text_encoder_3", T5EncoderModel(t5_config))
vae = fill(
    "vae",
    AutoencoderKL(
        latent_channels=16, block_out_channels=(32, 32, 64), layers_per_block=2, norm_num_groups=32, sample_size=64, scaling_factor=1.5305,
        shift_factor=0.0609, down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, use_quant_conv=False, use_post_quant_conv=False,
    ),
)


def transformer(heads, head_width, **more):
    model = SD3Transformer2DModel(
        sample_size=24, patch_size=2, in_channels=16, out_channels=16, attention_head_dim=head_width, num_attention_heads=heads,
        caption_projection_dim=heads * head_width, joint_attention_dim=96, pooled_projection_dim=72, pos_embed_max_size=12, **more,
    )
    name = "pos_embed.pos_embed"
    model.pos_embed.pos_embed.copy_(values(name, model.pos_embed.pos_embed.shape))
    return fill("transformer", model)


def pipeline(denoiser):
    return StableDiffusion3Img2ImgPipeline(
        transformer=denoiser, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, text_encoder=clip_l, tokenizer=tokenizer("<|endoftext|>"),
        text_encoder_2=clip_g, tokenizer_2=tokenizer("!"), text_encoder_3=t5, tokenizer_3=t5_tokens,
    )


# Without norms of queries and keys nothing tells the heads' width, which is 64 then.
models = {
    "sd3": pipeline(transformer(1, 64, num_layers=2)),
    "sd35-large": pipeline(transformer(2, 16, num_layers=2, qk_norm="rms_norm")),
    "sd35-medium": pipeline(transformer(2, 16, num_layers=3, qk_norm="rms_norm", dual_attention_layers=(0, 1))),
}


def original_transformer(state, layers):
    """name -> the tensor, which of ours it is made of, and whether its halves are turned round."""
    out = {}
    outside = {
        "pos_embed.pos_embed": "pos_embed", "pos_embed.proj": "x_embedder.proj", "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2", "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
        "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2", "context_embedder": "context_embedder", "proj_out": "final_layer.linear",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
    }
    inside = {
        "norm1.linear": "x_block.adaLN_modulation.1", "norm1_context.linear": "context_block.adaLN_modulation.1", "attn.norm_q": "x_block.attn.ln_q",
        "attn.norm_k": "x_block.attn.ln_k", "attn.norm_added_q": "context_block.attn.ln_q", "attn.norm_added_k": "context_block.attn.ln_k",
        "attn.to_out.0": "x_block.attn.proj", "attn.to_add_out": "context_block.attn.proj", "attn2.norm_q": "x_block.attn2.ln_q",
        "attn2.norm_k": "x_block.attn2.ln_k", "attn2.to_out.0": "x_block.attn2.proj", "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2",
        "ff_context.net.0.proj": "context_block.mlp.fc1", "ff_context.net.2": "context_block.mlp.fc2",
    }
    joined = {
        "attn.to_q": ("x_block.attn.qkv", "attn.to_{}"), "attn.add_q_proj": ("context_block.attn.qkv", "attn.add_{}_proj"),
        "attn2.to_q": ("x_block.attn2.qkv", "attn2.to_{}"),
    }
    for name, tensor in state.items():
        stem, _, end = name.rpartition(".")
        if name in outside:
            out[outside[name]] = (tensor, [name], False)
            continue
        if stem in outside:
            turned = stem == "norm_out.linear"
            out[f"{outside[stem]}.{end}"] = (torch.cat(tensor.chunk(2)[::-1]) if turned else tensor, [name], turned)
            continue
        _, number, rest = stem.split(".", 2)
        block, ours = f"joint_blocks.{number}", f"transformer_blocks.{number}"
        if rest in inside:
            turned = rest == "norm1_context.linear" and int(number) == layers - 1
            out[f"{block}.{inside[rest]}.{end}"] = (torch.cat(tensor.chunk(2)[::-1]) if turned else tensor, [name], turned)
        elif rest in joined:
            theirs, each = joined[rest]
            sources = [f"{ours}.{each.format(which)}.{end}" for which in "qkv"]
            out[f"{block}.{theirs}.{end}"] = (torch.cat([state[source] for source in sources]), sources, False)
    return out


def original_vae(name, levels):
    ldm = conversion.DIFFUSERS_TO_LDM_MAPPING["vae"]
    if name in ldm:
        return ldm[name]
    side, where, number, *rest = name.split(".")
    if where == "mid_block":
        if number == "resnets":
            return f"{side}.mid.block_{int(rest[0]) + 1}.{'.'.join(rest[1:])}"
        return f"{side}.mid.attn_1.{ {'group_norm': 'norm', 'to_q': 'q', 'to_k': 'k', 'to_v': 'v', 'to_out': 'proj_out'}[rest[1]] }.{rest[-1]}"
    way, level = ("down", int(number)) if side == "encoder" else ("up", levels - 1 - int(number))
    if rest[0] == "resnets":
        return f"{side}.{way}.{level}.block.{rest[1]}.{'.'.join(rest[2:])}".replace("conv_shortcut", "nin_shortcut")
    return f"{side}.{way}.{level}.{way}sample.conv.{rest[-1]}"


def whole_file(made):
    """Every tensor of a file that has all text encoders: name -> tensor, part, sources, whether its halves are turned round."""
    tensors = {}
    state = made.transformer.state_dict()
    for name, (tensor, sources, turned) in original_transformer(state, made.transformer.config.num_layers).items():
        tensors[f"model.diffusion_model.{name}"] = (tensor, "transformer", sources, turned)
    for name, tensor in vae.state_dict().items():
        theirs = original_vae(name, 3)
        square = ".mid.attn_1." in theirs and theirs.endswith("weight") and ".norm." not in theirs
        tensors[f"first_stage_model.{theirs}"] = (tensor[:, :, None, None] if square else tensor, "vae", [name], False)
    for part, prefix in (("text_encoder", "clip_l"), ("text_encoder_2", "clip_g"), ("text_encoder_3", "t5xxl")):
        for name, tensor in getattr(made, part).state_dict().items():
            if name == "encoder.embed_tokens.weight" or (part, name) == ("text_encoder", "text_projection.weight"):
                continue
            tensors[f"text_encoders.{prefix}.transformer.{name}"] = (tensor, part, [name], False)
    return tensors


def check(made, tensors):
    """That diffusers' own conversion makes the same of it."""
    own = lambda: {name: entry[0] for name, entry in tensors.items()}
    below = lambda prefix: {name: entry[0] for name, entry in tensors.items() if name.startswith(prefix)}
    converted = {
        "transformer": conversion.convert_sd3_transformer_checkpoint_to_diffusers(below("model.diffusion_model.")),
        "vae": conversion.convert_ldm_vae_checkpoint(own(), vae.config),
        "text_encoder": conversion.convert_ldm_clip_checkpoint(own(), "text_encoders.clip_l.transformer.") | {"text_projection.weight": torch.eye(32)},
        "text_encoder_2": conversion.convert_ldm_clip_checkpoint(own(), "text_encoders.clip_g.transformer."),
        "text_encoder_3": conversion.convert_sd3_t5_checkpoint_to_diffusers(own()) | {"encoder.embed_tokens.weight": t5.state_dict()["shared.weight"]},
    }
    for part, state in converted.items():
        ours = getattr(made, part).state_dict()
        assert ours.keys() == state.keys(), (part, ours.keys() ^ state.keys())
        for name, tensor in ours.items():
            assert torch.equal(state[name], tensor), (part, name)


def run(made, seed, steps, strength, guidance, prompt, negative):
    y, x = np.mgrid[:32, :32]
    starter = Image.fromarray(np.stack([x * 255 // 32, y * 255 // 32, (x * y) % 256], -1).astype(np.uint8))
    made.set_progress_bar_config(disable=True)
    output = made(
        prompt=prompt, negative_prompt=negative, image=starter, height=32, width=32, num_inference_steps=steps, strength=strength,
        guidance_scale=guidance, generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
    ).images
    return (output[0] * 255).round().astype(np.uint8)


def files(made):
    """The configs of its folder, as save_pretrained writes them, and the shapes of its tensors."""
    with tempfile.TemporaryDirectory() as folder:
        made.save_config(folder)
        index = {"model_index.json": json.loads((pathlib.Path(folder) / "model_index.json").read_text())}
    parts = {part: getattr(made, part) for part in ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")}
    configs = {f"{part}/config.json": json.loads(model.config.to_json_string() if hasattr(model.config, "to_json_string") else model.to_json_string()) for part, model in parts.items()}
    tensors = {
        part: {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name != "encoder.embed_tokens.weight"}
        for part, model in parts.items()
    }
    return {**index, **configs, "scheduler/scheduler_config.json": json.loads(made.scheduler.to_json_string())}, tensors


runs = [(8, 0.6, 7.0, "a red glass", "blue ink"), (6, 1.0, 3.0, "ink on wood", "")]
families, cases = {}, []
for name, made in models.items():
    tensors = whole_file(made)
    check(made, tensors)
    configs, shapes = files(made)
    original = [[each, list(tensor.shape), part, sources, turned] for each, (tensor, part, sources, turned) in tensors.items()]
    families[name] = {"files": configs, "tensors": shapes, "original": original}
    # Of the last one without the T5, as a file with the CLIPs alone runs.
    runner = made if name != "sd35-medium" else StableDiffusion3Img2ImgPipeline(**{**made.components, "text_encoder_3": None, "tokenizer_3": None})
    for seed, (steps, strength, guidance, prompt, negative) in enumerate(runs):
        pixels = run(runner, seed, steps, strength, guidance, prompt, negative)
        print(name, "deviation", round(float(pixels.std()), 1), "clipped", round(float(np.isin(pixels, [0, 255]).mean()), 3))
        cases.append(
            dict(family=name, scheduler="flow_euler", steps=steps, strength=strength, guidance=guidance, prompt=prompt, negative_prompt=negative,
                 seed=seed, width=32, height=32, pixels=base64.b64encode(pixels.tobytes()).decode())
        )

with gzip.GzipFile(here / "stable_diffusion_3_files.json.gz", "wb", mtime=0) as file:
    file.write(json.dumps({"families": families, "cases": cases}).encode())
