"""What is said about a picture: the look that was applied to it, in words.

A picture carries a `Look record`: {"style": key or None, "qualities": [keys], "tones": [keys], "content": phrase}.
Captions name everything that was applied, so that no word is ever only sometimes true.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

Rng = np.random.Generator


class LookRecord(TypedDict):
    style: str | None
    qualities: list[str]
    tones: list[str]
    content: str


STYLE_PHRASES: dict[str, list[str]] = {
    "photo": ["photo", "photograph", "realistic", "photorealistic", "realistic photo"],
    "flat": ["flat vector", "digital art, vector", "vector art", "flat illustration", "flat design", "vector illustration", "digital art"],
    "ink": ["ink drawing", "line art", "pen and ink", "ink sketch", "ink"],
    "charcoal": ["charcoal", "charcoal drawing", "charcoal sketch", "pencil drawing"],
    "comic": ["comic", "comic book", "cartoon", "comic book style", "pop art"],
    "pastel": ["pastel", "pastel drawing", "soft pastel", "pastel colors", "pastel painting"],
    "neon": ["neon", "neon lights", "glowing neon", "neon glow", "cyberpunk neon"],
    "pixel": ["pixel art", "8-bit pixel art", "pixels", "retro pixel art"],
    "glass": ["stained glass", "stained glass window"],
    "mosaic": ["mosaic", "mosaic tiles", "roman mosaic"],
    "nouveau": ["art nouveau", "art nouveau poster", "alphonse mucha", "in the style of alphonse mucha"],
    "watercolour": ["watercolour", "watercolor", "watercolour painting", "watercolor painting"],
    "oil": ["oil painting", "oil on canvas", "impressionist oil painting", "van gogh", "thick brush strokes"],
    "sepia": ["sepia", "sepia photograph", "vintage photograph", "old photograph"],
    "blueprint": ["blueprint", "technical blueprint", "blueprint drawing"],
    "lowpoly": ["low-poly", "low poly", "low poly art", "polygons"],
    "woodcut": ["woodcut", "woodcut print", "linocut", "engraving"],
}
#: Of the looks that only LoRAs know.
LORA_PHRASES: dict[str, list[str]] = {"risograph": ["risograph", "risograph print", "riso print"]}
QUALITY_PHRASES: dict[str, list[str]] = {
    "detailed": ["highly detailed", "detailed", "intricate", "very detailed", "intricate details"],
    "simple": ["simple", "minimalist", "minimal", "simple shapes"],
    "blurry": ["blurry", "soft", "out of focus", "soft focus", "blurred"],
    "sharp": ["sharp", "sharp focus", "crisp"],
    "bright": ["bright", "bright light", "light"],
    "dark": ["dark", "dark mood", "dim"],
    "vivid": ["vivid", "vivid colors", "vivid colours", "colorful", "colourful", "vibrant", "saturated"],
    "muted": ["muted", "muted colors", "muted colours", "dull", "desaturated"],
    "foggy": ["foggy", "fog", "misty"],
    "contrast": ["high contrast", "strong contrast"],
    "warm": ["warm", "warm colors", "warm light", "warm tones"],
    "cold": ["cold", "cool", "cold colors", "cold light", "cool tones"],
}
MONOCHROME_PHRASES = ["black and white", "monochrome", "grayscale"]

#: Words that mean nothing to the model; some captions carry one so that unknown words are ignored.
FILLER = (
    "masterpiece, best quality, 4k, 8k, trending on artstation, award winning, beautiful, epic, fantasy, "
    "concept art, cinematic, hd, amazing, elegant, artwork, illustration, painting, picture, image, scene, "
    "car, robot, castle, dragon, ship, girl, boy, street, river, bridge, tower, garden, "
    "space, planet, winter, summer, autumn, spring, morning, evening, old, new, big, small, tiny, huge"
).split(", ")


def style_phrase(rng: Rng, style: str) -> str:
    return str(rng.choice(STYLE_PHRASES.get(style) or LORA_PHRASES[style]))


def tone_phrase(rng: Rng, tone: str) -> str:
    if tone == "black and white":
        return str(rng.choice(MONOCHROME_PHRASES))
    name = "gray" if tone == "grey" and rng.random() < 0.3 else tone
    return str(rng.choice([f"{name} tones", f"{name} tones", name, f"{name} colors", f"{name} colours", f"{name} light"]))


def caption(rng: Rng, record: LookRecord, with_content: bool) -> str:
    """A caption: all phrases of the look in random order, with or without the content."""
    style = style_phrase(rng, record["style"]) if record["style"] else None
    phrases = [str(rng.choice(QUALITY_PHRASES[key])) for key in record["qualities"]]
    phrases += [tone_phrase(rng, key) for key in record["tones"]]
    if style and len(record["tones"]) == 1 and record["tones"] != ["black and white"] and rng.random() < 0.3:
        # "pink pastel" beside "pastel, pink tones"
        style, phrases = f"{record['tones'][0]} {style}", phrases[:-1]
    if rng.random() < 0.15:
        phrases.append(str(rng.choice(FILLER)))
    rng.shuffle(phrases)
    if not with_content:
        if style:
            phrases.insert(rng.integers(len(phrases) + 1), with_article(style) if rng.random() < 0.2 else style)
        return join(rng, phrases)
    content = record["content"]
    if style and rng.random() < 0.5:
        lead = " ".join(phrases[:1] + [style]) if phrases and rng.random() < 0.5 else style
        rest = phrases[1:] if lead != style else phrases
        return join(rng, [f"{with_article(lead)} of {content}"] + rest)
    if style:
        phrases.insert(rng.integers(len(phrases) + 1), style)
    return join(rng, [content] + phrases if rng.random() < 0.6 else phrases + [content])


def join(rng: Rng, phrases: list[str]) -> str:
    """Commas mostly, sometimes only spaces; sometimes a full stop at the end."""
    text = (", " if rng.random() < 0.85 else " ").join(phrases)
    return text + "." if text and rng.random() < 0.05 else text


def with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words
