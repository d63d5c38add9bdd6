"""The figures of a result with their intervals, and which samples each is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from evaluation.report.results_folder import Entrant, Result, Sample
from evaluation.report.statistics import (
    Interval,
    Resampling,
    Test,
    compare,
    mean_interval,
    pass_hat,
    weighted_interval,
)

SAME = 6e-4
"""A figure is taken for the mean of these scores if it differs by no more: benchmarks round to three places."""
SAME_OF_SEVERAL = 2e-3
ACEBENCH_WEIGHTS = {"special": 0.2676, "agent": 0.1545, "normal": 0.578}
"""Of its three families in ``overall`` (chenchen0103/ACEBench 56dd66c)."""
BFCL_SIMPLE = ("simple", "java", "javascript")
NOT_SCORES = ("num_", "share_", "mean_")
type Scores = dict[str, list[float]]


@dataclass(frozen=True)
class Figure:
    """One figure; ``interval`` is None where it isn't made of samples' scores in a way known here."""

    name: str
    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Row:
    """A line of the breakdown by category."""

    group: str
    num_samples: int
    figures: list[Figure]


@dataclass(frozen=True)
class Difference:
    """Two entrants on the same part of a benchmark."""

    title: str
    figure: str
    first: str
    second: str
    test: Test


def figure_of(result: Result, name: str, group: str | None, resampling: Resampling) -> Figure:
    """A figure of the whole result or of one of its groups, which must have it."""
    named = next((g for g in result.groups if str(g["group"]) == group), {})
    value = float(result.metrics[name] if group is None else named[name])
    return Figure(name, value, _interval(result, name, group, value, resampling))


def all_figures(result: Result, resampling: Resampling) -> list[Figure]:
    """Those of the whole result."""
    return [figure_of(result, name, None, resampling) for name in result.metrics]


def breakdown(result: Result, resampling: Resampling) -> list[Row]:
    """The result's groups, where there are several."""
    return [
        Row(
            group=str(group["group"]),
            num_samples=group["num_samples"],
            figures=[
                figure_of(result, name, str(group["group"]), resampling)
                for name in group
                if name not in ("group", "num_samples")
            ],
        )
        for group in (result.groups if len(result.groups) > 1 else [])
    ]


def differences(entrants: Sequence[Entrant], resampling: Resampling) -> list[Difference]:
    """Every two entrants on every part of a benchmark of which they share ids."""
    found = []
    for first, second in combinations(entrants, 2):
        parts = {(result.benchmark, result.part): result for result in second.results}
        for result in first.results:
            other = parts.get((result.benchmark, result.part))
            for name in _score_names(result) if other else []:
                mine, theirs = _scores(result.samples, name), _scores(other.samples if other else [], name)
                if mine.keys() & theirs.keys():
                    test = compare(mine, theirs, resampling)
                    found.append(Difference(result.title, name, first.name, second.name, test))
    return found


def _score_names(result: Result) -> list[str]:
    return list(dict.fromkeys(name for sample in result.samples for name in sample.figures))


def _scores(samples: Sequence[Sample], name: str) -> Scores:
    """Scores of one name by id."""
    scores: Scores = {}
    for sample in samples:
        if name in sample.figures:
            scores.setdefault(sample.id, []).append(float(sample.figures[name]))
    return scores


def _interval(
    result: Result, name: str, group: str | None, value: float, resampling: Resampling
) -> Interval | None:
    """None unless the scores, put together as the figure says, give its value."""
    if not result.samples or name.startswith(NOT_SCORES) or (group is not None and not result.group_of):
        return None
    samples = [s for s in result.samples if group is None or result.group_of[s.id] == group]
    if scores := _mean_of(result, name, samples):
        found = mean_interval(scores, resampling)
        if abs(found.value - value) <= SAME:
            return found
    weights = _weights(result, name) if group is None else {}
    if not weights:
        return None
    groups = {key: _grouped(result, name, key) for key in weights}
    if not all(groups.values()):
        return None
    found = weighted_interval(groups, weights, resampling)
    return found if abs(found.value - value) <= SAME_OF_SEVERAL else None


def _mean_of(result: Result, name: str, samples: Sequence[Sample]) -> Scores:
    """The scores whose mean the figure may be: of its name, or of one that its name begins with."""
    own = next((key for key in _score_names(result) if name.startswith(key)), "score")
    scores = _scores(samples, own)
    if power := re.fullmatch(r"pass\^(\d+)", name):
        k = int(power[1])
        few = min(map(len, scores.values()), default=0)
        right = {key: sum(score == 1 for score in values) for key, values in scores.items()}
        return {key: [pass_hat(right[key], len(scores[key]), k)] for key in scores} if k <= few else {}
    if result.benchmark == "acebench" and all(
        result.group_of.get(s.id, "").startswith(_DIALOGUES) for s in samples
    ):
        return _dialogues(scores)
    return scores


_DIALOGUES = "normal_multi_turn"


def _dialogues(turns: Scores) -> Scores:
    """A dialogue is right where all its turns are; ids end in the turn's number."""
    dialogues: dict[str, list[float]] = {}
    for turn, values in turns.items():
        dialogues.setdefault(re.sub(r"_\d+$", "", turn), []).extend(values)
    return {key: [min(values)] for key, values in dialogues.items()}


def _grouped(result: Result, name: str, group: str) -> Scores:
    own = name.removesuffix("_mean_of_sets")
    return _mean_of(result, own, [s for s in result.samples if result.group_of.get(s.id) == group])


def _weights(result: Result, name: str) -> Mapping[str, float]:
    """A figure that is a weighted sum of groups' means: the weights, by group."""
    groups = {str(group["group"]): group["num_samples"] for group in result.groups}
    if name.endswith("_mean_of_sets"):
        return {group: 1 / len(groups) for group in groups}
    if result.benchmark == "bfcl_v3":
        return _bfcl_weights(name, groups)
    return _acebench_weights(name, groups) if result.benchmark == "acebench" else {}


def _acebench_weights(name: str, groups: Mapping[str, int]) -> dict[str, float]:
    """Categories weigh alike in their family, families by ``ACEBENCH_WEIGHTS``."""
    family = {g: next((f for f in ACEBENCH_WEIGHTS if g.startswith(f)), "normal") for g in groups}
    sizes = {f: list(family.values()).count(f) for f in ACEBENCH_WEIGHTS}
    if name == "overall":
        return {group: ACEBENCH_WEIGHTS[f] / sizes[f] for group, f in family.items()}
    return {group: 1 / sizes[f] for group, f in family.items() if f == name}


def _bfcl_weights(name: str, groups: Mapping[str, int]) -> dict[str, float]:
    """``non_live`` and ``multi_turn`` weigh categories alike, ``live`` by size, ``overall`` these three alike."""
    live = {group: size for group, size in groups.items() if group.startswith("live_")}
    turns = [group for group in groups if group.startswith("multi_turn_")]
    plain = [group for group in groups if group not in live and group not in turns]
    others = [group for group in plain if group not in BFCL_SIMPLE]
    parts = {
        "live": {group: size / sum(live.values()) for group, size in live.items()},
        "multi_turn": {group: 1 / len(turns) for group in turns},
        "non_live": {
            g: 1 / (3 * (len(others) + 1)) if g in BFCL_SIMPLE else 1 / (len(others) + 1) for g in plain
        },
    }
    if name == "overall" and all(parts.values()):
        return {group: weight / 3 for part in parts.values() for group, weight in part.items()}
    return parts.get(name, {})
