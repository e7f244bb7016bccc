"""Writes tokenizer.json: what transformers' CLIPTokenizerFast makes of odd texts, with CLIP's own merges and four sets of
config files beside them.

    python3 -m venv v && v/bin/pip install transformers==4.57.6
    v/bin/python test/reference/tokenizer.py
"""

import json
import pathlib
import random
import sys
import tempfile
import unicodedata

import tokenizers
import transformers
from transformers import CLIPTokenizerFast
from transformers.models.clip.tokenization_clip import bytes_to_unicode

here = pathlib.Path(__file__).parent
merges = (here / "../../assets/clip/merges.txt").read_text("utf8")
symbols = list(bytes_to_unicode().values())
pairs = [line for line in merges.split("\n")[1:] if line]
tokens = symbols + [s + "</w>" for s in symbols] + [p.replace(" ", "") for p in pairs] + ["<|startoftext|>", "<|endoftext|>"]
vocab = {token: i for i, token in enumerate(tokens)}

special = lambda content, normalized=True: {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}
plain = {"bos_token": special("<|startoftext|>"), "eos_token": special("<|endoftext|>"), "unk_token": special("<|endoftext|>")}
added = lambda content, **more: {**special(content, False), "special": False, **more}
base = {"49406": added("<|startoftext|>", normalized=True, special=True), "49407": added("<|endoftext|>", normalized=True, special=True)}
# Files beside vocab.json and merges.txt, as exporters write them.
folders = {
    # Stable Diffusion 1.x, as transformers 4 saved it
    "sd1": {
        "special_tokens_map.json": {**plain, "pad_token": "<|endoftext|>"},
        "tokenizer_config.json": {**plain, "pad_token": "<|endoftext|>", "model_max_length": 77, "do_lower_case": True, "errors": "replace"},
    },
    # Stable Diffusion 2 and SDXL's second tokenizer: the padding token is a character
    "sd2": {
        "special_tokens_map.json": {**plain, "pad_token": "!"},
        "tokenizer_config.json": {
            **{role: token["content"] for role, token in plain.items()}, "pad_token": "!", "model_max_length": 77,
            "added_tokens_decoder": {"0": added("!", special=True), **base},
        },
    },
    # Textual inversion, as older versions of transformers saved it
    "inversion": {
        "added_tokens.json": {"<cat-toy>": 49408, "<cat-toy>_1": 49409, "Zyx": 49410},
        "special_tokens_map.json": {**plain, "pad_token": "<|endoftext|>"},
        "tokenizer_config.json": {"pad_token": "<|endoftext|>", "model_max_length": 77},
    },
    # The same, as newer versions save it, with every flag that a token can have
    "flags": {
        "special_tokens_map.json": {**plain, "pad_token": "<|endoftext|>"},
        "tokenizer_config.json": {
            "pad_token": "<|endoftext|>", "model_max_length": 77,
            "added_tokens_decoder": {
                **base,
                "49408": added("<left>", lstrip=True), "49409": added("<right>", rstrip=True),
                "49410": added("sks", single_word=True), "49411": added("Big Word", normalized=True),
                "49412": added("<exact>", special=True),
            },
        },
    },
    # Nothing beside the two files
    "bare": {},
}

random.seed(0)
words = "a photo of the cat's toy isn't we'll they've I'm he'd ink-drawing watercolour, 4k 8K 1920x1080 :) !!! ... (masterpiece:1.3) [a|b] naïve façade ΣΑΣ ΟΔΟΣ ΣΟΣ ς σ İstanbul ıI ß ẞ ﬁ Ⅷ ① ½ ٣ १२ 日本語 中文 한국어 עברית العربية ไทย हिन्दी".split()
marks = ["<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|endoftext|> ", "</w>", "<cat-toy>", "<CAT-TOY>", "<cat-toy>_1", "Zyx", "zyx", " <left> ", " <right> ", "sks", "asks", "Big Word", "big word", "<exact>", "<EXACT>", "!", "!!", "! !", "a!b", "<|", "|>", "'S", "'t", "’s", "'ll've", "''", "'"]
spaces = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\x85", "\x1c", "\ufeff", "\x0b", "\x0c", "\u180e"]
emoji = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "✂", "©", "™️", "🧿", "🫠"]
combining = ["e\u0301", "n\u0303o", "a\u0323\u0302", "\u0301", "Å", "A\u030a", "ﬃ", "각", "각", "Ὀδυσσεύς", "क्षि", "\u0958", "가\u11a8", "Ǆ", "ŉ", "İ", "i\u0307"]
by_category = {}
for code in range(sys.maxunicode + 1):
    category = unicodedata.category(chr(code))
    if category != "Cs":
        by_category.setdefault(category, []).append(chr(code))

texts = ["", " ", "a", "A", "!", "a photo of a cat", "x" * 300, "ab" * 200, "é" * 120, "!" * 90, "1" * 90, "😀" * 40, "\u0301" * 50, "' " * 40, "a'" * 60]
texts += marks + spaces + emoji + combining + words
texts += [f"a{s}b" for s in spaces] + [f"{s}a{s}" for s in spaces] + [f"Σ{s}ΑΣ{s}" for s in spaces + marks]
for category, characters in sorted(by_category.items()):
    chosen = random.sample(characters, min(16, len(characters)))
    texts += ["".join(chosen[:4]), " ".join(chosen[4:8]), "a".join(chosen[8:12]), f"Σ{''.join(chosen[12:])}1'S"]
pool = words + marks + spaces + emoji + combining + [c for cs in by_category.values() for c in random.sample(cs, min(20, len(cs)))]
while len(texts) < 2100:
    texts.append("".join(random.choice(pool) + random.choice(["", "", " "]) for _ in range(random.randint(1, 7))))
texts = list(dict.fromkeys(texts))

cases = {}
for name, files in folders.items():
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder)
        (target / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf8")
        (target / "merges.txt").write_text(merges, "utf8")
        for file, content in files.items():
            (target / file).write_text(json.dumps(content), "utf8")
        tokenizer = CLIPTokenizerFast.from_pretrained(target)
        definition = json.loads(tokenizer.backend_tokenizer.to_str())
        for part in ("vocab", "merges"):  # the test puts them back
            del definition["model"][part]
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        cases[name] = {"files": files, "definition": definition, "pad": tokenizer.pad_token_id, "ids": ids}
first, *others = cases.values()
for other in others:  # only what differs from the first
    other["ids"] = {i: ids for i, (ids, same) in enumerate(zip(other["ids"], first["ids"])) if ids != same}
versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "unicode": unicodedata.unidata_version}
lines = ",\n".join(json.dumps(text) for text in texts)
tables = ",\n".join(f"{json.dumps(name)}: {json.dumps(case, separators=(',', ':'))}" for name, case in cases.items())
(here / "tokenizer.json").write_text(f'{{"versions": {json.dumps(versions)}, "texts": [\n{lines}\n], "tokenizers": {{\n{tables}\n}}}}\n')
print(len(texts), {name: len(case["ids"]) for name, case in cases.items()})
