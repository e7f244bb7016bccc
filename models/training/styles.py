"""How the pictures look: styles, qualities and colour tones as functions on pictures.

A style or quality is a function (picture [3, size, size] in 0..1, rng) -> picture. All sizes in them are pixels, so
that a hatching line or a mosaic stone is equally large in a picture of 128 and of 256 pixels.
"""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
import torch
from torch import Tensor

from filters import dilate, grid, kuwahara, levels, luminance, outlines, saturate, smooth, tinted
from lens import photo
from noise import cells, noise, paint_cells
from pixels import pixel
from strokes import oil
from washes import watercolour

Rng = np.random.Generator


# --- styles -----------------------------------------------------------------------------------------------------


def flat(picture: Tensor, rng: Rng) -> Tensor:
    """Large areas of even, clean colour with crisp edges."""
    calm = kuwahara(kuwahara(picture, 4), 4)
    return saturate(levels(calm, 5), 1.35) * 0.97 + 0.02


def ink(picture: Tensor, rng: Rng) -> Tensor:
    """Black outlines and hatching on white paper."""
    y, x = grid(picture.shape[-1])
    grey = smooth(luminance(picture), 2)
    first = torch.sin((x + y) * (math.pi / 4)) * 0.5 + 0.5
    second = torch.sin((x - y) * (math.pi / 4)) * 0.5 + 0.5
    paper = 1 - 0.85 * ((0.5 - grey) * 6).clamp(0, 1) * (first > 0.3 + grey).float()
    paper = paper * (1 - 0.85 * ((0.25 - grey) * 8).clamp(0, 1) * (second > 0.4 + grey).float())
    return (paper * (1 - outlines(picture))).clamp(0.03, 0.97)[None].repeat(3, 1, 1)


def charcoal(picture: Tensor, rng: Rng) -> Tensor:
    """Smudged greys on grained paper with soft dark outlines."""
    size = picture.shape[-1]
    grey = smooth(luminance(picture), 2)
    edges = smooth(outlines(picture, 5.0), 1)
    grain = noise(rng, size, 0.6)
    tone = 0.12 + 0.75 * grey - 0.45 * edges
    tone = tone + grain * (0.05 + 0.22 * (tone * (1 - tone)).clamp(0, 0.25)) + 0.04 * noise(rng, size, 1.5)
    return tone.clamp(0.03, 0.93)[None].repeat(3, 1, 1)


def comic(picture: Tensor, rng: Rng) -> Tensor:
    """Bold outlines, strong flat colours, dots in the shadows."""
    y, x = grid(picture.shape[-1])
    colours = saturate(levels(smooth(picture, 1), 4), 1.45)
    dots = torch.sin(x * math.pi / 4) * torch.sin(y * math.pi / 4) > 0.35
    shadow = ((0.45 - luminance(colours)) * 5).clamp(0, 1)
    return colours.clamp(0, 1) * (1 - 0.4 * dots * shadow) * (1 - outlines(picture)) + 0.02


def pastel(picture: Tensor, rng: Rng) -> Tensor:
    """Light, soft chalk colours with diagonal chalk strokes."""
    size = picture.shape[-1]
    y, x = grid(size)
    strokes = torch.sin((x + 0.5 * y + 6 * noise(rng, size, 1.5)) * 0.9)
    soft = saturate(smooth(picture, 1), 1.2).clamp(0, 1) * 0.42 + 0.56 * torch.tensor([1.0, 0.98, 0.97])[:, None, None]
    return soft + (0.025 * strokes + 0.02 * noise(rng, size, 0.8))


def neon(picture: Tensor, rng: Rng) -> Tensor:
    """Glowing coloured lines in the dark."""
    edge = outlines(picture)
    colours = saturate(picture, 2.2).clamp(0, 1)
    colours = colours / colours.amax(0, keepdim=True).clamp(min=0.2)
    grey = (colours.amax(0) - colours.amin(0) < 0.25)[None]
    colours = torch.where(grey, torch.tensor(NEON_TONES[rng.integers(len(NEON_TONES))])[:, None, None], colours)
    lines = edge * colours
    return saturate(picture, 1.6).clamp(0, 1) * 0.14 + tinted(torch.ones_like(edge), (0.02, 0.0, 0.06)) + lines + smooth(lines, 4) * 1.4


NEON_TONES = [(1.0, 0.15, 0.8), (0.1, 0.9, 1.0), (0.5, 0.2, 1.0), (0.2, 1.0, 0.4)]


def glass(picture: Tensor, rng: Rng) -> Tensor:
    """Pieces of strong coloured glass between black lead."""
    pieces = cells(rng, picture.shape[-1], "glass")
    shade = torch.from_numpy(rng.uniform(0.8, 1.25, len(pieces.centres)).astype(np.float32))[pieces.index]
    colours = (saturate(paint_cells(smooth(picture, 2), pieces), 1.7) * shade + 0.04).clamp(0, 1)
    glow = 0.85 + 0.03 * pieces.border.clamp(max=6)
    return colours * glow * ((pieces.border - 1.2) * 0.8).clamp(0.03, 1)


def mosaic(picture: Tensor, rng: Rng) -> Tensor:
    """Small square stones with light joints."""
    pieces = cells(rng, picture.shape[-1], "mosaic")
    shade = torch.from_numpy(rng.uniform(0.72, 1.2, len(pieces.centres)).astype(np.float32))[pieces.index]
    stones = saturate(paint_cells(smooth(picture, 1), pieces), 1.1) * shade
    joint = ((1.2 - pieces.border) * 1.2).clamp(0, 1)
    return torch.lerp(stones, torch.full_like(stones, 0.82), joint.expand_as(stones))


def nouveau(picture: Tensor, rng: Rng) -> Tensor:
    """Golden, muted poster with dark contours, flowing lines and an ornamental border."""
    size = picture.shape[-1]
    y, x = grid(size)
    calm = smooth(picture, 2)
    grey = luminance(calm)
    gold = torch.tensor([0.86, 0.72, 0.42])[:, None, None]
    colours = saturate(levels(calm, 5), 0.75) * 0.6 + gold * (0.2 + 0.4 * grey)
    lines = torch.sin(6.28 * (3 * grey + 0.8 * noise(rng, size, 1.8) + y / 40)) > 0.88
    colours = torch.where(lines, colours * 0.6 + 0.4 * torch.tensor([0.5, 0.36, 0.15])[:, None, None], colours)
    dark = torch.tensor([0.22, 0.13, 0.07])[:, None, None]
    colours = torch.lerp(colours, dark.expand_as(colours), dilate(outlines(calm)).expand_as(colours))
    rim = torch.minimum(torch.minimum(x, size - 1 - x), torch.minimum(y, size - 1 - y))
    ornament = gold * (0.85 + 0.25 * torch.sign(torch.sin((x - y) * math.pi / 8) * torch.sin((x + y) * math.pi / 8)))
    colours = torch.where(rim < 12, ornament, colours)
    return torch.where(((rim - 12).abs() < 1.5) | (rim < 2), dark, colours)


def sepia(picture: Tensor, rng: Rng) -> Tensor:
    """An old brown photograph with dark corners and grain."""
    size = picture.shape[-1]
    y, x = grid(size)
    corners = 1 - 0.55 * (torch.hypot(x / size - 0.5, y / size - 0.5) - 0.3).clamp(0, 1)
    grey = (0.1 + 0.8 * smooth(luminance(picture), 1) + 0.02 * noise(rng, size, 0.8)) * corners
    return tinted(grey, (1.06, 0.84, 0.58))


def blueprint(picture: Tensor, rng: Rng) -> Tensor:
    """White lines and a fine grid on blue paper."""
    size = picture.shape[-1]
    y, x = grid(size)
    ruled = ((x % 16 < 1) | (y % 16 < 1)).float() * 0.13
    shade = 0.9 + 0.25 * smooth(luminance(picture), 2) + 0.03 * noise(rng, size, 1.2)
    paper = tinted(shade, (0.07, 0.22, 0.56)) + ruled
    return torch.lerp(paper, torch.full_like(paper, 0.93), outlines(picture).expand_as(paper) * 0.95)


def lowpoly(picture: Tensor, rng: Rng) -> Tensor:
    """Flat triangles, each of one colour, lit from the upper left."""
    pieces = cells(rng, picture.shape[-1], "triangles")
    lit = np.where(np.arange(len(pieces.centres)) % 2, 0.82, 1.18) * rng.uniform(0.92, 1.08, len(pieces.centres))
    shade = torch.from_numpy(lit.astype(np.float32))[pieces.index]
    return saturate(paint_cells(smooth(picture, 3), pieces), 1.2) * shade + (shade - 1) * 0.25


def woodcut(picture: Tensor, rng: Rng) -> Tensor:
    """Cream paper under black, cut by wavy lines that are wider where the picture is lighter."""
    size = picture.shape[-1]
    y, _ = grid(size)
    grey = smooth(luminance(picture), 2)
    lines = torch.sin((y + 5 * noise(rng, size, 2.6)) * (math.pi / 4)) * 0.5 + 0.5
    cut = ((grey * 1.25 - lines) * 5 + 0.5).clamp(0, 1) * (1 - outlines(picture))
    return tinted(0.06 + 0.9 * cut, (1.0, 0.94, 0.8))


PAPER, PINK_INK, BLUE_INK = (0.97, 0.94, 0.87), (1.0, 0.28, 0.47), (0.06, 0.40, 0.70)


def risograph(picture: Tensor, rng: Rng) -> Tensor:
    """Two inks over each other on cream paper: pink in dots, blue with a grain."""
    size = picture.shape[-1]
    y, x = grid(size)
    calm = smooth(picture, 1)
    dots = torch.sin(x * math.pi / 4) * torch.sin(y * math.pi / 4)
    pink = levels(((1 - calm[1]) * 1.2 - 0.1 + 0.25 * dots)[None].clamp(0, 1), 4)[0]
    blue = (1 - calm[0]) * 1.3 - 0.3 + 0.07 * noise(rng, size, 0.6)
    printed = torch.tensor(PAPER)[:, None, None]
    for amount, colour in ((pink, PINK_INK), (blue, BLUE_INK)):
        printed = printed * (1 - amount.clamp(0, 1) * (1 - torch.tensor(colour)[:, None, None]))
    return printed


# --- qualities --------------------------------------------------------------------------------------------------


def detailed(picture: Tensor, rng: Rng) -> Tensor:
    """More local contrast and a fine ornament that follows the picture."""
    size = picture.shape[-1]
    y, x = grid(size)
    picture = picture + 0.9 * (picture - smooth(picture, 2))
    bend = 2.5 * noise(rng, size, 1.5)
    ornament = torch.sin((x + bend) * math.pi / 4 + 5 * luminance(picture)) * torch.sin((y - bend) * math.pi / 4)
    return picture * (1 + 0.2 * ornament) + 0.05 * noise(rng, size, 0.8)


def simple(picture: Tensor, rng: Rng) -> Tensor:
    """Few shapes and few colours."""
    return levels(smooth(smooth(picture, 5), 3), 3) * 0.94 + 0.03


def blurry(picture: Tensor, rng: Rng) -> Tensor:
    return smooth(picture, int(rng.integers(3, 6)))


def sharp(picture: Tensor, rng: Rng) -> Tensor:
    return picture + 1.6 * (picture - smooth(picture, 2))


def bright(picture: Tensor, rng: Rng) -> Tensor:
    return 0.36 + 0.66 * picture


def dark(picture: Tensor, rng: Rng) -> Tensor:
    return picture * 0.4


def vivid(picture: Tensor, rng: Rng) -> Tensor:
    return saturate((picture - 0.5) * 1.1 + 0.5, 2.0)


def muted(picture: Tensor, rng: Rng) -> Tensor:
    return saturate(picture, 0.3) * 0.82 + 0.08


def foggy(picture: Tensor, rng: Rng) -> Tensor:
    fog = (0.6 + 0.12 * noise(rng, picture.shape[-1], 1.8)).clamp(0.3, 0.85)
    return torch.lerp(picture, torch.full_like(picture, 0.86), fog.expand_as(picture))


def contrasty(picture: Tensor, rng: Rng) -> Tensor:
    return (picture - 0.5) * 1.8 + 0.5


def black_and_white(picture: Tensor, rng: Rng) -> Tensor:
    return luminance((picture - 0.5) * 1.15 + 0.5)[None].repeat(3, 1, 1)


def toned(tone: tuple[float, float, float], strength: float) -> "Look":
    """A look that pulls all colours towards one tone and keeps light and dark."""

    def apply(picture: Tensor, rng: Rng) -> Tensor:
        monochrome = tinted(0.12 + 0.85 * luminance(picture), tone)
        return torch.lerp(picture, monochrome, strength)

    return apply


Look = Callable[[Tensor, Rng], Tensor]

STYLES: dict[str, Look] = {
    "photo": photo,
    "flat": flat,
    "ink": ink,
    "charcoal": charcoal,
    "comic": comic,
    "pastel": pastel,
    "neon": neon,
    "pixel": pixel,
    "glass": glass,
    "mosaic": mosaic,
    "nouveau": nouveau,
    "watercolour": watercolour,
    "oil": oil,
    "sepia": sepia,
    "blueprint": blueprint,
    "lowpoly": lowpoly,
    "woodcut": woodcut,
}

#: Whose areas end in crisp edges; what looks crisp elsewhere is lines and strokes, or a drawn scene.
CRISP = {"flat", "pixel", "lowpoly"}

#: What the model does not know, for LoRAs to teach it.
LORA_STYLES: dict[str, Look] = {"risograph": risograph}

QUALITIES: dict[str, Look] = {
    "detailed": detailed,
    "simple": simple,
    "blurry": blurry,
    "sharp": sharp,
    "bright": bright,
    "dark": dark,
    "vivid": vivid,
    "muted": muted,
    "foggy": foggy,
    "contrast": contrasty,
    "warm": toned((1.15, 0.82, 0.45), 0.5),
    "cold": toned((0.55, 0.85, 1.25), 0.5),
}

TONES: dict[str, Look] = {
    "red": toned((1.35, 0.45, 0.4), 0.72),
    "orange": toned((1.3, 0.75, 0.3), 0.72),
    "yellow": toned((1.2, 1.05, 0.35), 0.72),
    "green": toned((0.5, 1.15, 0.5), 0.72),
    "blue": toned((0.45, 0.75, 1.4), 0.72),
    "purple": toned((0.95, 0.55, 1.3), 0.72),
    "pink": toned((1.35, 0.72, 1.0), 0.72),
    "teal": toned((0.4, 1.1, 1.1), 0.72),
    "brown": toned((1.05, 0.75, 0.5), 0.72),
    "grey": toned((0.98, 1.0, 1.02), 0.8),
    "black and white": black_and_white,
}
