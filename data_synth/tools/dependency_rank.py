"""The order in which links compete for the places that a parameter and a tool have: by score, ties shuffled by name.

Ties are broken by a mix of the two tools' names, so that a hundred producers of ``city`` don't all give way to the
same twelve, and a tool that is added or removed leaves the order of the others as it was.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from data_synth.tools.dependency_match import SCORE_UNIT

_MULTIPLIER = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_TIE_BITS = 48


def name_number(name: str) -> int:
    """A 64-bit number of a tool's name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def rank(score: int, first: int, second: int) -> int:
    """What links are sorted by, smallest first, from the score (in ``1 / SCORE_UNIT``) and the tools' numbers."""
    mixed = ((first ^ (second >> 1)) * _MULTIPLIER) & _MASK
    return ((SCORE_UNIT - score) << _TIE_BITS) | (mixed >> (64 - _TIE_BITS))


def ranks(
    scores: NDArray[np.int64], first: NDArray[np.uint64], second: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """``rank`` of whole arrays, broadcast."""
    mixed = (first ^ (second >> np.uint64(1))) * np.uint64(_MULTIPLIER)
    return ((SCORE_UNIT - scores).astype(np.uint64) << np.uint64(_TIE_BITS)) | (
        mixed >> np.uint64(64 - _TIE_BITS)
    )


def smallest(keys: NDArray[np.uint64], number: int) -> NDArray[np.intp]:
    """Columns of the ``number`` smallest keys of each row, in their order; ``[rows, ≤ number]``."""
    if number < keys.shape[1]:
        places = np.argpartition(keys, number - 1, axis=1)[:, :number]
    else:
        places = np.broadcast_to(np.arange(keys.shape[1]), keys.shape)
    order = np.argsort(np.take_along_axis(keys, places, axis=1), axis=1)
    return np.take_along_axis(places, order, axis=1)
