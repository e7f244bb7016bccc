"""The client that openapi-python-client makes, in use: see ../README.md."""

import io
import json
import pathlib
import sys

from api import AuthenticatedClient
from api.api.open_ai import edit_image
from api.api.pictures import img2img
from api.models import EditImageFilesBody, Img2ImgFilesBody, Made
from api.types import File

url, key, picture, mask, output = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, timeout=600)


def upload(path):
    return File(payload=io.BytesIO(pathlib.Path(path).read_bytes()), file_name=pathlib.Path(path).name)


def send(accept, **fields):
    body = Img2ImgFilesBody(
        image=upload(picture),
        mask=upload(mask),
        prompt="watercolor painting",
        width=128,
        height=128,
        steps=2,
        seed=4294967295,
        **fields,
    )
    return img2img.sync_detailed(client=client.with_headers({"Accept": accept}), body=body)


pathlib.Path(output).write_bytes(send("image/png").parsed.payload.read())

two = Made.from_dict(json.load(send("application/json", n=2).parsed.payload))

refused = send("image/png", model="none")

edited = edit_image.sync(
    client=client,
    body=EditImageFilesBody(
        image=upload(picture),
        mask=upload(mask),
        prompt="watercolor painting",
        size="128x128",
        steps=2,
        seed=4294967295,
    ),
)

print(
    json.dumps(
        {
            "seeds": [image.seed for image in two.images],
            "status": refused.status_code,
            "problem": refused.parsed.code.value,
            "edited": edited.data[0].seed,
        }
    )
)
