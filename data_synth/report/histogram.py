"""Counts and samples of a stream in memory that doesn't grow with it; the same for the same stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST_BINS = 48


@dataclass(slots=True)
class Histogram:
    """Counts of whole numbers in at most ``MOST_BINS`` bins of one width, which doubles when their range outgrows it.

    Bin ``b`` holds the values from ``b·width`` to ``b·width + width - 1``.
    """

    width: int = 1
    bins: Counter[int] = field(default_factory=Counter)
    num_values: int = 0
    total: int = 0
    low: int = 0
    high: int = 0

    def add(self, value: int) -> None:
        """Count ``value``."""
        self.low = min(self.low, value) if self.num_values else value
        self.high = max(self.high, value) if self.num_values else value
        self.num_values += 1
        self.total += value
        self.bins[value // self.width] += 1
        while self.high // self.width - self.low // self.width >= MOST_BINS:
            self.widen(2 * self.width)

    def widen(self, width: int) -> None:
        """Merge bins to the larger ``width``, a multiple of the present one."""
        bins, factor = Counter[int](), width // self.width
        for place, count in self.bins.items():
            bins[place // factor] += count
        self.bins, self.width = bins, width

    @property
    def mean(self) -> float:
        return self.total / self.num_values if self.num_values else 0.0


class EvenSample[Item]:
    """At most ``size`` items of a stream, evenly spaced from its first: every second, fourth, … as it goes on."""

    def __init__(self, size: int) -> None:
        self._size, self._stride, self._seen = size, 1, 0
        self._items: list[Item] = []

    def add(self, item: Item) -> None:
        """Take ``item`` if it stands at a multiple of the stride."""
        if self._seen % self._stride == 0:
            self._items.append(item)
            if len(self._items) > self._size:
                self._items = self._items[::2]
                self._stride *= 2
        self._seen += 1

    def take(self, most: int) -> list[Item]:
        """``most`` of the items or all there are, evenly spaced, in order."""
        most = min(most, len(self._items))
        return [self._items[k * len(self._items) // most] for k in range(most)]
