"""The client that openapi-generator makes for Python, in use: see ../README.md."""

import json
import sys

from openapi_client import ApiClient, ApiException, Configuration, Made, OpenAIApi, PicturesApi

url, key, picture, mask, output = sys.argv[1:]
client = ApiClient(Configuration(host=url, access_token=key))
pictures = PicturesApi(client)


def img2img(accept, **fields):
    """Where a route has several types, the generated client takes JSON, unless it is told."""
    common = {"prompt": "watercolor painting", "width": 128, "height": 128, "steps": 2, "seed": 4294967295}
    return pictures.img2img(
        image=picture, mask=mask, **common, **fields, _content_type="multipart/form-data", _headers={"Accept": accept}
    )


with open(output, "wb") as file:
    file.write(img2img("image/png"))

two = Made.from_json(img2img("application/json", n=2).decode())

try:
    img2img("image/png", model="none")
except ApiException as error:
    refused = error

edited = OpenAIApi(client).edit_image(
    image=picture,
    mask=mask,
    prompt="watercolor painting",
    size="128x128",
    steps=2,
    seed=4294967295,
    _content_type="multipart/form-data",
)

print(
    json.dumps(
        {
            "seeds": [image.seed for image in two.images],
            "status": refused.status,
            "problem": refused.data.code,
            "edited": edited.data[0].seed,
        }
    )
)
