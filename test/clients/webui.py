"""Drives /sdapi with webuiapi, a client of AUTOMATIC1111's web UI that knows nothing of this server. Prints what it got as JSON."""

import io
import json
import sys
import threading
import time

import webuiapi
from PIL import Image

host, port, key, picture = sys.argv[1:]
starter = Image.open(picture).convert("RGB")


def client(password: str) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(host=host, port=int(port), username="user", password=password, sampler="Euler a", steps=4)


api = client(key)
quick = {"images": [starter], "prompt": "watercolor painting", "width": 128, "height": 128}
two = api.img2img(**quick, seed=5, batch_size=2, cfg_scale=3, denoising_strength=0.5, resize_mode=1)
again = api.img2img(**quick, seed=6, cfg_scale=3, denoising_strength=0.5, resize_mode=1)

long = {}
thread = threading.Thread(
    target=lambda: long.update(api.img2img(**quick, steps=150, denoising_strength=1).json),
)
thread.start()
seen = 0.0
while seen == 0.0 and thread.is_alive():
    seen = client(key).get_progress()["progress"]
    time.sleep(0.01)
api.interrupt()
thread.join()

try:
    client("wrong").img2img(**quick)
    refused = None
except RuntimeError as error:
    refused = error.args[0]

json.dump(
    {
        "sizes": [image.size for image in two.images],
        "seeds": two.info["all_seeds"],
        "infotexts": two.info["infotexts"],
        "same": list(two.images[1].getdata()) == list(again.image.getdata()),
        "samplers": api.util_get_sampler_names(),
        "schedulers": api.util_get_scheduler_names(),
        "models": api.util_get_model_names(),
        "current": api.util_get_current_model(),
        "progress": seen,
        "interrupted": json.loads(long["info"]).get("interrupted", False),
        "refused": refused,
        "lists": [
            api.get_upscalers(),
            api.get_latent_upscale_modes(),
            api.get_loras(),
            api.get_sd_vae(),
            api.get_hypernetworks(),
            api.get_face_restorers(),
            api.get_realesrgan_models(),
            api.get_prompt_styles(),
            api.get_embeddings(),
            api.get_scripts(),
            api.get_cmd_flags(),
        ],
        "memory": sorted(api.get_memory()),
        "asked": [api.skip(), api.refresh_checkpoints()],
    },
    sys.stdout,
)
