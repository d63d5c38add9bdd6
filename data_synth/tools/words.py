"""What a name is about: its words, which of them say nothing alone, and what stands around it.

``id``, ``name`` or ``status`` are in every other tool and mean something else in each. Such a name only counts with
what it belongs to: ``hotels[0].id`` is a hotel's id, and so is the parameter ``id`` of ``get_hotel``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from data_synth.package_data import read_yaml

type Words = tuple[str, ...]

_WORD = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_LISTS = read_yaml("data_synth.tools", "words.yaml")
_ABBREVIATIONS: dict[str, str] = _LISTS["abbreviations"]
GENERIC = frozenset(_LISTS["generic"].split())
SETTINGS = frozenset(_LISTS["settings"].split())
"""Parameters that say how to ask, which no other tool's output fills."""
ABOUT_THE_CALL = frozenset(_LISTS["about_the_call"].split())
"""Parts of an answer that are about the call, not about what was asked for."""
_MANNERS = frozenset(_LISTS["manners"].split())
_OPPOSITES = frozenset(frozenset(pair.split()) for pair in _LISTS["opposites"])
_VERBS = frozenset(_LISTS["verbs"].split())
_FILLERS = frozenset(_LISTS["fillers"].split())
_MAX_CONTEXT = 3


@lru_cache(maxsize=1 << 17)
def words_of(name: str) -> Words:
    """Lower-case words of an identifier or phrase, in the singular, abbreviations written out."""
    found = (_singular(word.lower()) for word in _WORD.findall(name))
    return tuple(_ABBREVIATIONS.get(word, word) for word in found)


@lru_cache(maxsize=1 << 16)
def subject_of(tool_name: str) -> Words:
    """The words of a tool's name that say what it is about: ``get_order_details_by_id`` → ``("order",)``.

    The first word may be a verb that is also a noun (``order_pizza``); later ones then are not.
    """
    words = words_of(tool_name.split("_for_")[0])
    manner = next((place for place, word in enumerate(words) if place and word in _MANNERS), len(words))
    told = [
        word
        for place, word in enumerate(words[:manner])
        if not is_generic(word) and word not in (_VERBS if place == 0 else _FILLERS)
    ]
    return tuple(dict.fromkeys(told))[-_MAX_CONTEXT:]


def qualified(name: str, around: Iterable[Words]) -> Words:
    """The words of ``name``, with the nearest telling words around it in front where they say nothing alone.

    Returns:
        The words; none where nothing around it tells more.
    """
    words = words_of(name)
    if not says_nothing(words):
        return words
    for context in around:
        if not says_nothing(context):
            return tuple(dict.fromkeys((*context, *words)))
    return ()


def says_nothing(words: Iterable[str]) -> bool:
    """Whether every word is generic."""
    return all(is_generic(word) for word in words)


def is_generic(word: str) -> bool:
    """Whether a word doesn't tell alone what a value is: those of the list, single Latin letters and numbers."""
    return word in GENERIC or word.isdecimal() or (len(word) == 1 and word.isascii())


def are_opposed(one: Words, other: Words) -> bool:
    """Whether a word of one name is the opposite of a word of the other: ``min price``, ``max price``."""
    ones, others = set(one), set(other)
    return any(frozenset((a, b)) in _OPPOSITES for a in ones - others for b in others - ones)


def _singular(word: str) -> str:
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "ches", "shes", "zes")) and not word.endswith(("uses", "ases")):
        return word[:-2]
    return word[:-1]
