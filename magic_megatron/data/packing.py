"""Best-fit packing of rows into packs of one length, decided by lengths and a seed alone.

Nothing here knows the layout: the same seed gives the same packs on one process and on a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


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

    def sum_over(self, values: IntArray) -> IntArray:
        """Sum of a value per row ``[num_rows]`` over the rows of each pack ``[P]``."""
        return np.add.reduceat(values[self.rows], self.bounds[:-1])


def padded_lengths[L: (int, IntArray)](lengths: L, multiple: int) -> L:
    """``lengths`` rounded up to multiples of ``multiple``."""
    return -(-lengths // multiple) * multiple


def pack_rows(lengths: IntArray, sequence_length: int, multiple: int, seed: int, epoch: int) -> Packs:
    """Pack every row that fits, none cut: shuffle, best fit by decreasing length, shuffle the packs.

    Since best fit sees the rows in order of length, every epoch has the same number of packs; the shuffle
    decides which of the rows of one length goes where, and in which order the packs come.

    Args:
        lengths: tokens of each row [num_rows]; rows longer than ``sequence_length`` are left out.
        sequence_length: tokens of a pack, a multiple of ``multiple``.
        multiple: what each row's length is rounded up to inside a pack.
        seed: of the whole run.
        epoch: which pass over the rows, from 0.
    """
    assert sequence_length % multiple == 0
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(np.flatnonzero(lengths <= sequence_length))
    units = padded_lengths(lengths[order], multiple) // multiple
    by_length = np.argsort(-units, kind="stable")
    order, units = order[by_length], units[by_length]
    pack_of, num_packs = _best_fit(units, sequence_length // multiple)
    pack_of = random.permutation(num_packs)[pack_of]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(pack_of, minlength=num_packs))])
    return Packs(order[np.argsort(pack_of, kind="stable")], bounds.astype(np.int64))


def _best_fit(units: IntArray, capacity: int) -> tuple[IntArray, int]:
    """Give each item the fullest pack that still has room for it, and a new one where none has.

    Open packs lie in stacks by the room they have left. Which stacks hold any is one bit each of a Python
    integer, so the fullest pack with enough room is a shift and a lowest set bit away.
    """
    open_packs: list[list[int]] = [[] for _ in range(capacity + 1)]
    occupied, num_packs = 0, 0
    pack_of = np.empty(len(units), dtype=np.int64)
    for i, unit in enumerate(units.tolist()):
        roomy = occupied >> unit
        if roomy:
            room = unit + (roomy & -roomy).bit_length() - 1
            pack = open_packs[room].pop()
            if not open_packs[room]:
                occupied ^= 1 << room
        else:
            room, pack = capacity, num_packs
            num_packs += 1
        pack_of[i] = pack
        left = room - unit
        if left:
            open_packs[left].append(pack)
            occupied |= 1 << left
    return pack_of, num_packs
