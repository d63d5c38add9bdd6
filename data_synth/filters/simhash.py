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
    """Finds, among the fingerprints added, one within ``distance`` bits; exact, some 50 bytes a fingerprint.

    Fingerprints are cut into four blocks of 16 bits. Where two differ in at most k bits, one of their blocks
    differs in at most k // 4 (the pigeonhole, as in Manku's tables; with k // 4 > 0 neighbouring keys are
    probed too, as in Norouzi 2012). What that yields is compared by popcount. The latest fingerprints wait
    unsorted, and are compared one by one, until they are worth a new sort.

    Raises:
        ValueError: ``distance`` is not from 0 to 64.
    """

    NUM_BLOCKS = 4
    BLOCK_BITS = NUM_BITS // NUM_BLOCKS
    MOST_RADIUS = 1
    """Beyond it there are more keys to probe than a scan of all fingerprints is worth."""
    FEWEST_WAITING = 1_024
    SHARE_WAITING = 64

    def __init__(self, distance: int) -> None:
        if not 0 <= distance <= NUM_BITS:
            raise ValueError(f"distance={distance}: a number of bits; use 0 to {NUM_BITS}")
        self.distance = distance
        self._hashes = np.empty(self.FEWEST_WAITING, dtype=np.uint64)
        self._size = 0
        self._num_sorted = 0
        self._blocks = list[_Block]()
        radius, last = divmod(distance, self.NUM_BLOCKS)
        radii = [radius if block <= last else radius - 1 for block in range(self.NUM_BLOCKS)]
        self._flips = (
            [_flips(self.BLOCK_BITS, radius) for radius in radii] if radius <= self.MOST_RADIUS else []
        )

    def __len__(self) -> int:
        return self._size

    def find(self, fingerprint: int) -> int | None:
        """The position (0 for the first added) of the earliest one within ``distance``; None where none is."""
        if self._flips:
            early = self._find_sorted(fingerprint)
            if early is not None:
                return early
        start = self._num_sorted
        near = self._near(self._hashes[start : self._size], fingerprint)
        return start + int(near[0]) if len(near) else None

    def add(self, fingerprint: int) -> int:
        """Add ``fingerprint``, whatever is near it; its position."""
        if self._size == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[self._size] = fingerprint
        self._size += 1
        waiting = self._size - self._num_sorted
        if self._flips and waiting > max(self.FEWEST_WAITING, self._num_sorted // self.SHARE_WAITING):
            self._sort()
        return self._size - 1

    def _near(self, hashes: NDArray[np.uint64], fingerprint: int) -> NDArray[np.intp]:
        return np.flatnonzero(np.bitwise_count(hashes ^ np.uint64(fingerprint)) <= self.distance)

    def _find_sorted(self, fingerprint: int) -> int | None:
        earliest: int | None = None
        for number, (block, flips) in enumerate(zip(self._blocks, self._flips, strict=False)):
            key = fingerprint >> number * self.BLOCK_BITS & (1 << self.BLOCK_BITS) - 1
            slices = [block.bounds(key ^ flip) for flip in flips]
            hashes = [block.hashes[bounds] for bounds in slices]
            near = self._near(hashes[0] if len(hashes) == 1 else np.concatenate(hashes), fingerprint)
            if len(near):
                positions = np.concatenate([block.positions[bounds] for bounds in slices])
                found = int(positions[near].min())
                earliest = found if earliest is None else min(earliest, found)
        return earliest

    def _sort(self) -> None:
        hashes = self._hashes[: self._size]
        shifts = range(0, NUM_BITS, self.BLOCK_BITS)
        self._blocks = [
            _Block(hashes, shift) for shift, flips in zip(shifts, self._flips, strict=True) if flips
        ]
        self._num_sorted = self._size


class _Block:
    """Fingerprints in the order of their 16 bits from ``shift`` on."""

    def __init__(self, hashes: NDArray[np.uint64], shift: int) -> None:
        keys = (hashes >> np.uint64(shift)).astype(np.uint16)
        order = np.argsort(keys, kind="stable")
        self.positions = order.astype(np.uint32)
        self.hashes = hashes[order]
        counts = np.bincount(keys, minlength=1 << SimHashIndex.BLOCK_BITS)
        self.ends = np.cumsum(counts, dtype=np.uint32)

    def bounds(self, key: int) -> slice:
        return slice(self.ends[key - 1] if key else 0, self.ends[key])


def _flips(num_bits: int, radius: int) -> list[int]:
    """The masks of at most ``radius`` bits (0 or 1), none where it is negative."""
    if radius < 0:
        return []
    return [0, *(1 << bit for bit in range(num_bits))] if radius else [0]
