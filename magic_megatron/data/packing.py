"""Packing of rows into sequences of one length, decided by their lengths and a seed alone.

Nothing here knows the layout: the same seed gives the same packs on one process and on a thousand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from magic_megatron.data.mixture import IntArray, Mixture


@dataclass(frozen=True)
class Packs:
    """The packs of one epoch: pack ``i`` holds ``rows[bounds[i]:bounds[i + 1]]``.

    Attributes:
        rows: row numbers, pack after pack [R].
        bounds: where each pack begins, and the end [P + 1].
    """

    rows: IntArray
    bounds: IntArray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, i: int) -> IntArray:
        """Row numbers of pack ``i``."""
        return self.rows[self.bounds[i] : self.bounds[i + 1]]


def padded_lengths[L: (int, IntArray)](lengths: L, multiple: int) -> L:
    """``lengths`` rounded up to multiples of ``multiple``."""
    return -(-lengths // multiple) * multiple


class Packing:
    """Which rows share a pack in which epoch; no row is cut.

    How many rows of which length share a pack is decided by the lengths of an epoch's rows and the seed. Each epoch
    draws anew which of the rows of one length goes where, and the order of the packs.

    Args:
        lengths: tokens of each row [num_rows].
        sequence_length: tokens of a pack, a multiple of ``multiple``.
        multiple: what each row's length is rounded up to inside a pack.
        seed: of the whole run.
        mixture: the rows of each epoch, none of them longer than ``sequence_length``.
    """

    def __init__(
        self, lengths: IntArray, sequence_length: int, multiple: int, seed: int, mixture: Mixture
    ) -> None:
        assert sequence_length % multiple == 0
        self._units = padded_lengths(lengths, multiple) // multiple
        self._capacity, self._seed, self._mixture = sequence_length // multiple, seed, mixture
        self._filled: tuple[IntArray, tuple[IntArray, IntArray]] | None = None
        self._ends = [0]
        self.epoch = lru_cache(maxsize=2)(self._epoch)

    def num_packs(self, num_epochs: int) -> int:
        """Packs of the first ``num_epochs`` epochs. Where a weight is no whole number, epochs differ a little."""
        if self._mixture.is_constant:
            return num_epochs * len(self.epoch(0))
        while len(self._ends) <= num_epochs:
            self._ends.append(self._ends[-1] + len(self.epoch(len(self._ends) - 1)))
        return self._ends[num_epochs]

    def locate(self, index: int) -> tuple[int, int]:
        """Epoch of pack ``index`` of the endless sequence, and its place in it."""
        if self._mixture.is_constant:
            return divmod(index, len(self.epoch(0)))
        while self._ends[-1] <= index:
            self.num_packs(len(self._ends))
        epoch = bisect_right(self._ends, index) - 1
        return epoch, index - self._ends[epoch]

    def _epoch(self, number: int) -> Packs:
        """The packs of pass ``number`` over the rows, from 0."""
        rows = self._mixture.epoch(number)
        units = self._units[rows]
        by_length, sizes = self._fill(np.sort(units))
        random = np.random.default_rng([self._seed, number])
        shuffled = random.permutation(len(rows))
        placed = np.empty_like(rows)
        placed[by_length] = rows[shuffled[np.argsort(units[shuffled], kind="stable")]]
        starts = np.cumsum(sizes) - sizes
        order = random.permutation(len(sizes))
        bounds = np.concatenate([[0], np.cumsum(sizes[order])])
        moved = np.repeat(starts[order] - bounds[:-1], sizes[order])
        return Packs(placed[moved + np.arange(len(placed))], bounds)

    def _fill(self, units: IntArray) -> tuple[IntArray, IntArray]:
        """Places by the length that they are for [R], and the places in each pack [P], for sorted lengths."""
        if self._filled is None or not np.array_equal(self._filled[0], units):
            shuffled = np.random.default_rng(self._seed).permutation(units)
            filled, sizes = fill_packs(shuffled, self._capacity)
            self._filled = units, (np.argsort(filled, kind="stable"), sizes)
        return self._filled[1]


def fill_packs(units: IntArray, capacity: int) -> tuple[IntArray, IntArray]:
    """Fill one pack after the other to the brim, with items in the order given as far as that allows.

    An item is put into a pack if the room it leaves can still be filled up; if the next one isn't such, the
    longest that is takes its place. Items longer than half a pack, the hardest to complete, go first. Taking the
    others as they come keeps packs alike in their mixture, where best fit by decreasing length sorts them.

    What "can be filled" means is judged by the sums that the lengths at hand make, each used any number of times.
    They are found anew when one in 16 of the lengths has run out, which bounds the work where there are
    thousands. Sets of lengths and of sums are bits of Python integers, so a choice takes a few shifts.

    Args:
        units: lengths of the items [R], each at least 1 and at most ``capacity``.
        capacity: of a pack.

    Returns:
        Lengths of the items, pack after pack [R], and the number of items in each pack [P].
    """
    counts = np.bincount(units, minlength=capacity + 1).tolist()
    present = sum(1 << length for length, count in enumerate(counts) if count)
    coming = _Queue(units.tolist(), capacity)
    filled, sizes, gone, known = list[int](), list[int](), 1, 0
    while present:
        if gone * 16 > known:
            sums, mirrored = _sums(present, capacity)
            gone, known = 0, present.bit_count()
        room, size = capacity, 0
        while fitting := present & ((2 << room) - 1):
            goal = (sums & ((2 << room) - 1)).bit_length() - 1
            allowed = fitting & (mirrored >> (capacity - goal)) or fitting
            length = coming.take(allowed, longest=2 * fitting.bit_length() - 2 > capacity)
            room, size = room - length, size + 1
            filled.append(length)
            counts[length] -= 1
            if not counts[length]:
                present ^= 1 << length
                gone += 1
        sizes.append(size)
    return np.array(filled, dtype=np.int64), np.array(sizes, dtype=np.int64)


class _Queue:
    """Items in their order, from which others than the first can be taken: only lengths matter, so whichever
    item of that length comes next stands for the one taken and is skipped."""

    def __init__(self, items: list[int], capacity: int) -> None:
        self._items = deque(items)
        self._taken_early = [0] * (capacity + 1)

    def take(self, allowed: int, longest: bool) -> int:
        """The first item if its bit is set in ``allowed`` and ``longest`` isn't asked for, else the longest."""
        while self._items and self._taken_early[self._items[0]]:
            self._taken_early[self._items.popleft()] -= 1
        if not longest and allowed >> self._items[0] & 1:
            return self._items.popleft()
        length = allowed.bit_length() - 1
        self._taken_early[length] += 1
        return length


def _sums(lengths: int, capacity: int) -> tuple[int, int]:
    """Sums up to ``capacity`` of any number of the ``lengths`` (a bit each), and the same read backwards.

    Bit ``capacity - s`` of the mirror stands for sum ``s``. So after a shift by ``capacity - goal``, bit ``l``
    says whether ``goal - l`` is a sum, for all lengths ``l`` at once.
    """
    sums, whole = 1, (2 << capacity) - 1
    for length in range(1, capacity + 1):
        if lengths >> length & 1:
            step = length
            while step <= capacity:
                sums |= sums << step & whole
                step *= 2
    return sums, int(format(sums, f"0{capacity + 1}b")[::-1], 2)
