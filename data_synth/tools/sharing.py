"""The pairs of the parameter sharing graph: tools that can be given the same values.

A shared parameter is worth its rarity (times 0.9 where only its name says so and no kind does). Two tools' score is
what they share over that and what else they require: 1 where the same values are all that either needs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_synth.tools.dependency import Features
from data_synth.tools.dependency_match import KIND_BASE, NAME_BASE, OTHER_DOMAIN, SCORE_UNIT, rarity
from data_synth.tools.dependency_rank import ranks, smallest
from data_synth.tools.dependency_terms import Slot
from data_synth.tools.settings import GraphSettings

type Same = tuple[str, str]
"""Key and type of a term: parameters that agree in both can be given one value."""

type Pair = tuple[str, str, int, str]
"""Parameter of the one tool, of the other, score in ``1 / SCORE_UNIT``, reason."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Tools ``one`` < ``other`` (numbers of tools) share ``pairs`` of parameters."""

    one: int
    other: int
    score: int
    pairs: tuple[Pair, ...]


def shared_parameters(features: Features, settings: GraphSettings) -> list[Sharing]:
    """The best partners of every tool, none with more than ``shared_per_tool``, by the tools' order."""
    index = _Index(features)
    wanted: dict[tuple[int, int], tuple[int, int]] = {}
    for tool in range(len(features.names)):
        for other, score, key in index.partners(tool, settings):
            wanted[min(tool, other), max(tool, other)] = (key, score)
    chosen = _within_degree(wanted, settings.shared_per_tool)
    return [Sharing(one, other, wanted[one, other][1], index.pairs(one, other)) for one, other in chosen]


class _Index:
    """Who takes which value, and what it is worth (whole numbers, so that no order of sums matters)."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.taken = [_by_value(found) for found in features.slots]
        self.worth = {key: _worth(key, features) for key in features.counts}
        holders: dict[Same, list[int]] = defaultdict(list)
        for tool, taken in enumerate(self.taken):
            for same in taken:
                holders[same].append(tool)
        self.holders = {same: np.array(tools, np.int64) for same, tools in holders.items()}
        self.requires = {
            same: np.array([self.taken[tool][same].is_required for tool in tools], np.int64)
            for same, tools in holders.items()
        }
        self.required = np.array(
            [sum(self.worth[key] for (key, _), slot in t.items() if slot.is_required) for t in self.taken],
            np.int64,
        )

    def partners(self, tool: int, settings: GraphSettings) -> list[tuple[int, int, int]]:
        """The best partners of one tool: number, score, rank."""
        shared, covered = self._overlap(tool)
        others = np.flatnonzero(shared)
        if not len(others):
            return []
        asked = shared[others] + self.required[tool] + self.required[others] - covered[others]
        numbers, domains = self.features.numbers, self.features.domains
        near = np.where(domains[others] == domains[tool], 1.0, OTHER_DOMAIN)
        scores = np.floor(shared[others] / asked * near * SCORE_UNIT + 0.5).astype(np.int64)
        first, second = np.minimum(others, tool), np.maximum(others, tool)
        keys = ranks(scores, numbers[first], numbers[second])
        return [
            (int(others[place]), int(scores[place]), int(keys[place]))
            for place in smallest(keys[None, :], settings.shared_per_tool)[0].tolist()
            if scores[place] >= settings.min_shared * SCORE_UNIT
        ]

    def _overlap(self, tool: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For every other tool: worth of what both take, and of that what either requires, counted for each."""
        shared = np.zeros(len(self.taken), np.int64)
        covered = np.zeros(len(self.taken), np.int64)
        for same, slot in self.taken[tool].items():
            worth, holders = self.worth[same[0]], self.holders[same]
            shared[holders] += worth
            covered[holders] += worth * (self.requires[same] + int(slot.is_required))
        shared[tool] = 0
        return shared, covered

    def pairs(self, one: int, other: int) -> tuple[Pair, ...]:
        """What two tools share, best first."""
        found = list[Pair]()
        for same, slot in self.taken[one].items():
            partner = self.taken[other].get(same)
            if partner:
                term = slot.term
                reason = f"kind {term.kind}" if term.kind else f"same name and type: {term.label}"
                found.append((slot.parameter, partner.parameter, self.worth[same[0]], reason))
        return tuple(sorted(found, key=lambda pair: (-pair[2], pair[0])))


def _by_value(found: list[Slot]) -> dict[Same, Slot]:
    """The first parameter of each value, required ones first."""
    taken: dict[Same, Slot] = {}
    for slot in sorted(found, key=lambda slot: not slot.is_required):
        taken.setdefault((slot.term.key, slot.term.type), slot)
    return taken


def _worth(key: str, features: Features) -> int:
    base = KIND_BASE if key.startswith("=") else NAME_BASE
    return round(base * rarity(features.counts[key], len(features.names)) * SCORE_UNIT)


def _within_degree(wanted: dict[tuple[int, int], tuple[int, int]], number: int) -> list[tuple[int, int]]:
    """The best pairs first, as long as neither tool has ``number`` partners; sorted by the tools."""
    degrees: dict[int, int] = defaultdict(int)
    chosen = []
    for pair in sorted(wanted, key=lambda pair: (wanted[pair][0], pair)):
        if all(degrees[tool] < number for tool in pair):
            chosen.append(pair)
            for tool in pair:
                degrees[tool] += 1
    return sorted(chosen)
