"""Writes stable_diffusion_3.json.gz: small Stable Diffusion 3 and 3.5 models, what diffusers makes of them, optimum's export of a
transformer, a T5 tokenizer with texts and their ids, and T5's buckets of distances. The weights are no part of it: both sides compute
them from their names, but for the exported ones.

    python3 -m venv v && v/bin/pip install torch==2.15.0 diffusers==0.35.2 transformers==4.57.6 optimum-onnx==0.1.0 onnx==1.23.2 sentencepiece pillow
    OMP_NUM_THREADS=1 v/bin/python test/reference/stable_diffusion_3.py
"""

import base64
import gzip
import importlib.metadata
import json
import pathlib
import random
import tempfile

import numpy as np
import sentencepiece
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3Pipeline,
)
from optimum.exporters.onnx import onnx_export_from_model
from PIL import Image
from small_models import fill, here, tokenizer, values
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5TokenizerFast
from transformers.models.t5.modeling_t5 import T5Attention

chance = random.Random(0)


def t5_tokenizer(folder: pathlib.Path) -> T5TokenizerFast:
    """Unigram of this repository's prose, with the normalizer of T5's own."""
    texts = [here / "../../README.md", *sorted((here / "../../docs").glob("*.md"))]
    sentencepiece.SentencePieceTrainer.train(
        input=",".join(str(text) for text in texts), model_prefix=str(folder / "spiece"), vocab_size=600, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc", minloglevel=2,
    )
    made = T5TokenizerFast(vocab_file=str(folder / "spiece.model"), extra_ids=100, add_prefix_space=True)
    made.save_pretrained(folder / "saved")
    return made


# Ranges of characters: Latin, marks, Greek, Cyrillic, Arabic, Devanagari, Hangul, punctuation, currency, letterlike, arrows, Kana,
# compatibility, full width, emoji.
ranges = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x600, 0x6FF), (0x900, 0x97F), (0x1100, 0x11FF),
    (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x218F), (0x2190, 0x21FF), (0x2460, 0x24FF), (0x3000, 0x30FF),
    (0x3300, 0x33FF), (0x4E00, 0x4FFF), (0xAC00, 0xAD00), (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFE00, 0xFE6F), (0xFF00, 0xFFEF),
    (0x1F300, 0x1F64F), (0x1F1E6, 0x1F1FF), (0x1D400, 0x1D4FF), (0x00, 0x1F), (0x7F, 0x9F),
]
words = "a red glass of ink, blue paint on wood; photo, 35mm film (masterpiece) [soft] high-quality 4k studio's light don't can't café".split(" ")
pieces = [
    " ", "  ", "   ", "\t", "\n", " \n ", "\u3000", "\u00a0", "\u200b", "\u200d", "\ufeff", "\u2581", "</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_99>",
    "<extra_id_100>", "👩‍👩‍👧", "🇩🇪", "ﬁ", "①", "㎏", "½", "e\u0301", "é", "Å", "Ω", "…", "‘", "—", "ｱﾞ", "한", "ᄒ\u1161\u11ab", "\u0e33", "\u0344",
]


def text() -> str:
    parts = []
    for _ in range(chance.randint(0, 9)):
        kind = chance.random()
        if kind < 0.45:
            parts.append(chance.choice(words) + chance.choice([" ", " ", " ", "", ", "]))
        elif kind < 0.7:
            parts.append(chance.choice(pieces))
        elif kind < 0.8:
            parts.append(chr(chance.choice([*range(0x20, 0xD7FF), *range(0xE000, 0x20000)])))
        else:
            first, last = chance.choice(ranges)
            parts.append("".join(chr(chance.randint(first, last)) for _ in range(chance.randint(1, 4))))
    return "".join(parts)


texts = ["", " ", "a red glass", " ".join(["a red glass of ink,"] * 60), *words, *pieces, *(text() for _ in range(3500))]
with tempfile.TemporaryDirectory() as folder:
    t5_tokens = t5_tokenizer(pathlib.Path(folder))
    definition = json.loads((pathlib.Path(folder) / "saved" / "tokenizer.json").read_text())
golden_ids = [t5_tokens(each, add_special_tokens=False).input_ids for each in texts]
framed = {each: t5_tokens(each, padding="max_length", max_length=256, truncation=True).input_ids for each in texts[:4]}

buckets = [
    {"buckets": count, "distance": far,
     "of": T5Attention._relative_position_bucket(torch.arange(-511, 512), True, count, far).tolist()}
    for count, far in [(32, 128), (16, 64), (64, 512), (8, 20)]
]

ends, bangs = tokenizer("<|endoftext|>"), tokenizer("!")


def clip(width, act, projection):
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=77,
        hidden_act=act, bos_token_id=49406, eos_token_id=2, projection_dim=projection, attn_implementation="eager",
    )
    return fill("text_encoder", CLIPTextModelWithProjection(config))


clip_l, clip_g = clip(32, "quick_gelu", 24), clip(48, "gelu", 40)
t5 = fill(
    "text_encoder_3",
    T5EncoderModel(T5Config(vocab_size=len(t5_tokens), d_model=96, d_kv=16, d_ff=64, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu")),
)
vae = fill(
    "vae",
    AutoencoderKL(
        latent_channels=16, block_out_channels=(16, 16, 32), layers_per_block=1, norm_num_groups=8, sample_size=64, scaling_factor=1.5305,
        shift_factor=0.0609, down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, use_quant_conv=False, use_post_quant_conv=False,
    ),
)


def transformer(**more):
    model = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=16, out_channels=16, attention_head_dim=16, num_attention_heads=2, caption_projection_dim=32,
        joint_attention_dim=96, pooled_projection_dim=64, pos_embed_max_size=12, **more,
    )
    name = "pos_embed.pos_embed"
    model.pos_embed.pos_embed.copy_(values(name, model.pos_embed.pos_embed.shape))
    return fill("transformer", model)


def pipeline(denoiser, encoder):
    return StableDiffusion3Img2ImgPipeline(
        transformer=denoiser, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, text_encoder=clip_l, tokenizer=ends,
        text_encoder_2=clip_g, tokenizer_2=bangs, text_encoder_3=encoder, tokenizer_3=encoder and t5_tokens,
    )


medium = transformer(num_layers=2)
models = {
    "sd3": pipeline(medium, t5),
    "sd3-without-t5": pipeline(medium, None),
    "sd35-large": pipeline(transformer(num_layers=2, qk_norm="rms_norm"), t5),
    "sd35-medium": pipeline(transformer(num_layers=3, qk_norm="rms_norm", dual_attention_layers=(0, 1)), t5),
}
schedulers = {"flow_euler": FlowMatchEulerDiscreteScheduler, "flow_heun": FlowMatchHeunDiscreteScheduler}
small, wide, tall = (32, 32), (48, 32), (32, 64)
# scheduler, steps, strength, guidance, prompt, negative prompt, size[, left, top, right, bottom of what is repainted]
runs = [
    ("flow_euler", 28, 0.6, 7.0, "a red glass", "blue ink", small), ("flow_euler", 10, 1.0, 1.0, "ink on wood", "", wide),
    ("flow_euler", 10, 0.58, 4.5, "a photo of paint", "", tall), ("flow_euler", 8, 0.05, 7.0, "soft light", "wood", small),
    ("flow_euler", 12, 0.85, 2.0, "blue, blue glass!", "a red film", wide), ("flow_euler", 4, 0.75, 0.0, "studio", "ink", small),
    ("flow_euler", 9, 0.9, 5.0, " ".join(["a red glass of ink,"] * 30), "glass", small), ("flow_heun", 6, 0.7, 3.0, "café", "", tall),
    ("flow_euler", 10, 0.8, 6.0, "blue ink", "wood", small, (8, 8, 24, 32)), ("flow_euler", 8, 1.0, 3.0, "a red glass", "", wide, (16, 0, 48, 16)),
]


def run(made, seed, scheduler, steps, strength, guidance, prompt, negative, size, box=None):
    width, height = size
    y, x = np.mgrid[:height, :width]
    starter = Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8))
    config = {key: value for key, value in made.scheduler.config.items() if key != "_use_default_values"}
    cls = StableDiffusion3InpaintPipeline if box else StableDiffusion3Img2ImgPipeline
    runner = cls(**{**made.components, "scheduler": schedulers[scheduler].from_config(config)})
    runner.set_progress_bar_config(disable=True)
    more = {}
    if box:
        mask = np.zeros((height, width), np.uint8)
        mask[box[1] : box[3], box[0] : box[2]] = 255
        more = {"mask_image": Image.fromarray(mask)}
    output = runner(
        prompt=prompt, negative_prompt=negative, image=starter, height=height, width=width, num_inference_steps=steps, strength=strength,
        guidance_scale=guidance, generator=torch.Generator("cpu").manual_seed(seed), output_type="latent" if box else "np", **more,
    ).images
    if box:
        # diffusers' inpainting pipeline forgets the shift here, which its others add.
        decoded = vae.decode(output / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0]
        output = runner.image_processor.postprocess(decoded, output_type="np")
    return (output[0] * 255).round().astype(np.uint8)


cases = []
for name, made in models.items():
    for seed, (scheduler, *rest) in enumerate(runs):
        pixels = run(made, seed, scheduler, *rest)
        steps, strength, guidance, prompt, negative, (width, height), *box = rest
        print(name, scheduler, steps, strength, "deviation", round(float(pixels.std()), 1), "clipped", round(float(np.isin(pixels, [0, 255]).mean()), 3))
        cases.append(
            dict(family=name, scheduler=scheduler, steps=steps, strength=strength, guidance=guidance, prompt=prompt, negative_prompt=negative,
                 seed=seed, width=width, height=height, **({"box": box[0]} if box else {}), pixels=base64.b64encode(pixels.tobytes()).decode())
        )

# How far a mistake moves a picture: mean and most of 255.
for name in ("sd3", "sd35-large", "sd35-medium"):
    first = runs[0]
    own = run(models[name], 0, *first).astype(int)
    for what, other in {
        "no T5": run(StableDiffusion3Img2ImgPipeline(**{**models[name].components, "text_encoder_3": None, "tokenizer_3": None}), 0, *first),
        "negative": run(models[name], 0, *first[:5], "soft wood", first[6]),
        "guidance": run(models[name], 0, *first[:3], first[3] + 1, *first[4:]),
    }.items():
        moved = abs(own - other.astype(int))
        print(name, what, "moves by", round(float(moved.mean()), 1), "at most", int(moved.max()))

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    exporting = StableDiffusion3Pipeline(**models["sd3"].components)
    onnx_export_from_model(exporting, path, task="text-to-image", do_validation=False)
    exported = (path / "transformer" / "model.onnx").read_bytes()
    print("exported", sorted(p.name for p in path.iterdir()), len(exported))


def files(made):
    """The configs of its folder, as save_pretrained writes them."""
    with tempfile.TemporaryDirectory() as folder:
        made.save_config(folder)
        index = {"model_index.json": json.loads((pathlib.Path(folder) / "model_index.json").read_text())}
    parts = {"transformer": made.transformer, "vae": made.vae, "text_encoder": made.text_encoder, "text_encoder_2": made.text_encoder_2, "text_encoder_3": made.text_encoder_3}
    configs = {f"{part}/config.json": json.loads(model.config.to_json_string() if hasattr(model.config, "to_json_string") else model.to_json_string()) for part, model in parts.items() if model}
    scheduler = json.loads(made.scheduler.to_json_string())
    tensors = {}
    for part, model in parts.items():
        if model:
            tensors[part] = {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name != "encoder.embed_tokens.weight" and not name.endswith("position_ids")}
    return {"files": {**index, **configs, "scheduler/scheduler_config.json": scheduler}, "tensors": tensors}


out = {
    "versions": {name: importlib.metadata.version(name) for name in ("diffusers", "transformers", "torch", "optimum-onnx")},
    "tokenizer": definition,
    "texts": [[each, ids] for each, ids in zip(texts, golden_ids)],
    "framed": framed,
    "buckets": buckets,
    "transformer": base64.b64encode(exported).decode(),
    "families": {name: files(made) for name, made in models.items()},
    "cases": cases,
}
with gzip.GzipFile(here / "stable_diffusion_3.json.gz", "wb", mtime=0) as file:
    file.write(json.dumps(out).encode())
