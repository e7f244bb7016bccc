"""A random single file in Stable Diffusion 1.5's layout as a folder for diffusers, and that exported by optimum-onnx. About 8 GB.

    python convert.py FILE FOLDER MERGES
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from optimum.exporters.onnx import main_export
from transformers import CLIPTextConfig, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

file, target, merges = (pathlib.Path(each) for each in sys.argv[1:4])


def save_tokenizer(to: pathlib.Path) -> None:
    """CLIP's own, made from its merges."""
    lines = merges.read_text().split("\n")[1:-1]
    symbols = list(bytes_to_unicode().values())
    ends = ["<|startoftext|>", "<|endoftext|>"]
    tokens = symbols + [s + "</w>" for s in symbols] + [line.replace(" ", "") for line in lines] + ends
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    shutil.copy(merges, folder / "merges.txt")
    CLIPTokenizer(f"{folder}/vocab.json", f"{folder}/merges.txt", model_max_length=77).save_pretrained(to)


# What a hub would say of the original: the file is read offline.
config = target / "config"
with torch.device("meta"):
    UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).save_config(config / "unet")
    AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2, latent_channels=4, sample_size=512,
    ).save_config(config / "vae")
CLIPTextConfig(
    hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12, eos_token_id=2
).save_pretrained(config / "text_encoder")
scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
scheduler.save_pretrained(config / "scheduler")
save_tokenizer(config / "tokenizer")
(config / "model_index.json").write_text(
    json.dumps({
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    })
)
pipeline = StableDiffusionPipeline.from_single_file(str(file), config=str(config), local_files_only=True, safety_checker=None)
pipeline.save_pretrained(target / "diffusers")
del pipeline
main_export(str(target / "diffusers"), target / "optimum", task="text-to-image", do_validation=False)
