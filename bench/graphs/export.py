"""Writes a Stable Diffusion 1.5 of random weights in its true dimensions: as a diffusers folder of safetensors, and as optimum-onnx
exports that folder. About 8 GB; `npm run bench:graphs -- FOLDER` compares the two.

    python3 -m venv v && v/bin/pip install torch==2.15.0 diffusers==0.35.2 transformers==4.57.6 optimum-onnx==0.1.0 onnx onnxruntime
    v/bin/python bench/graphs/export.py FOLDER
"""

import pathlib
import shutil
import sys

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from optimum.exporters.onnx import main_export
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

target = pathlib.Path(sys.argv[1])
assets = pathlib.Path(__file__).parent / "../../assets/clip/merges.txt"
torch.manual_seed(0)


def tokenizer() -> CLIPTokenizer:
    import json
    import tempfile

    merges = assets.read_text().split("\n")[1:-1]
    symbols = list(bytes_to_unicode().values())
    tokens = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    shutil.copy(assets, folder / "merges.txt")
    return CLIPTokenizer(f"{folder}/vocab.json", f"{folder}/merges.txt", model_max_length=77)


with torch.device("cpu"):
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2, latent_channels=4, sample_size=512,
    )
    text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12, eos_token_id=2))
pipeline = StableDiffusionPipeline(
    vae, text, tokenizer(), unet,
    PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
)
print("parameters of the UNet:", sum(p.numel() for p in unet.parameters()))
pipeline.save_pretrained(target / "diffusers")
del pipeline, unet, vae, text
main_export(str(target / "diffusers"), target / "optimum", task="text-to-image", do_validation=False)
