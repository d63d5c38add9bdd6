"""Tokenizing line by line, each line once: rows made from templates, and tool schemas, repeat half of theirs.

Where Qwen3's split pattern is used, no piece reaches from a newline into what follows it, unless that is a space: so
a text's tokens are those of its lines, one after the other. Other tokenizers get each text whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from data_synth.writers.vocabulary import CLOCK_PATTERN, QWEN3_PATTERN

MOST_LINES = 50_000  # remembered at a time; some 50 MB
_LINE_START = re.compile(r"(?<=\n)(?=\S)")
_PATTERNS = (QWEN3_PATTERN, f"{CLOCK_PATTERN}|{QWEN3_PATTERN}")


@dataclass(frozen=True)
class Tokens:
    """Token ids and the character at which each begins, int32 [n] each."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int32]


class LineTokenizer:
    """Turns texts into the tokens that ``backend`` makes of them."""

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._known: dict[str, Tokens] = {}
        self.splits_lines = lines_stand_alone(json.loads(backend.to_str()))

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of each text, special tokens in it included and none added."""
        if len(self._known) > MOST_LINES or not self.splits_lines:
            self._known.clear()
        split = [_LINE_START.split(text) if self.splits_lines else [text] for text in texts]
        new = list(dict.fromkeys(line for lines in split for line in lines if line not in self._known))
        encodings = self._backend.encode_batch(new, add_special_tokens=False)
        self._known.update(zip(new, map(_tokens, encodings), strict=True))
        return [_join(lines, (self._known[line] for line in lines)) for lines in split]


def lines_stand_alone(tokenizer: dict[str, Any]) -> bool:
    """Whether a ``tokenizer.json`` is a byte-level BPE with Qwen3's split pattern, or ours with clock times."""
    steps = (tokenizer["pre_tokenizer"] or {}).get("pretokenizers", [])
    if [step["type"] for step in steps] != ["Split", "ByteLevel"] or tokenizer["model"]["type"] != "BPE":
        return False
    split, to_bytes = steps
    if split["pattern"].get("Regex") not in _PATTERNS or split["behavior"] != "Isolated" or split["invert"]:
        return False
    if to_bytes["add_prefix_space"] or to_bytes["use_regex"]:
        return False
    if (tokenizer["normalizer"] or {"type": "NFC"})["type"] != "NFC":
        return False
    flags = ("lstrip", "rstrip", "single_word", "normalized")
    return not any(
        "\n" in token["content"] or any(token[flag] for flag in flags) for token in tokenizer["added_tokens"]
    )


def _tokens(encoding: Encoding) -> Tokens:
    starts = [start for start, _ in encoding.offsets]
    return Tokens(np.array(encoding.ids, dtype=np.int32), np.array(starts, dtype=np.int32))


def _join(lines: Sequence[str], parts: Iterable[Tokens]) -> Tokens:
    """Tokens of the lines' text, from those of each line."""
    ids, starts, position = list[NDArray[np.int32]](), list[NDArray[np.int32]](), 0
    for line, part in zip(lines, parts, strict=True):
        ids.append(part.ids)
        starts.append(part.starts + np.int32(position))
        position += len(line)
    return Tokens(np.concatenate(ids), np.concatenate(starts))
