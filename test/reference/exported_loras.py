"""Writes exported_loras.json: LoRAs for the small exported folders of families/, and the pictures that diffusers makes with them
(load_lora_weights, then fuse_lora). The models' weights are taken back out of the exported graphs, whose pictures without LoRAs
must be those of families.json; the LoRAs' weights follow from their names.

    v/bin/pip install peft==0.18.1 (beside what families.py takes)
    OMP_NUM_THREADS=1 v/bin/python test/reference/exported_loras.py
"""

import base64
import importlib.metadata
import json
import tempfile

import numpy as np
import onnx
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from onnx import numpy_helper
from PIL import Image
from safetensors.torch import save_file
from small_models import here, values
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

families = here / "families"


def fill(model: torch.nn.Module, *graphs) -> torch.nn.Module:
    """With the weights of exported graphs: by name, or where the exporter renamed and transposed them by the node that takes them."""
    known = {}
    for path in graphs:
        graph = onnx.load(path).graph
        arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        known |= arrays
        for node in graph.node:
            module = "/".join(node.name.strip("/").split("/")[:-1]).replace("/", ".")
            if node.op_type == "MatMul" and node.input[1] in arrays:
                known[f"{module}.weight"] = arrays[node.input[1]].T
    taken = 0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            array = known.get(name)
            if array is None or list(array.shape) != list(parameter.shape):
                # Norms' weights are in graphs as [channels, 1, 1], or fused; ones and zeros are what an untrained norm has.
                if parameter.dim() == 1:
                    continue
                raise SystemExit(f"{name} is not in {graphs}")
            parameter.copy_(torch.from_numpy(array.copy()))
            taken += 1
    print(taken, "of", len(list(model.parameters())), "weights of", graphs[0])
    return model.eval()


def config_of(family, part):
    return json.loads((families / family / part / "config.json").read_text())


def graph_of(family, part):
    return str(families / family / part / "model.onnx")


def pipeline_of(family):
    unet = fill(UNet2DConditionModel.from_config(config_of(family, "unet")), graph_of(family, "unet"))
    vae = fill(AutoencoderKL.from_config(config_of(family, "vae_encoder")), graph_of("sd", "vae_encoder"), graph_of("sd", "vae_decoder"))
    clip = lambda cls, part: fill(cls(CLIPTextConfig(**config_of(family, part))), graph_of(family, part))
    encoder = clip(CLIPTextModel, "text_encoder")
    tokenizer = CLIPTokenizer.from_pretrained(families / "sd" / "tokenizer")
    if family == "sdxl":
        return StableDiffusionXLImg2ImgPipeline(
            vae, encoder, clip(CLIPTextModelWithProjection, "text_encoder_2"), tokenizer,
            CLIPTokenizer.from_pretrained(families / "sdxl" / "tokenizer_2"), unet,
            EulerDiscreteScheduler.from_pretrained(families / family / "scheduler"), add_watermarker=False,
        )
    return StableDiffusionImg2ImgPipeline(
        vae, encoder, tokenizer, unet, DDIMScheduler.from_pretrained(families / family / "scheduler"), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )


attention = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
convolutions = ("conv1", "conv2", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv")
encoder = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def kohya(pipeline, prefixes, ends, rank, alpha):
    tensors = {}
    for part, prefix in prefixes.items():
        for name, parameter in getattr(pipeline, part).named_parameters():
            module = name.removesuffix(".weight")
            if name == module or not module.endswith(ends):
                continue
            to, frm, *kernel = parameter.shape
            key = f"{prefix}_{module.replace('.', '_')}"
            tensors |= {f"{key}.lora_down.weight": [rank, frm, *kernel], f"{key}.lora_up.weight": [to, rank, *(1 for _ in kernel)], f"{key}.alpha": alpha}
    return tensors


def tensors_of(entries):
    return {key: torch.tensor(entry) if isinstance(entry, float) else values(key, entry).contiguous() for key, entry in entries.items()}


known = {(c["family"], c["seed"]): c for c in json.loads((here / "families.json").read_text())["cases"]}
# Of each family a LoRA, and which case of families.json with which scale.
prefixes = {
    "sd": {"unet": "lora_unet", "text_encoder": "lora_te"},
    "sdxl": {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"},
}
runs = [("sd", 0, 0.5), ("sd", 0, 1.0), ("sd", 1, -0.75), ("sdxl", 1, 0.6), ("sdxl", 2, 1.0)]
files, cases = {}, []
for family in prefixes:
    pipeline = pipeline_of(family)
    pipeline.set_progress_bar_config(disable=True)
    files[family] = kohya(pipeline, prefixes[family], attention + convolutions + encoder, 2, 1.5)
    names = list(prefixes[family])
    for seed, scale in [(seed, scale) for one, seed, scale in runs if one == family]:
        case = known[family, seed]
        width, height = case["width"], case["height"]
        y, x = np.mgrid[:height, :width]
        starter = Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], -1).astype(np.uint8))

        def picture():
            made = pipeline(
                prompt=case["prompt"], negative_prompt=case["negative_prompt"] or (None if family == "sdxl" else ""), image=starter,
                strength=case["strength"], num_inference_steps=case["steps"], guidance_scale=case["guidance"],
                generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
            ).images[0]
            return (made * 255).round().astype(np.uint8)

        without = picture()
        expected = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8).reshape(without.shape)
        assert np.abs(without.astype(int) - expected).max() <= 1, f"{family} {seed}: the weights are not those of the graphs"
        with tempfile.TemporaryDirectory() as folder:
            save_file(tensors_of(files[family]), f"{folder}/lora.safetensors")
            pipeline.load_lora_weights(folder, weight_name="lora.safetensors", adapter_name="one")
        pipeline.set_adapters(["one"], [scale])
        pipeline.fuse_lora(components=names, adapter_names=["one"])
        pixels = picture()
        pipeline.unfuse_lora(components=names)
        pipeline.unload_lora_weights()
        changed = np.abs(pixels.astype(int) - without).mean()
        print(family, seed, scale, "changed", round(float(changed), 1), "deviation", round(float(pixels.std()), 1))
        same = {key: case[key] for key in ("family", "scheduler", "steps", "strength", "guidance", "prompt", "negative_prompt", "seed", "width", "height")}
        cases.append({**same, "scale": scale, "pixels": base64.b64encode(pixels.tobytes()).decode()})

versions = {name: importlib.metadata.version(name) for name in ("diffusers", "peft", "torch")}
(here / "exported_loras.json").write_text(json.dumps({"versions": versions, "files": files, "cases": cases}) + "\n")
