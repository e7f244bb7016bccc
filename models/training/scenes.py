"""What the pictures show: drawn scenes and photograph-like content, all computed, none of it photographed.

Every scene is a function (rng, size) -> (picture [3, size, size] in 0..1, phrase that says what it shows).
"""

from __future__ import annotations

from typing import Callable

import numpy as np
import torch
from torch import Tensor

from noise import cells, noise, paint_cells

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.96, 0.52, 0.10),
    "yellow": (0.98, 0.86, 0.20),
    "green": (0.18, 0.62, 0.24),
    "blue": (0.15, 0.35, 0.85),
    "purple": (0.50, 0.20, 0.70),
    "pink": (0.97, 0.50, 0.70),
    "white": (0.96, 0.96, 0.95),
    "black": (0.07, 0.07, 0.09),
    "brown": (0.45, 0.28, 0.14),
    "grey": (0.55, 0.56, 0.58),
    "teal": (0.10, 0.60, 0.62),
}
COLOUR_NAMES = list(COLOURS)
SKINS = [(0.98, 0.82, 0.7), (0.9, 0.7, 0.52), (0.65, 0.45, 0.3), (0.4, 0.26, 0.18)]
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
Rng = np.random.Generator


def pick(rng: Rng, options):
    """One of a list, all equally likely."""
    return options[rng.integers(len(options))]


def colour(rng: Rng, name: str, spread: float = 0.06) -> Tensor:
    """A colour [3] near the named one."""
    value = np.array(COLOURS[name]) + rng.uniform(-spread, spread, 3)
    return torch.tensor(np.clip(value, 0, 1), dtype=torch.float32)


def with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def counted(number: int, words: str) -> str:
    """`a red house`, `three red houses`."""
    return with_article(words) if number == 1 else f"{NUMBERS[number]} {words if words.endswith('sheep') else words + 's'}"


def whereabouts(rng: Rng, x: float) -> str:
    """Where a thing at x (0..1) is, in words; half of the time nothing."""
    if rng.random() < 0.5:
        return ""
    return " on the left" if x < 0.38 else " on the right" if x > 0.62 else " in the middle"


class Canvas:
    """A picture [3, size, size] that shapes are filled into; coordinates run 0..1, y downwards."""

    def __init__(self, size: int) -> None:
        self.size = size
        axis = (torch.arange(size) + 0.5) / size
        self.y, self.x = torch.meshgrid(axis, axis, indexing="ij")
        self.picture = torch.zeros(3, size, size)

    def gradient(self, top: Tensor, bottom: Tensor) -> None:
        self.picture = top[:, None, None] + (bottom - top)[:, None, None] * self.y

    def blend(self, mask: Tensor, paint: Tensor) -> None:
        """Cover with a colour [3] or picture [3, size, size] where mask [size, size] is 1."""
        paint = paint[:, None, None] if paint.dim() == 1 else paint
        self.picture = torch.lerp(self.picture, paint.expand_as(self.picture), mask.expand_as(self.picture))

    def fill(self, distance: Tensor, paint: Tensor) -> None:
        """Fill where the signed distance (in picture widths) is negative, with a smooth edge of one pixel."""
        self.blend((0.5 - distance * self.size).clamp(0, 1), paint)

    def circle(self, x: float, y: float, radius: float, paint: Tensor, stretch: float = 1.0) -> None:
        self.fill(torch.hypot((self.x - x) / stretch, self.y - y) - radius, paint)

    def box(self, x: float, y: float, half_width: float, half_height: float, paint: Tensor) -> None:
        self.fill(torch.maximum((self.x - x).abs() - half_width, (self.y - y).abs() - half_height), paint)

    def triangle(self, x: float, base: float, half_width: float, height: float, paint: Tensor) -> None:
        slope = (self.x - x).abs() - half_width * (self.y - (base - height)) / height
        self.fill(torch.maximum(slope, self.y - base) * 0.8, paint)

    def star(self, x: float, y: float, radius: float, paint: Tensor, points: int, depth: float, turn: float = 0.0) -> None:
        dx, dy = self.x - x, self.y - y
        edge = radius * (1 - depth + depth * torch.cos(points * (torch.atan2(dx, -dy) + turn)))
        self.fill((torch.hypot(dx, dy) - edge) * 0.7, paint)

    def ground(self, height: Tensor | float, paint: Tensor) -> None:
        """Fill below a height: a number or a profile [size]."""
        self.fill(height - self.y, paint)


# --- things -----------------------------------------------------------------------------------------------------


def draw_tree(canvas: Canvas, rng: Rng, x: float, y: float, size: float, leaves: Tensor, kind: str) -> None:
    bark = colour(rng, "brown")
    if kind == "palm tree":
        canvas.box(x, y - size * 0.5, size * 0.06, size * 0.55, bark)
        canvas.star(x, y - size * 1.05, size * 0.5, leaves, 7, 0.55, rng.random())
        return
    canvas.box(x, y - size * 0.25, size * 0.09, size * 0.3, bark)
    if kind == "pine tree":
        for step in range(3):
            base, width = y - size * (0.35 + 0.32 * step), size * (0.42 - 0.09 * step)
            canvas.triangle(x, base, width, size * 0.55, leaves * (1 - 0.06 * step))
    else:
        canvas.circle(x, y - size * 0.85, size * 0.42, leaves)
        canvas.circle(x - size * 0.28, y - size * 0.65, size * 0.28, leaves * 0.92)
        canvas.circle(x + size * 0.28, y - size * 0.68, size * 0.28, leaves)


def draw_house(canvas: Canvas, rng: Rng, x: float, y: float, size: float, wall: Tensor, roof: Tensor) -> None:
    canvas.box(x, y - size * 0.35, size * 0.5, size * 0.35, wall)
    canvas.triangle(x, y - size * 0.7, size * 0.66, size * 0.5, roof)
    canvas.box(x, y - size * 0.2, size * 0.11, size * 0.2, colour(rng, "brown"))
    window = colour(rng, pick(rng, ["yellow", "teal", "white"]))
    for side in (-1, 1):
        canvas.box(x + side * size * 0.3, y - size * 0.42, size * 0.1, size * 0.11, window)


def draw_boat(canvas: Canvas, rng: Rng, x: float, y: float, size: float, hull: Tensor) -> None:
    slope = (canvas.x - x).abs() - size * (0.6 - 0.9 * (canvas.y - y) / size)
    canvas.fill(torch.maximum(torch.maximum(slope, y - canvas.y), canvas.y - y - size * 0.25), hull)
    canvas.box(x, y - size * 0.5, size * 0.03, size * 0.5, colour(rng, "brown"))
    canvas.triangle(x + size * 0.22, y - size * 0.06, size * 0.24, size * 0.85, colour(rng, pick(rng, ["white", "red"])))


def draw_flower(canvas: Canvas, rng: Rng, x: float, y: float, size: float, petals: Tensor) -> None:
    canvas.box(x, y - size * 0.4, size * 0.05, size * 0.45, colour(rng, "green"))
    canvas.star(x, y - size * 0.95, size * 0.42, petals, pick(rng, [5, 6, 8]), 0.3, rng.random())
    canvas.circle(x, y - size * 0.95, size * 0.14, colour(rng, "yellow"))


def draw_birds(canvas: Canvas, rng: Rng) -> None:
    for _ in range(rng.integers(2, 5)):
        x, y, size = rng.random(), rng.uniform(0.08, 0.4), rng.uniform(0.025, 0.05)
        wings = (canvas.y - y + (torch.sin((canvas.x - x) / size * 2.2)).abs() * size * 0.5).abs() - 0.008
        canvas.fill(torch.maximum(wings, (canvas.x - x).abs() - size * 1.3), torch.tensor([0.1, 0.1, 0.12]))


def draw_balloon(canvas: Canvas, rng: Rng, x: float, y: float, size: float, cloth: Tensor) -> None:
    canvas.circle(x, y, size * 0.35, cloth, 0.9)
    stripe = (canvas.x - x).abs() - size * 0.08 * (1 + 0.5 * torch.cos((canvas.y - y) / size * 4))
    inside = torch.hypot((canvas.x - x) / 0.9, canvas.y - y) - size * 0.35
    canvas.fill(torch.maximum(stripe, inside), cloth * 0.6 + 0.3)
    canvas.box(x, y + size * 0.5, size * 0.08, size * 0.07, colour(rng, "brown"))


def draw_animal(canvas: Canvas, rng: Rng, x: float, y: float, size: float, fur: Tensor, kind: str) -> None:
    """A horse, cow, sheep or dog from the side, standing at (x, y)."""
    leg, neck = (0.42, 0.34) if kind == "horse" else (0.3, 0.12) if kind == "cow" else (0.22, 0.1)
    side, dark = pick(rng, [-1, 1]), torch.full((3,), 0.08)
    for place in (-0.34, -0.2, 0.2, 0.34):
        canvas.box(x + place * size, y - leg * size / 2, size * 0.045, leg * size / 2, dark if kind == "sheep" else fur * 0.8)
    canvas.circle(x, y - (leg + 0.14) * size, size * (0.28 if kind == "sheep" else 0.2), fur, 1.5 if kind == "sheep" else 2.1)
    head_x, head_y = x + side * size * 0.48, y - (leg + 0.14 + neck) * size
    if kind != "sheep":
        canvas.circle(x + side * size * 0.4, (head_y + y - (leg + 0.14) * size) / 2, size * (0.08 + neck / 2), fur, 0.7)
    canvas.circle(head_x + side * size * 0.06, head_y, size * 0.11, dark if kind == "sheep" else fur, 1.5)
    canvas.triangle(head_x - side * size * 0.04, head_y - size * 0.06, size * 0.05, size * 0.12, fur * 0.7)
    canvas.circle(head_x + side * size * 0.08, head_y - size * 0.03, size * 0.022, torch.ones(3) if kind == "sheep" else dark)
    canvas.box(x - side * size * 0.44, y - (leg + 0.1) * size, size * 0.03, size * 0.14, fur * 0.7)


def draw_person(canvas: Canvas, rng: Rng, x: float, y: float, size: float, clothes: Tensor) -> None:
    """A whole person, standing at (x, y)."""
    skin = torch.tensor(pick(rng, SKINS))
    trousers = colour(rng, pick(rng, ["blue", "black", "brown", "grey"]))
    for side in (-1, 1):
        canvas.box(x + side * size * 0.07, y - size * 0.2, size * 0.055, size * 0.2, trousers)
        canvas.box(x + side * size * 0.19, y - size * 0.5, size * 0.045, size * 0.16, clothes * 0.85)
    canvas.box(x, y - size * 0.53, size * 0.15, size * 0.2, clothes)
    canvas.circle(x, y - size * 0.87, size * 0.13, skin)
    canvas.circle(x, y - size * 0.94, size * 0.11, colour(rng, pick(rng, ["brown", "black", "yellow", "red"])), 1.15)


# --- drawn scenes -----------------------------------------------------------------------------------------------


def profile(rng: Rng, canvas: Canvas, height: float, amplitude: float, waves: float) -> Tensor:
    """A hilly outline [size] around a height."""
    phase = rng.uniform(0, 2 * np.pi, 2)
    x = canvas.x[0] * (2 * np.pi * waves)
    return height + amplitude * (torch.sin(x + phase[0]) + 0.4 * torch.sin(2.3 * x + phase[1]))


def draw_sky(canvas: Canvas, rng: Rng, horizon: float) -> tuple[str, list[str]]:
    """Fill the sky; returns its phrase and the extra things in it."""
    kind = pick(rng, ["blue", "blue", "blue", "orange", "pink", "purple", "night", "night", "grey", "green", "yellow", "teal", "red"])
    extras: list[str] = []
    x, y, radius = rng.uniform(0.12, 0.88), rng.uniform(0.1, horizon * 0.75), rng.uniform(0.06, 0.13)
    if kind == "night":
        canvas.gradient(torch.tensor([0.03, 0.04, 0.16]), torch.tensor([0.12, 0.14, 0.36]))
        if rng.random() < 0.8:
            for _ in range(rng.integers(6, 16)):
                canvas.circle(rng.random(), rng.random() * horizon, rng.uniform(0.006, 0.013), torch.tensor([1.0, 1.0, 0.9]))
            extras.append("stars")
        if rng.random() < 0.7:
            canvas.circle(x, y, radius, torch.tensor([0.95, 0.94, 0.82]))
            extras.append("a moon")
        return "a night sky", extras
    tone = colour(rng, kind)
    canvas.gradient(tone * rng.uniform(0.75, 1), tone + (1 - tone) * rng.uniform(0.25, 0.6))
    if rng.random() < 0.6:
        name = pick(rng, ["yellow", "yellow", "red", "white", "orange"])
        glow = (1 - torch.hypot(canvas.x - x, canvas.y - y) / (radius * 2.2)).clamp(0, 1) ** 2 * 0.5
        canvas.blend(glow, torch.ones(3))
        canvas.circle(x, y, radius, colour(rng, name))
        extras.append(with_article(name) + " sun")
    if rng.random() < 0.35:
        for _ in range(rng.integers(1, 4)):
            x, y, size = rng.random(), rng.uniform(0.08, horizon * 0.7), rng.uniform(0.04, 0.08)
            for step, part in ((-1.1, 0.7), (0, 1), (1.1, 0.75)):
                canvas.circle(x + step * size, y, size * part, torch.tensor([0.97, 0.97, 0.98]), 1.25)
        extras.append("clouds")
    return with_article(kind) + " sky", extras


def draw_mountains(canvas: Canvas, rng: Rng, horizon: float) -> None:
    rock = colour(rng, pick(rng, ["grey", "purple", "blue", "brown"]))
    snow = rng.random() < 0.6
    for _ in range(rng.integers(2, 5)):
        x, width, height = rng.random(), rng.uniform(0.22, 0.4), rng.uniform(0.2, 0.38)
        canvas.triangle(x, horizon + 0.03, width, height, (rock * rng.uniform(0.8, 1.1)).clamp(0, 1))
        if snow:
            canvas.triangle(x, horizon + 0.03 - height * 0.68, width * 0.32, height * 0.32, torch.tensor([0.96, 0.97, 1.0]))


def draw_ground(canvas: Canvas, rng: Rng, kind: str, horizon: float) -> str:
    """Fill everything below the horizon; returns its phrase."""
    if kind == "sea":
        name = pick(rng, ["blue", "teal", "green"])
        water = colour(rng, name) * 0.85
        canvas.ground(horizon, water)
        for step in range(5):
            y = horizon + 0.05 + (1 - horizon) * step / 5
            wave = torch.sin(canvas.x * rng.uniform(25, 44) + rng.random() * 6) * 0.006
            gaps = -(torch.sin(canvas.x * 12.6 + rng.random() * 6) - 0.1) * 0.1
            canvas.fill(torch.maximum((canvas.y - y - wave).abs() - 0.006, gaps), water + (1 - water) * 0.35)
        return with_article(name) + " sea"
    if kind == "desert":
        sand = colour(rng, "orange") * 0.5 + colour(rng, "yellow") * 0.5
        canvas.ground(profile(rng, canvas, horizon, 0.03, rng.uniform(0.6, 1.3)), sand * 0.92)
        canvas.ground(profile(rng, canvas, horizon + 0.14, 0.03, rng.uniform(0.6, 1.3)), sand * 0.8)
        return "a desert"
    if kind == "city":
        left = -0.02
        while left < 1.02:
            width, height = rng.uniform(0.05, 0.1), rng.uniform(0.12, 0.42)
            wall = colour(rng, pick(rng, ["grey", "brown", "blue", "purple", "black"])) * 0.8 + 0.05
            canvas.box(left + width, horizon + 0.1 - height / 2, width * 0.96, height / 2 + 0.1, wall)
            lit = torch.tensor([1.0, 0.9, 0.45]) if rng.random() < 0.5 else wall * 0.6 + 0.35
            # All windows of a house at once: a grid of boxes.
            column = ((canvas.x - left) / width - 0.6).remainder(0.8).sub(0.4).abs() * width
            row = ((canvas.y - (horizon + 0.1 - height)).remainder(0.06) - 0.03).abs()
            windows = torch.maximum(column - 0.012 - 0.25 * width, row - 0.014)
            house = torch.maximum((canvas.x - left - width).abs() - width * 0.7, horizon + 0.12 - height - canvas.y)
            canvas.fill(torch.maximum(torch.maximum(windows, house), canvas.y - horizon), lit)
            left += 2 * width
        canvas.ground(horizon + 0.12, colour(rng, "grey") * 0.7)
        return "a city"
    if kind == "forest":
        floor = colour(rng, "green")
        canvas.ground(profile(rng, canvas, horizon, 0.02, 1), floor * 0.7)
        tree = pick(rng, ["pine tree", "tree"])
        for x in np.sort(rng.random(rng.integers(5, 9))):
            leaves = colour(rng, "green", 0.08) * rng.uniform(0.65, 1)
            draw_tree(canvas, rng, float(x), horizon + rng.uniform(0.03, 0.12), rng.uniform(0.17, 0.3), leaves, tree)
        canvas.ground(profile(rng, canvas, horizon + 0.14, 0.02, 1), floor)
        return "a forest"
    name = pick(rng, ["green", "green", "green", "yellow", "brown", "purple", "white", "orange", "pink"])
    grass = colour(rng, name)
    if kind == "hills":
        canvas.ground(profile(rng, canvas, horizon, 0.06, rng.uniform(0.6, 1.4)), grass * 0.78 + 0.05)
        canvas.ground(profile(rng, canvas, horizon + 0.12, 0.05, rng.uniform(0.6, 1.4)), grass * 0.9)
        canvas.ground(profile(rng, canvas, horizon + 0.25, 0.04, rng.uniform(0.6, 1.4)), grass)
        return name + " hills"
    canvas.ground(profile(rng, canvas, horizon, 0.015, rng.uniform(0.5, 1)), grass)
    if kind == "meadow":
        petals = pick(rng, ["red", "white", "yellow", "pink", "purple"])
        for _ in range(rng.integers(10, 20)):
            y = rng.uniform(horizon + 0.05, 1)
            canvas.circle(rng.random(), y, 0.008 + 0.016 * (y - horizon), colour(rng, petals))
        return f"{with_article(name)} meadow with {petals} flowers"
    return with_article(name) + " field"


LAND_THINGS = ["house", "house", "tree", "tree", "flower", "balloon", "birds", "animal", "animal", "person"]


def draw_things(canvas: Canvas, rng: Rng, thing: str, horizon: float) -> str:
    """One to four things of a kind in front of a landscape; returns their phrase."""
    if thing == "birds":
        draw_birds(canvas, rng)
        return "birds"
    number = pick(rng, [1, 1, 1, 2, 3, 4])
    y, scale = rng.uniform(horizon + 0.12, 0.93), rng.uniform(0.2, 0.38) * (1.0 if number == 1 else 1.5 / (number + 0.5))
    places = [rng.uniform(0.18, 0.82)] if number == 1 else [(i + 0.5) / number + rng.uniform(-0.06, 0.06) for i in range(number)]
    name = pick(rng, COLOUR_NAMES)
    roof = pick(rng, ["red", "brown", "blue", "orange", "black", "green"])
    animal, tree = pick(rng, ["horse", "cow", "sheep", "dog"]), pick(rng, ["pine tree", "tree", "tree", "palm tree"])
    if thing == "tree":
        name = pick(rng, ["green", "green", "green", "orange", "red", "pink", "yellow"])
    elif thing == "animal":
        name = pick(rng, ["white", "white", "black"] if animal == "sheep" else ["brown", "black", "white", "orange", "grey"])
    height = rng.uniform(0.15, 0.45)
    for x in places:
        low = float(np.clip(y + rng.uniform(-0.03, 0.03), horizon + 0.08, 0.95))
        paint = colour(rng, name)
        if thing == "house":
            draw_house(canvas, rng, x, low, scale, paint, colour(rng, roof))
        elif thing == "tree":
            draw_tree(canvas, rng, x, low, scale * 1.1, paint, tree)
        elif thing == "boat":
            draw_boat(canvas, rng, x, min(low, 0.85), scale, paint)
        elif thing == "flower":
            draw_flower(canvas, rng, x, low, scale, paint)
        elif thing == "balloon":
            draw_balloon(canvas, rng, x, height, scale, paint)
        elif thing == "animal":
            draw_animal(canvas, rng, x, low, scale, paint, animal)
        else:
            draw_person(canvas, rng, x, low, scale, paint)
    where = whereabouts(rng, places[0]) if number == 1 else ""
    if thing == "person":
        return ("a person" if number == 1 else f"{NUMBERS[number]} people") + where
    words = {"tree": tree, "animal": animal}.get(thing, thing)
    if thing != "tree" or name != "green" or rng.random() < 0.5:
        words = f"{name} {words}"
    phrase = counted(number, words)
    if thing == "house" and rng.random() < 0.4:
        phrase += f" with {with_article(roof)} roof" if number == 1 else f" with {roof} roofs"
    return phrase + where


def landscape(rng: Rng, size: int) -> tuple[Tensor, str]:
    """Sky, ground and up to two things in front of it."""
    canvas = Canvas(size)
    horizon = rng.uniform(0.45, 0.72)
    sky, extras = draw_sky(canvas, rng, horizon)
    kind = pick(rng, ["hills", "mountains", "sea", "desert", "city", "meadow", "forest"])
    if kind == "mountains" or (kind != "city" and rng.random() < 0.2):
        draw_mountains(canvas, rng, horizon)
        extras.append("mountains")
    ground = draw_ground(canvas, rng, kind, horizon)
    things = []
    for _ in range(pick(rng, [0, 1, 1, 1, 2])):
        thing = pick(rng, ["boat", "boat", "balloon", "birds"] if kind == "sea" else LAND_THINGS)
        things.append(draw_things(canvas, rng, thing, horizon))
    phrase = " and ".join(things) + pick(rng, [" in ", " with ", ", "]) + ground if things else ground
    if rng.random() < 0.8:
        phrase += " under " + sky
    return canvas.picture, phrase + (" with " + " and ".join(extras) if extras else "")


def shapes(rng: Rng, size: int) -> tuple[Tensor, str]:
    """One to three coloured shapes on a plain ground."""
    canvas = Canvas(size)
    ground = pick(rng, COLOUR_NAMES)
    paper = colour(rng, ground)
    canvas.gradient(paper * rng.uniform(0.85, 1), paper)
    number = pick(rng, [1, 1, 2, 3])
    places = rng.permutation(number)
    names = []
    for place in places:
        name = pick(rng, [c for c in COLOUR_NAMES if c != ground])
        paint = colour(rng, name)
        kind = pick(rng, ["circle", "square", "triangle", "star", "flower", "ring", "moon", "house", "tree"])
        radius = rng.uniform(0.2, 0.36) if number == 1 else rng.uniform(0.13, 0.2)
        x = 0.5 + rng.uniform(-0.1, 0.1) if number == 1 else (place + 0.5) / number + rng.uniform(-0.04, 0.04)
        y = 0.5 + rng.uniform(-0.15, 0.15)
        if kind == "circle":
            canvas.circle(x, y, radius, paint)
        elif kind == "square":
            canvas.box(x, y, radius * 0.85, radius * 0.85, paint)
        elif kind == "triangle":
            canvas.triangle(x, y + radius * 0.8, radius, radius * 1.7, paint)
        elif kind == "star":
            canvas.star(x, y, radius * 1.1, paint, 5, 0.35)
        elif kind == "flower":
            canvas.star(x, y, radius * 1.1, paint, pick(rng, [6, 8]), 0.25)
            canvas.circle(x, y, radius * 0.3, colour(rng, "yellow"))
        elif kind == "ring":
            canvas.fill((torch.hypot(canvas.x - x, canvas.y - y) - radius * 0.8).abs() - radius * 0.22, paint)
        elif kind == "house":
            draw_house(canvas, rng, x, y + radius * 0.8, radius * 1.5, paint, colour(rng, "red"))
        elif kind == "tree":
            draw_tree(canvas, rng, x, y + radius, radius * 1.6, paint, "tree")
        else:
            bite = radius * 0.9 - torch.hypot(canvas.x - x - radius * 0.45, canvas.y - y + radius * 0.15)
            canvas.fill(torch.maximum(torch.hypot(canvas.x - x, canvas.y - y) - radius, bite), paint)
        where = ["on the left", "on the right"] if number == 2 else ["on the left", "in the middle", "on the right"]
        said = number > 1 and rng.random() < 0.4
        names.append(f"{with_article(name)} {kind}" + (f" {where[place]}" if said else ""))
    return canvas.picture, " and ".join(names) + f" on {with_article(ground)} background"


def portrait(rng: Rng, size: int) -> tuple[Tensor, str]:
    """A head and shoulders of a person."""
    canvas = Canvas(size)
    ground = pick(rng, COLOUR_NAMES)
    paper = colour(rng, ground)
    canvas.gradient(paper, paper * 0.85 + 0.1)
    x, y, head = 0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.06, 0.06), rng.uniform(0.19, 0.27)
    hair_name = pick(rng, ["red", "brown", "black", "yellow", "blue", "pink", "green", "white"])
    hair = colour(rng, hair_name)
    skin = torch.tensor(pick(rng, SKINS))
    who = pick(rng, ["woman", "man"])
    shirt = pick(rng, COLOUR_NAMES)
    if who == "woman":
        canvas.circle(x, y, head * 1.35, hair, 0.95)
        canvas.box(x, y + head * 0.8, head * 1.25, head * 0.8, hair)
    else:
        canvas.circle(x, y - head * 0.35, head * 1.02, hair, 0.95)
    canvas.circle(x, y + head * 2.5, head * 1.35, colour(rng, shirt), 1.3)
    canvas.box(x, y + head, head * 0.28, head * 0.5, skin * 0.93)
    canvas.circle(x, y, head, skin, 0.82)
    fringe = canvas.y - y + head * 0.5 + 0.15 * head * torch.sin((canvas.x - x) / head * 3)
    canvas.fill(torch.maximum(torch.hypot((canvas.x - x) / 0.85, canvas.y - y) - head * 1.04, fringe), hair)
    for side in (-1, 1):
        canvas.circle(x + side * head * 0.33, y - head * 0.08, head * 0.13, torch.ones(3), 1.2)
        canvas.circle(x + side * head * 0.33, y - head * 0.08, head * 0.085, torch.full((3,), 0.06))
    mouth = (torch.hypot(canvas.x - x, canvas.y - y - head * 0.25) - head * 0.32).abs() - head * 0.06
    canvas.fill(torch.maximum(mouth, y + head * 0.38 - canvas.y), colour(rng, "red") * 0.8)
    canvas.box(x, y + head * 0.15, head * 0.04, head * 0.12, skin * 0.78)
    phrase = f"{pick(rng, ['a portrait of ', ''])}a {who} with {hair_name} hair"
    return canvas.picture, phrase + (f" and {with_article(shirt)} shirt" if rng.random() < 0.5 else "")


def cat(rng: Rng, size: int) -> tuple[Tensor, str]:
    """A cat's face."""
    canvas = Canvas(size)
    ground = pick(rng, COLOUR_NAMES)
    canvas.gradient(colour(rng, ground), colour(rng, ground))
    x, y, head = 0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.06, 0.06), rng.uniform(0.19, 0.27)
    name, eyes = pick(rng, ["black", "grey", "orange", "white", "brown"]), pick(rng, ["green", "yellow", "blue"])
    fur, dark = colour(rng, name), torch.full((3,), 0.06)
    canvas.circle(x, y + head * 2.1, head * 1.2, fur * 0.93, 1.1)
    for side in (-1, 1):
        canvas.triangle(x + side * head * 0.65, y - head * 0.45, head * 0.38, head * 0.95, fur)
        canvas.triangle(x + side * head * 0.65, y - head * 0.5, head * 0.2, head * 0.6, colour(rng, "pink"))
    canvas.circle(x, y, head, fur, 1.12)
    for side in (-1, 1):
        canvas.circle(x + side * head * 0.42, y - head * 0.1, head * 0.2, colour(rng, eyes))
        canvas.circle(x + side * head * 0.42, y - head * 0.1, head * 0.16, dark, 0.45)
    canvas.triangle(x, y + head * 0.3, head * 0.14, head * 0.16, colour(rng, "pink"))
    return canvas.picture, f"{with_article(name)} cat with {eyes} eyes on {with_article(ground)} background"


def interior(rng: Rng, size: int) -> tuple[Tensor, str]:
    """A room: wall, floor, a window or a picture, and one or two pieces of furniture."""
    canvas = Canvas(size)
    wall, floor = pick(rng, COLOUR_NAMES), pick(rng, ["brown", "brown", "grey", "white", "red", "green"])
    paper = colour(rng, wall)
    canvas.gradient(paper * rng.uniform(0.8, 1), paper)
    edge = rng.uniform(0.62, 0.75)
    canvas.ground(edge, colour(rng, floor) * 0.85)
    canvas.box(0.5, edge, 0.6, 0.012, colour(rng, "white"))
    names = []
    x = rng.uniform(0.2, 0.8)
    if rng.random() < 0.7:
        sky = pick(rng, ["blue", "orange", "pink", "black"])
        canvas.box(x, 0.3, 0.17, 0.19, colour(rng, "white"))
        canvas.box(x, 0.3, 0.145, 0.165, colour(rng, sky))
        canvas.box(x, 0.3, 0.012, 0.165, colour(rng, "white"))
        canvas.box(x, 0.3, 0.145, 0.012, colour(rng, "white"))
        names.append("a window" + whereabouts(rng, x))
    else:
        canvas.box(x, 0.3, 0.16, 0.12, colour(rng, "brown"))
        canvas.box(x, 0.3, 0.135, 0.095, colour(rng, pick(rng, COLOUR_NAMES)))
        canvas.circle(x, 0.3, 0.06, colour(rng, pick(rng, COLOUR_NAMES)))
        names.append("a picture on the wall")
    if rng.random() < 0.4:
        canvas.circle(rng.uniform(0.3, 0.7), 0.9, 0.09, colour(rng, pick(rng, COLOUR_NAMES)), 3.2)
        names.append("a rug")
    for place in rng.permutation(3)[: pick(rng, [1, 2, 2])]:
        x, y = 0.2 + 0.3 * place + rng.uniform(-0.04, 0.04), edge + rng.uniform(0.08, 0.2)
        name = pick(rng, [c for c in COLOUR_NAMES if c != wall])
        paint, thing = colour(rng, name), pick(rng, ["table", "chair", "lamp", "sofa"])
        if thing == "table":
            for side in (-1, 1):
                canvas.box(x + side * 0.12, y - 0.11, 0.014, 0.11, paint * 0.8)
            canvas.box(x, y - 0.23, 0.16, 0.02, paint)
            canvas.circle(x, y - 0.28, 0.04, colour(rng, pick(rng, COLOUR_NAMES)))
        elif thing == "chair":
            for side in (-1, 1):
                canvas.box(x + side * 0.075, y - 0.06, 0.013, 0.07, paint * 0.8)
            canvas.box(x, y - 0.14, 0.09, 0.02, paint)
            canvas.box(x - 0.075, y - 0.27, 0.016, 0.13, paint)
        elif thing == "lamp":
            canvas.box(x, y - 0.2, 0.01, 0.2, torch.full((3,), 0.2))
            canvas.blend((1 - torch.hypot(canvas.x - x, canvas.y - y + 0.38) / 0.3).clamp(0, 1) ** 2 * 0.5, torch.tensor([1.0, 0.95, 0.7]))
            canvas.triangle(x, y - 0.33, 0.1, 0.14, paint)
        else:
            canvas.box(x, y - 0.17, 0.17, 0.1, paint * 0.85)
            canvas.box(x, y - 0.08, 0.19, 0.07, paint)
        names.append(with_article(f"{name} {thing}") + whereabouts(rng, x))
    return canvas.picture.clamp(0, 1), pick(rng, ["a room", "an interior", with_article(wall) + " room"]) + " with " + " and ".join(names)


def pattern(rng: Rng, size: int) -> tuple[Tensor, str]:
    """Two colours in stripes, clouds or patches."""
    canvas = Canvas(size)
    names = [pick(rng, COLOUR_NAMES) for _ in range(2)]
    first, second = (colour(rng, name) for name in names)
    words = " and ".join(dict.fromkeys(names))
    kind = pick(rng, ["stripes", "texture", "patches"])
    canvas.gradient(first, first)
    if kind == "stripes":
        angle, waves = rng.uniform(0, np.pi), rng.uniform(2, 6)
        across = canvas.x * np.cos(angle) + canvas.y * np.sin(angle)
        wave = torch.sin(2 * np.pi * waves * across + noise(rng, size, 1.8) * rng.uniform(0, 0.8))
        canvas.blend((wave * size / 40 + 0.5).clamp(0, 1), second)
    elif kind == "texture":
        canvas.blend(torch.sigmoid(2 * noise(rng, size, pick(rng, [1.2, 1.5, 1.8]))), second)
    else:
        pieces = cells(rng, size, "leaves")
        shade = torch.from_numpy(rng.random(len(pieces.centres)).astype(np.float32))[pieces.index]
        canvas.blend((shade > 0.5).float(), second)
        canvas.picture = (canvas.picture * (0.85 + 0.3 * shade)).clamp(0, 1)
    return canvas.picture, f"{words} {kind}"


# --- photograph-like content ------------------------------------------------------------------------------------


def random_colour(rng: Rng) -> Tensor:
    """Colours as photographs have them: mostly muted, some strong."""
    grey = rng.uniform(0.08, 0.95)
    return torch.tensor(np.clip(grey + rng.uniform(-1, 1, 3) * rng.choice([0.08, 0.2, 0.4]), 0.02, 0.98), dtype=torch.float32)


def textured(rng: Rng, size: int, tone: Tensor, strength: float = 0.12) -> Tensor:
    """A surface [3, size, size] of one colour with 1/f texture."""
    texture = noise(rng, size, pick(rng, [0.8, 1.2, 1.5]))
    return (tone[:, None, None] * (1 + strength * texture)).clamp(0, 1)


def dead_leaves(rng: Rng, size: int) -> tuple[Tensor, str]:
    """Overlapping shaded pieces of all sizes: the edge statistics of photographs."""
    canvas = Canvas(size)
    canvas.picture = textured(rng, size, random_colour(rng))
    palette = [random_colour(rng) for _ in range(rng.integers(2, 7))]
    texture = noise(rng, size, 1.2) * 0.1
    for _ in range(rng.integers(12, 36)):
        radius = min(0.4, 0.04 / max(0.08, rng.random()))
        x, y, turn = rng.random(), rng.random(), rng.uniform(0, np.pi)
        dx, dy = canvas.x - x, canvas.y - y
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        shading = 1 + rng.uniform(-1.2, 1.2) * u / radius * 0.25 + texture * rng.uniform(0, 1.5)
        tone = (pick(rng, palette) * rng.uniform(0.6, 1.15)).clamp(0, 1)
        aspect = rng.uniform(0.4, 1)
        if rng.random() < 0.6:
            distance = torch.hypot(u, v / aspect) - radius
        else:
            distance = torch.maximum(u.abs() - radius, v.abs() - radius * aspect)
        soft = pick(rng, [1.0, 1.0, 0.4, 0.15])
        canvas.fill(distance * soft, (tone[:, None, None] * shading).clamp(0, 1))
    return canvas.picture, pick(rng, ["many shapes", "leaves", "an abstract picture"])


def clouds(rng: Rng, size: int) -> tuple[Tensor, str]:
    """Coloured 1/f noise: rock, cloud, foliage, depending on the exponent."""
    exponent = pick(rng, [0.8, 1.2, 1.5, 1.8])
    shared = noise(rng, size, exponent)
    base = random_colour(rng)
    contrast = rng.uniform(0.08, 0.25)
    tint = torch.tensor(rng.uniform(-0.5, 0.5, 3), dtype=torch.float32)[:, None, None] * noise(rng, size, 1.8)
    return (base[:, None, None] + contrast * (shared + tint)).clamp(0, 1), pick(rng, ["a texture", "clouds", "a rough surface"])


def soft_light(rng: Rng, size: int) -> tuple[Tensor, str]:
    """A smooth gradient between colours with a few blurred lights."""
    canvas = Canvas(size)
    canvas.gradient(random_colour(rng), random_colour(rng))
    canvas.blend(canvas.x * rng.uniform(0, 1), random_colour(rng))
    for _ in range(rng.integers(0, 8)):
        radius, edge = rng.uniform(0.03, 0.3), rng.uniform(0.05, 1.0)
        distance = torch.hypot(canvas.x - rng.random(), canvas.y - rng.random()) / radius
        canvas.blend(((1 - distance) / edge).clamp(0, 1) * rng.uniform(0.2, 0.9), random_colour(rng))
    return canvas.picture, pick(rng, ["soft light", "a gradient", "lights"])


def still_life(rng: Rng, size: int) -> tuple[Tensor, str]:
    """Lit balls and boxes with shadows on a floor before a wall, like a simple path-traced picture."""
    canvas = Canvas(size)
    floor_height = rng.uniform(0.3, 0.65)
    wall, floor = random_colour(rng), random_colour(rng)
    light_x = rng.uniform(-0.8, 0.8)
    canvas.picture = textured(rng, size, wall, rng.uniform(0, 0.08))
    canvas.picture = canvas.picture * (1.1 - 0.5 * torch.hypot(canvas.x - 0.5 - light_x / 2, canvas.y - 0.1)).clamp(0.2, 1.3)
    ground = textured(rng, size, floor, rng.uniform(0, 0.15))
    depth = 1 / (canvas.y - floor_height + 0.12).clamp(min=0.02)
    if rng.random() < 0.35:
        tiles = torch.sin((canvas.x - 0.5) * depth * rng.uniform(2, 5)) * torch.sin(depth * rng.uniform(3, 6))
        ground = torch.where(tiles > 0, ground, ground * rng.uniform(0.3, 0.8))
    ground = ground * (0.75 + 0.35 * canvas.y)
    if rng.random() < 0.3:  # side walls, as in a box-shaped room
        for side, name in ((0.0, pick(rng, COLOUR_NAMES)), (1.0, pick(rng, COLOUR_NAMES))):
            canvas.fill((canvas.x - side).abs() - rng.uniform(0.1, 0.2), colour(rng, name) * rng.uniform(0.6, 0.9))
    canvas.ground(floor_height, ground)
    names = []
    for y in np.sort(rng.uniform(floor_height + 0.05, 0.9, rng.integers(1, 5))):
        y, x, radius = float(y), rng.uniform(0.12, 0.88), rng.uniform(0.07, 0.24)
        name = pick(rng, COLOUR_NAMES)
        tone = colour(rng, name)
        shadow = torch.exp(-((((canvas.x - x + light_x * radius) / radius / 1.3) ** 2) + ((canvas.y - y) / radius / 0.35) ** 2) * 1.5)
        canvas.blend(shadow * rng.uniform(0.4, 0.8), torch.full((3,), 0.03))
        texture = 1 + rng.uniform(0, 0.15) * noise(rng, size, 1.2)
        u, v = (canvas.x - x) / radius, (canvas.y - (y - radius * 0.9)) / radius
        if rng.random() < 0.75:
            depth = (1 - u**2 - v**2).clamp(min=0).sqrt()
            lit = (light_x * u * 0.6 - 0.6 * v + 0.55 * depth).clamp(0, 1)
            glint = lit**rng.uniform(15, 50) * rng.uniform(0, 0.8)
            ball = tone[:, None, None] * (0.18 + 0.95 * lit * texture) + glint
            if rng.random() < 0.2:  # a mirror ball shows wall above and floor below
                ball = torch.where(v > 0, floor[:, None, None], wall[:, None, None]) * (0.4 + 0.6 * depth) + glint
            canvas.fill((torch.hypot(u, v) - 1) * radius, ball.clamp(0, 1))
            names.append(with_article(name) + pick(rng, [" ball", " sphere"]))
        else:
            front = torch.where(u * np.sign(light_x) > -0.2, 0.95, 0.5) * texture
            canvas.fill((torch.maximum(u.abs() - 0.85, v.abs() - 0.95)) * radius, (tone[:, None, None] * front).clamp(0, 1))
            names.append(with_article(name) + pick(rng, [" box", " cube"]))
    return canvas.picture.clamp(0, 1), " and ".join(names[-2:])


def terrain(rng: Rng, size: int) -> tuple[Tensor, str]:
    """Layered shaded ridges under a cloudy sky, sometimes with water that mirrors them."""
    canvas = Canvas(size)
    sky = pick(rng, [(0.35, 0.55, 0.88), (0.6, 0.65, 0.7), (0.85, 0.6, 0.45), (0.2, 0.25, 0.4)])
    haze = torch.tensor(np.clip(np.array(sky) + rng.uniform(0.05, 0.3), 0, 1), dtype=torch.float32)
    canvas.gradient(torch.tensor(sky), haze)
    canvas.blend(torch.sigmoid(3 * (noise(rng, size, 1.8) - rng.uniform(0, 1))) * rng.uniform(0.3, 1), torch.tensor([0.96, 0.95, 0.93]))
    tone = torch.tensor(pick(rng, [(0.2, 0.32, 0.14), (0.4, 0.32, 0.24), (0.3, 0.34, 0.4), (0.55, 0.4, 0.28), (0.8, 0.82, 0.86)]))
    layers = rng.integers(2, 5)
    for layer in range(layers):
        share = (layer + 1) / layers
        height = 0.3 + 0.4 * share + 0.08 * noise(rng, size, 2.0)[0] * rng.uniform(0.5, 1.3)
        relief = noise(rng, size, 2.0)
        slope = torch.diff(relief, dim=1, append=relief[:, -1:]) * 4
        shade = (1 + 0.2 * noise(rng, size, 1.2) + slope).clamp(0.3, 1.8)
        paint = (torch.lerp(haze, tone * rng.uniform(0.8, 1.2), 0.35 + 0.65 * share)[:, None, None] * shade).clamp(0, 1)
        canvas.ground(height, paint)
    phrase = pick(rng, ["mountains", "hills", "a landscape", "a valley"])
    if rng.random() < 0.35:
        shore = rng.uniform(0.7, 0.85)
        rows = torch.arange(size)
        mirrored = (2 * shore * size - rows).long().clamp(0, size - 1)
        water = canvas.picture[:, mirrored] * 0.65 + torch.tensor([0.02, 0.06, 0.1])[:, None, None]
        ripples = 1 + 0.08 * noise(rng, size, 0.8)
        canvas.ground(shore, (water * ripples).clamp(0, 1))
        phrase += " and a lake"
    return canvas.picture.clamp(0, 1), phrase


Scene = Callable[[Rng, int], tuple[Tensor, str]]

#: Scene and its share of the pictures. The second half is photograph-like.
SCENES: list[tuple[Scene, float]] = [
    (landscape, 0.27),
    (shapes, 0.10),
    (portrait, 0.08),
    (cat, 0.04),
    (interior, 0.08),
    (pattern, 0.09),
    (dead_leaves, 0.09),
    (clouds, 0.05),
    (soft_light, 0.04),
    (still_life, 0.12),
    (terrain, 0.12),
]
PHOTOGRAPH_LIKE = {"dead_leaves", "clouds", "soft_light", "still_life", "terrain"}


def draw_scene(rng: Rng, size: int) -> tuple[Tensor, str, bool]:
    """A random scene: picture [3, size, size] in 0..1, phrase, and whether it looks like a photograph."""
    weights = np.array([share for _, share in SCENES])
    scene = SCENES[rng.choice(len(SCENES), p=weights / weights.sum())][0]
    picture, phrase = scene(rng, size)
    return picture, phrase, scene.__name__ in PHOTOGRAPH_LIKE
