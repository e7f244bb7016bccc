"""A pipeline of diffusers or of optimum-onnx behind FastAPI, as the READMEs of the three show it: one route, one request at a time.

    python server.py optimum|diffusers FOLDER PORT
"""

import io
import sys
import threading

import torch
import uvicorn
from fastapi import FastAPI, File, Form, UploadFile
from fastapi.responses import Response
from PIL import Image

kind, folder, port = sys.argv[1:4]
if kind == "optimum":
    from optimum.onnxruntime import ORTStableDiffusionImg2ImgPipeline

    pipeline = ORTStableDiffusionImg2ImgPipeline.from_pretrained(folder, provider="CPUExecutionProvider")
else:
    from diffusers import StableDiffusionImg2ImgPipeline

    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
pipeline.set_progress_bar_config(disable=True)

app = FastAPI()
one_at_a_time = threading.Lock()


@app.get("/ready")
def ready() -> dict:
    return {}


@app.post("/img2img")
def img2img(
    image: UploadFile = File(),
    prompt: str = Form(),
    strength: float = Form(),
    guidance: float = Form(),
    steps: int = Form(),
    seed: int = Form(),
) -> Response:
    starter = Image.open(io.BytesIO(image.file.read())).convert("RGB")
    with one_at_a_time:
        made = pipeline(
            prompt,
            image=starter,
            strength=strength,
            guidance_scale=guidance,
            num_inference_steps=steps,
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images[0]
    answer = io.BytesIO()
    made.save(answer, "PNG")
    return Response(answer.getvalue(), media_type="image/png")


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
