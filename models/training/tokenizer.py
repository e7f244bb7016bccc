"""A byte-level BPE tokenizer like CLIP's, small because its words are the captions' words.

    python tokenizer.py --out runs/tokenizer

Writes vocab.json, merges.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json, which any CLIP
tokenizer loads. Text is lower-cased, white space is collapsed, words end in `</w>`, and every byte has a token, so
that any text can be encoded.
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np

MAX_LENGTH = 48
START, END = "<|startoftext|>", "<|endoftext|>"
#: CLIP's pattern; [^\W\d_] are the letters and \d the digits, one at a time.
PIECES = re.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE
)
PIECES_FOR_JSON = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def byte_characters() -> dict[int, str]:
    """CLIP's printable character for every byte, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


BYTE_CHARACTERS = byte_characters()


def split_words(text: str) -> list[tuple[str, ...]]:
    """Words as tuples of characters for bytes, the last one with `</w>`."""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip().lower()
    words = []
    for piece in PIECES.findall(text):
        characters = [BYTE_CHARACTERS[byte] for byte in piece.encode("utf-8")]
        words.append((*characters[:-1], characters[-1] + "</w>"))
    return words


def merge_pair(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """Join every occurrence of the pair in a word."""
    merged, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            merged.append(word[i] + word[i + 1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


class Tokenizer:
    """Encode text to ids with given merges (see the module's docstring)."""

    def __init__(self, merges: list[tuple[str, str]]) -> None:
        characters = list(BYTE_CHARACTERS.values())
        tokens = characters + [c + "</w>" for c in characters] + ["".join(pair) for pair in merges] + [START, END]
        self.merges = merges
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.encode_word = lru_cache(maxsize=65536)(self._encode_word)

    @classmethod
    def train(cls, texts: list[str], minimum: int = 2) -> "Tokenizer":
        """Learn merges until every pair that occurs `minimum` times is one token."""
        counts = Counter(word for text in texts for word in split_words(text))
        merges: list[tuple[str, str]] = []
        while True:
            pairs: Counter[tuple[str, str]] = Counter()
            for word, count in counts.items():
                for pair in zip(word, word[1:]):
                    pairs[pair] += count
            if not pairs:
                break
            best = max(pairs, key=lambda pair: (pairs[pair], pair))
            if pairs[best] < minimum:
                break
            merges.append(best)
            renamed: Counter[tuple[str, ...]] = Counter()
            for word, count in counts.items():
                renamed[merge_pair(word, best)] += count
            counts = renamed
        return cls(merges)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
        return cls([tuple(line.split(" ")) for line in lines if line])

    def _encode_word(self, word: tuple[str, ...]) -> tuple[int, ...]:
        while len(word) > 1:
            best = min(zip(word, word[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            word = merge_pair(word, best)
        return tuple(self.ids[token] for token in word)

    def __call__(self, text: str) -> list[int]:
        """MAX_LENGTH ids: start, the text (cut where too long), end, and end again as padding."""
        ids = [i for word in split_words(text) for i in self.encode_word(word)][: MAX_LENGTH - 2]
        return [self.ids[START], *ids] + [self.ids[END]] * (MAX_LENGTH - 1 - len(ids))

    def save(self, folder: Path) -> None:
        """Write the files that CLIP tokenizers read."""
        folder.mkdir(parents=True, exist_ok=True)

        def write_json(name: str, value: object) -> None:
            (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

        merges = [" ".join(pair) for pair in self.merges]
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
        write_json("vocab.json", self.ids)
        special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
        write_json("special_tokens_map.json", special)
        write_json(
            "tokenizer_config.json",
            {
                "tokenizer_class": "CLIPTokenizer",
                "model_max_length": MAX_LENGTH,
                "do_lower_case": True,
                "add_prefix_space": False,
                "errors": "replace",
                **special,
            },
        )
        added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        write_json(
            "tokenizer.json",
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [{"id": self.ids[token], "content": token, **added} for token in (START, END)],
                "normalizer": {
                    "type": "Sequence",
                    "normalizers": [
                        {"type": "NFC"},
                        {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
                        {"type": "Lowercase"},
                    ],
                },
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": PIECES_FOR_JSON}, "behavior": "Removed", "invert": True},
                        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                    ],
                },
                "post_processor": {
                    "type": "RobertaProcessing",
                    "sep": [END, self.ids[END]],
                    "cls": [START, self.ids[START]],
                    "trim_offsets": False,
                    "add_prefix_space": False,
                },
                "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                "model": {
                    "type": "BPE",
                    "dropout": None,
                    "unk_token": END,
                    "continuing_subword_prefix": "",
                    "end_of_word_suffix": "</w>",
                    "fuse_unk": False,
                    "vocab": self.ids,
                    "merges": merges,
                },
            },
        )


def sample_captions(number: int, seed: int = 0) -> list[str]:
    """Captions of scenes as training makes them; small pictures are drawn to get their phrases."""
    from captions import caption
    from render import random_record
    from scenes import draw_scene

    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(number // 4):
        _, content, _ = draw_scene(rng, 8)
        texts += [caption(rng, random_record(rng, content), True) for _ in range(4)]
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--captions", type=int, default=20_000)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.train(sample_captions(arguments.captions))
    tokenizer.save(arguments.out)
    print(f"{len(tokenizer.ids)} tokens")


if __name__ == "__main__":
    main()
