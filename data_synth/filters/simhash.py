"""SimHash (Manku 2007): 64-bit fingerprints that differ in few bits where texts differ in few words.

A feature is a word, or two neighbouring Chinese characters; its weight is how often it occurs. Bit i of the
fingerprint is the weighted majority of the features' bits i. Each feature's bits lie in the lanes of one long
integer, so that adding integers counts all 64 of them at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

NUM_BITS = 64
MOST_FEATURES = 65_535
"""Of a text; the rest is ignored, since a lane counts no further."""
BATCH = 4_096
KEY_MASK = 0xFFFF
"""The 16 bits of a block."""
_LANE_BYTES = 2
_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff"
_RUN = re.compile(rf"[{_CHINESE}]+|[^\W{_CHINESE}]+")


def simhash(text: str) -> int:
    """The fingerprint of ``text``; 0 where it has no word."""
    return int(simhashes([text])[0])


def simhashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """The fingerprint of each text, uint64 [n]; faster than one by one."""
    left = iter(texts)
    parts = [np.empty(0, dtype=np.uint64)]
    while batch := list(islice(left, BATCH)):
        lanes, sizes = bytearray(), list[int]()
        for text in batch:
            listed = features(text)
            del listed[MOST_FEATURES:]
            lanes += sum(map(_lanes, listed)).to_bytes(NUM_BITS * _LANE_BYTES, "little")
            sizes.append(len(listed))
        counts = np.frombuffer(lanes, dtype="<u2").reshape(-1, NUM_BITS)
        ones = counts.astype(np.int32) * 2 > np.array(sizes, dtype=np.int32)[:, None]
        parts.append(np.packbits(ones, axis=1, bitorder="little").view("<u8").astype(np.uint64)[:, 0])
    return np.concatenate(parts)


def features(text: str) -> list[str]:
    """Words in lower case, and pairs of neighbouring Chinese characters (one alone stands for itself)."""
    listed = _RUN.findall(text.lower())
    if text.isascii():
        return listed
    return [feature for run in listed for feature in _split(run)]


def _split(run: str) -> Iterator[str]:
    if not "\u3400" <= run[0] <= "\u9fff" or len(run) == 1:
        return iter((run,))
    return map("".join, pairwise(run))


@lru_cache(maxsize=200_000)
def feature_hash(feature: str) -> int:
    """64 bits, the same in every process."""
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=NUM_BITS // 8).digest()
    return int.from_bytes(digest, "little")


@lru_cache(maxsize=200_000)
def _lanes(feature: str) -> int:
    """The feature's 64 bits, bit i in lane i."""
    hashed = np.frombuffer(feature_hash(feature).to_bytes(NUM_BITS // 8, "little"), dtype=np.uint8)
    bits = np.unpackbits(hashed, bitorder="little")
    return int.from_bytes(bits.astype("<u2").tobytes(), "little")


class SimHashIndex:
    """Finds, among the fingerprints added, one within ``distance`` bits; exact, some 200 bytes a fingerprint.

    Fingerprints are cut into four blocks of 16 bits. Where two differ in at most k bits, one of their blocks
    differs in at most k // 4 (the pigeonhole, as in Manku's tables; with k // 4 > 0 neighbouring keys are
    probed too, as in Norouzi 2012). What stands under these keys is compared by popcount.

    Raises:
        ValueError: ``distance`` is not from 0 to 64.
    """

    NUM_BLOCKS = 4
    BLOCK_BITS = NUM_BITS // NUM_BLOCKS
    MOST_RADIUS = 1
    """Beyond it there are more keys to probe than a scan of all fingerprints is worth."""

    def __init__(self, distance: int) -> None:
        if not 0 <= distance <= NUM_BITS:
            raise ValueError(f"distance={distance}: a number of bits; use 0 to {NUM_BITS}")
        self.distance = distance
        self._size = 0
        self._positions: dict[int, int] = {}
        radius, last = divmod(distance, self.NUM_BLOCKS)
        radii = [radius if block <= last else radius - 1 for block in range(self.NUM_BLOCKS)]
        if radius > self.MOST_RADIUS:
            radii = []
        self._blocks: list[tuple[int, list[int], dict[int, list[int]]]] = [
            (block * self.BLOCK_BITS, _flips(self.BLOCK_BITS, own), {})
            for block, own in enumerate(radii)
            if own >= 0
        ]

    def __len__(self) -> int:
        return self._size

    def find(self, fingerprint: int) -> int | None:
        """The position (0 for the first added) of the earliest one within ``distance``; None where none is."""
        distance, near = self.distance, list[int]()
        if not self._blocks:
            found = (
                p for other, p in self._positions.items() if (other ^ fingerprint).bit_count() <= distance
            )
            return next(found, None)
        for shift, flips, buckets in self._blocks:
            key = fingerprint >> shift & KEY_MASK
            for flip in flips:
                for other in buckets.get(key ^ flip, ()):
                    if (other ^ fingerprint).bit_count() <= distance:
                        near.append(self._positions[other])
        return min(near, default=None)

    def add(self, fingerprint: int) -> int:
        """Add ``fingerprint``, whatever is near it; its position."""
        if fingerprint not in self._positions:
            self._positions[fingerprint] = self._size
            for shift, _, buckets in self._blocks:
                buckets.setdefault(fingerprint >> shift & KEY_MASK, []).append(fingerprint)
        self._size += 1
        return self._size - 1


def _flips(num_bits: int, radius: int) -> list[int]:
    """The masks of at most ``radius`` bits, 0 or 1."""
    return [0, *(1 << bit for bit in range(num_bits))] if radius else [0]
