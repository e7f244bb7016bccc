"""Writes safety/: a small safety checker with random weights, as safetensors and as diffusers' old ONNX export has it; and
safety.json: pictures, the digest of what CLIPImageProcessor makes of them, and diffusers' verdicts. The thresholds are set from the pictures,
so that some are flagged and some not, a few of them by less than a thousandth, and one only because of its special care.

    python3 -m venv v && v/bin/pip install torch==2.15.0 diffusers==0.35.2 transformers==4.57.6 onnx==1.23.2 onnxruntime==1.32.0 pillow
    OMP_NUM_THREADS=1 v/bin/python test/reference/safety.py
"""

import base64
import hashlib
import io
import json
import pathlib

import numpy as np
import onnxruntime
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker, cosine_distance
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor

here = pathlib.Path(__file__).parent
target = here / "safety"
torch.manual_seed(0)
random = np.random.default_rng(0)

side = 32
processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
config = CLIPConfig(
    projection_dim=16,
    vision_config={
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": side, "patch_size": 8,
        "projection_dim": 16,
    },
    text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1},
)
checker = StableDiffusionSafetyChecker(config).eval()
with torch.no_grad():
    for name, parameter in checker.named_parameters():
        if name.endswith("weight") and parameter.dim() > 1:
            parameter.copy_(torch.randn_like(parameter) * 0.25)  # so that pictures are told apart
        if name.endswith("bias"):
            parameter.copy_(torch.randn_like(parameter) * 0.1)
    checker.concept_embeds.copy_(torch.randn_like(checker.concept_embeds))
    checker.special_care_embeds.copy_(torch.randn_like(checker.special_care_embeds))


def picture(width: int, height: int) -> Image.Image:
    """Soft colours with a little noise on them."""
    coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse).astype(int) + random.integers(-20, 21, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


sizes = [(64, 64), (96, 64), (64, 96), (40, 56), (33, 71), (24, 20), (32, 32), (128, 48), (77, 77), (31, 33), (200, 120), (50, 50)]
pictures = [picture(*size) for size in sizes]
inputs = processor(pictures, return_tensors="pt").pixel_values
with torch.no_grad():
    embeds = checker.visual_projection(checker.vision_model(inputs)[1])
    concepts = cosine_distance(embeds, checker.concept_embeds).numpy()
    special = cosine_distance(embeds, checker.special_care_embeds).numpy()

# One special concept for half of the pictures; of the others and of most concepts nothing comes near.
order = np.argsort(special[:, 0])
care = set(order[6:].tolist())
special_thresholds = special.max(0) + 0.05
special_thresholds[0] = (special[order[5], 0] + special[order[6], 0]) / 2
thresholds = concepts.max(0) + 0.05
with_care = [i for i in range(17) if int(concepts[:, i].argmax()) in care]
without = [i for i in range(17) if int(concepts[:, i].argmax()) not in care]
thresholds[without[0]] = np.sort(concepts[:, without[0]])[-1] - 0.0007  # rounds to 0.001
thresholds[without[1]] = concepts[:, without[1]].max() - 0.0004  # rounds to 0
thresholds[without[2]] = concepts[:, without[2]].max() + 0.006  # special care would flag it
thresholds[with_care[0]] = concepts[:, with_care[0]].max() + 0.006  # special care flags it
thresholds[with_care[1]] = np.sort(concepts[:, with_care[1]])[-2] - 0.003
with torch.no_grad():
    checker.special_care_embeds_weights.copy_(torch.from_numpy(special_thresholds))
    checker.concept_embeds_weights.copy_(torch.from_numpy(thresholds))

checker.save_pretrained(target / "safety_checker", safe_serialization=True)
processor.save_pretrained(target / "feature_extractor")

# As diffusers' convert_stable_diffusion_checkpoint_to_onnx.py does it.
checker.forward = checker.forward_onnx
(target / "onnx").mkdir(parents=True, exist_ok=True)
torch.onnx.export(
    checker, (torch.randn(1, 3, side, side), torch.randn(1, 64, 64, 3)), str(target / "onnx" / "model.onnx"), dynamo=False, opset_version=14,
    input_names=["clip_input", "images"], output_names=["out_images", "has_nsfw_concepts"],
    dynamic_axes={
        "clip_input": {0: "batch", 1: "channels", 2: "height", 3: "width"}, "images": {0: "batch", 1: "height", 2: "width", 3: "channels"},
    },
)
del checker.forward
session = onnxruntime.InferenceSession(str(target / "onnx" / "model.onnx"))


def verdicts(i: int) -> dict:
    images = np.zeros((1, 2, 2, 3), np.float32)
    _, flagged = checker(clip_input=inputs[i : i + 1], images=images)
    _, exported = session.run(None, {"clip_input": inputs[i : i + 1].numpy(), "images": images})
    return {"flagged": bool(flagged[0]), "exported": bool(exported[0])}


def shown(i: int) -> dict:
    file = io.BytesIO()
    pictures[i].save(file, "PNG")
    values = hashlib.sha256(inputs[i].numpy().astype("<f4").tobytes()).hexdigest()
    return {
        "png": base64.b64encode(file.getvalue()).decode(), "embeds": [round(float(x), 6) for x in embeds[i]],
        "pixel_values": values, **verdicts(i),
    }


cases = [shown(i) for i in range(len(pictures))]
(here / "safety.json").write_text(json.dumps({"side": side, "cases": cases}, indent=1) + "\n")
print([case["flagged"] for case in cases], [case["exported"] for case in cases])
print("with care", sorted(care), "scores", np.round((concepts - thresholds).max(1), 5).tolist())
