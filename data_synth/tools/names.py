"""Names of tools: legal for every model's chat format, and unique in a collection."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from data_synth.tools.words import words_of

MAX_LENGTH = 64
RESERVED = frozenset(["reply"])
"""The special tool of long-horizon rows (section 3.5), which talks to the user."""

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]+")
_DIGEST = 8
_ASKING = frozenset(
    ["get", "list", "find", "fetch", "search", "calculate", "compute", "retrieve", "lookup", "query"]
)


def legal_name(name: str) -> str:
    """``name`` in the characters that models' tools may have, accents removed, at most 64 of them.

    What is cut off, or can't be written in them at all, is replaced by a hash of the whole, so that different names
    stay different. Empty where there is no letter or digit.
    """
    if not any(character.isalnum() for character in name):
        return ""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    legal = _ILLEGAL.sub("_", ascii_name).strip("_-")
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    if not any(character.isalpha() for character in legal):
        return "_".join(part for part in ("tool", legal[:40], digest) if part)
    if len(legal) > MAX_LENGTH:
        return f"{legal[: MAX_LENGTH - _DIGEST - 1].rstrip('_-')}_{digest}"
    return legal


def unique_name(name: str, taken: set[str]) -> str:
    """``name``, with a number behind it where it is taken or reserved; it is taken then."""
    number, chosen = 1, name
    while chosen in taken or chosen in RESERVED:
        number += 1
        chosen = f"{name[: MAX_LENGTH - 1 - len(str(number))]}_{number}"
    taken.add(chosen)
    return chosen


def result_name(tool_name: str) -> str:
    """What to call the one thing that a tool returns: ``get_exchange_rate`` returns an ``exchange_rate``."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", tool_name)]
    if len(words) < 2 or words_of(words[0])[0] not in _ASKING:
        return "result"
    about = words[1:]
    for stop in ("by", "for", "of", "from", "in", "at", "with", "between", "to", "on"):
        if stop in about:
            about = about[: about.index(stop)]
    return "_".join(about)[:MAX_LENGTH] or "result"
