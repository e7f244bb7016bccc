"""Writes prompts.json: what weighted and long prompts, and names of textual inversions in them, come to, in tokens and in embeddings, with transformers' text encoders and the
arithmetic of AUTOMATIC1111's web UI, written here again from its description. The weights follow from their names (checkpoints.py).

    python3 -m venv v && v/bin/pip install torch==2.15.0 transformers==4.57.6
    OMP_NUM_THREADS=1 v/bin/python test/reference/prompts.py
"""

import importlib.metadata
import json
import math
import pathlib
import re
import tempfile

import numpy as np
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

here = pathlib.Path(__file__).parent
ROOM, BACKTRACK, MAX_CHUNKS = 75, 20, 8
EMBEDDINGS = {"paint-look": 3, "Paint-look two": 2}  # names, and how many vectors each has
EVERY = 499  # of the embeddings' numbers, to keep the file small


def values(name, shape):
    """As in checkpoints.py."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    with np.errstate(over="ignore"):
        h = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h ^= h >> np.uint32(shift)
            h *= np.uint32(factor)
        h ^= h >> np.uint32(16)
    if name.endswith("bias"):
        scale, offset = 0.1, 0
    elif len(shape) == 1:
        scale, offset = 0.2, 1
    elif "embedding.weight" in name:
        scale, offset = 1, 0
    else:
        scale, offset = math.sqrt(3 / math.prod(shape[1:])), 0
    return torch.from_numpy(((h.astype(np.float64) / 2**31 - 1) * scale + offset).astype(np.float32).reshape(shape))


def encoder(cls, width, act, **more):
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=width // 64,
        max_position_embeddings=77, hidden_act=act, bos_token_id=49406, eos_token_id=2, attn_implementation="eager", **more,
    )
    model = cls(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values(name, parameter.shape))
    return model


def tokenizer():
    merges = (here / "../../assets/clip/merges.txt").read_text().split("\n")[1:-1]
    symbols = list(bytes_to_unicode().values())
    tokens = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
        (pathlib.Path(folder) / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
        return CLIPTokenizer(f"{folder}/vocab.json", f"{folder}/merges.txt")


def weigh(prompt):
    """Character by character: a list of [text, weight], None where a chunk ends."""
    prompt = re.sub(r"<\w+:[^>]+>", "", prompt)
    letters, stacks, at = [], {"(": [], "[": []}, 0

    def close(kind, factor):
        start = stacks[kind].pop()
        for letter in letters[start:]:
            letter[1] *= factor

    while at < len(prompt):
        number = re.match(r":\s*([+-]?[.\d]+)\s*\)", prompt[at:])
        c = prompt[at]
        if c == "\\":
            following = prompt[at + 1 : at + 2]
            escaped = following if following and following in "()[]\\" else ""
            if escaped:
                letters.append([escaped, 1.0])
            at += 1 + len(escaped)
            continue
        if c in "([":
            stacks[c].append(len(letters))
        elif number and stacks["("]:
            close("(", float(number[1]))
            at += len(number[0])
            continue
        elif c == ")" and stacks["("]:
            close("(", 1.1)
        elif c == "]" and stacks["["]:
            close("[", 1 / 1.1)
        else:
            letters.append([c, 1.0])
        at += 1
    for kind, factor in (("(", 1.1), ("[", 1 / 1.1)):
        while stacks[kind]:
            close(kind, factor)
    pieces = []
    for c, weight in letters:
        weight = min(10, max(-10, weight))
        if pieces and pieces[-1][1] == weight:
            pieces[-1][0] += c
        else:
            pieces.append([c, weight])
    parted = []
    for text, weight in pieces:
        for i, part in enumerate(re.split(r"\bBREAK\b", text)):
            parted += ([None] if i else []) + [[part, weight]]
    return parted


def chunks_of(clip, pieces, long):
    """Lists of (id, weight), and how many tokens were left out."""
    comma = clip.convert_tokens_to_ids(",</w>")
    chunks, now, last_comma = [], [], None
    for piece in pieces:
        if piece is None:
            if long:
                chunks, now, last_comma = chunks + [now], [], None
            continue
        for token in named(clip, clip(piece[0], add_special_tokens=False)["input_ids"]):
            many = EMBEDDINGS[token] if isinstance(token, str) else 1
            if token == comma:
                last_comma = len(now)
            elif long and len(now) == ROOM and last_comma is not None and ROOM - last_comma <= BACKTRACK:
                chunks, now, last_comma = chunks + [now[: last_comma + 1]], now[last_comma + 1 :], None
            if long and len(now) + many > ROOM:
                chunks, now, last_comma = chunks + [now], [], None
            now = now + [((token, i) if isinstance(token, str) else token, piece[1]) for i in range(many)]
    if now or not chunks:
        chunks = chunks + ([now] if long else [now[:ROOM], now[ROOM:]])
    most = MAX_CHUNKS if long else 1
    return chunks[:most], sum(len(chunk) for chunk in chunks[most:])


def named(clip, ids):
    """Names of embeddings in the place of their tokens; the longest first."""
    at, found = 0, []
    while at < len(ids):
        for name in sorted(EMBEDDINGS, key=len, reverse=True):
            own = clip(name, add_special_tokens=False)["input_ids"]
            if ids[at : at + len(own)] == own:
                found.append(name)
                at += len(own)
                break
        else:
            found.append(ids[at])
            at += 1
    return found


def encode(clip, model, pad, hidden, role, chunks):
    start, end = clip.bos_token_id, clip.eos_token_id
    parts, pooled = [], None
    for chunk in chunks:
        ids = [start] + [0 if isinstance(token, tuple) else token for token, _ in chunk] + [end]
        vectors = {i + 1: token for i, (token, _) in enumerate(chunk) if isinstance(token, tuple)}

        def replace(table, inputs, output):
            for position, (name, i) in vectors.items():
                output[0, position] = values(f"{name} {role}", (EMBEDDINGS[name], output.shape[-1]))[i]
            return output

        hook = model.text_model.embeddings.token_embedding.register_forward_hook(replace)
        ids += [pad] * (ROOM + 2 - len(ids))
        weights = torch.tensor([1.0] + [weight for _, weight in chunk])
        weights = torch.cat([weights, torch.ones(ROOM + 2 - len(weights))])
        with torch.no_grad():
            out = model(torch.tensor([ids]), output_hidden_states=True)
        hook.remove()
        z = out.hidden_states[-2][0] if hidden else out.last_hidden_state[0]
        weighted = z * weights[:, None]
        parts.append(weighted * (z.mean() / weighted.mean()))
        pooled = getattr(out, "text_embeds", [None])[0] if pooled is None else pooled
    return torch.cat(parts), pooled


clip = tokenizer()
end, zero = clip.eos_token_id, 0
families = {
    "sd": [(encoder(CLIPTextModel, 128, "quick_gelu"), end, False, "only")],
    "sdxl": [
        (encoder(CLIPTextModel, 64, "quick_gelu"), end, True, "clip_l"),
        (encoder(CLIPTextModelWithProjection, 128, "gelu", projection_dim=128), zero, True, "clip_g"),
    ],
}
many = ", ".join(f"a {colour} {thing}" for colour in ("red", "blue", "green", "golden") for thing in "house tree boat lake cloud hill".split())
prompts = [
    "a red house",
    "a (red:1.3) house by the [lake]",
    "((a storm)), [[calm]] sea, (gold:-0.5)",
    "(very (nested [brackets:1.2] here:1.5) and (unclosed",
    r"a \(literal\) bracket and (a \[weighted\] one:0.4), <lora:paint:0.8> done",
    "(anti)disestablishment(arian:1.25)ism",
    "(far too much:99) of (the:-99) other",
    "a house BREAK (a storm:1.4) BREAK by the lake",
    many,
    f"{many}, ({many}:1.2)",
    "without one comma at all " * 20,
    f"{'word ' * 70}, (a b c d e f g h:1.3)",
    f"{'word ' * 74}, and so on",
    "x " * 700,
    "(all of it is weighted " * 3 + "x " * 100,
    "a paint-look house",
    "a (PAINT-LOOK:1.3), paint-look two and [paint-look] house, no paint-looks",
    f"{'word ' * 73} paint-look house",
    f"{'word ' * 64}, eight words a b c d paint-look house",
]
cases = []
for family, encoders in families.items():
    for prompt in prompts:
        for syntax in ("plain", "weighted"):
            if syntax == "plain" and family != "sd":
                continue
            for long in (False, True):
                pieces = weigh(prompt) if syntax == "weighted" else [[prompt, 1.0]]
                chunks, dropped = chunks_of(clip, pieces, long)
                parts = [encode(clip, model, pad, hidden, role, chunks) for model, pad, hidden, role in encoders]
                embeds = torch.cat([part for part, _ in parts], dim=1)
                pooled = parts[-1][1]
                numbers = lambda tensor, every: [float(f"{x:.7g}") for x in tensor.flatten()[::every].tolist()]
                case = {"family": family, "syntax": syntax, "long": long, "prompt": prompt, "dropped": dropped}
                if family == "sd":
                    case["chunks"] = [[[0 if isinstance(token, tuple) else token for token, _ in chunk], [round(weight, 9) for _, weight in chunk]] for chunk in chunks]
                case |= {"shape": list(embeds.shape), "embeds": numbers(embeds, EVERY)}
                if pooled is not None:
                    case["pooled"] = numbers(pooled, 13)
                cases.append(case)

versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
(here / "prompts.json").write_text(f'{{"versions":{json.dumps(versions)},"every":{EVERY},"cases":[\n{lines}\n]}}\n')
