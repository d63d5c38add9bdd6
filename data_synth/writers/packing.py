"""Best-fit decreasing: the longest first, each into the fullest pack that still takes it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def best_fit_decreasing(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Positions in ``lengths``, pack by pack; O(n log n) comparisons.

    At most one pack is half full or less: what lies in a second such pack would have gone into the first.

    Args:
        lengths: each from 1 to ``size``; equal ones go in their order.
        size: what a pack takes.
    """
    packs = list[list[int]]()
    room = list[tuple[int, int]]()  # (what is left, pack), sorted
    for position in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
        length = lengths[position]
        place = bisect_left(room, (length, -1))
        if place == len(room):
            packs.append([position])
            left, pack = size - length, len(packs) - 1
        else:
            left, pack = room.pop(place)
            packs[pack].append(position)
            left -= length
        if left:
            insort(room, (left, pack))
    return packs
