"""The graphs as one would write them on paper: every pair of tools, every field against every parameter.

The tests and the benchmark hold the fast way against it; what two terms have to do with one another is the same code.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from data_synth.tools.dependency import Embed, Features
from data_synth.tools.dependency_match import NAME_BASE, OTHER_DOMAIN, SCORE_UNIT, Match, Matcher, rarity
from data_synth.tools.dependency_rank import name_number, rank
from data_synth.tools.dependency_terms import Leaf, Slot, leaves, slots
from data_synth.tools.settings import GraphSettings
from data_synth.tools.tool import Tool

type Edge = tuple[str, str]


def all_pairs_links(
    tools: Mapping[str, Tool], settings: GraphSettings, embed: Embed | None = None
) -> dict[Edge, list[dict[str, Any]]]:
    """``{(source, target): [{"parameter", "path", "score", "reason"}]}``, best first."""
    features = Features.of(tools, with_text=embed is not None)
    matcher = features.matcher(settings)
    links = []
    for consumer in tools.values():
        for slot in slots(consumer, embed is not None):
            if not slot.is_required:
                continue
            offers = []
            for producer in tools.values():
                best = _best_leaf(producer, slot, features, matcher, embed)
                if best and producer.name != consumer.name:
                    score = math.floor(best[0] * _nearness(producer, consumer) * SCORE_UNIT + 0.5)
                    key = rank(score, name_number(producer.name), name_number(consumer.name))
                    offers.append((key, producer.name, score, best[1], best[2]))
            for key, name, score, path, reason in sorted(offers)[: settings.producers_per_parameter]:
                if score >= settings.min_score * SCORE_UNIT:
                    links.append((name, key, consumer.name, slot.parameter, path, score, reason))
    order = {name: place for place, name in enumerate(tools)}
    edges: dict[Edge, list[dict[str, Any]]] = {}
    for name in tools:
        leaving = [link for link in links if link[0] == name]
        leaving.sort(key=lambda link: (link[1], order[link[2]], link[3]))
        for _, _, target, parameter, path, score, reason in leaving[: settings.links_per_tool]:
            link = {"parameter": parameter, "path": path, "score": score / SCORE_UNIT, "reason": reason}
            edges.setdefault((name, target), []).append(link)
    return edges


def _best_leaf(
    producer: Tool, slot: Slot, features: Features, matcher: Matcher, embed: Embed | None
) -> tuple[float, tuple[str | int, ...], str] | None:
    """Value before nearness, path and reason of the output field that fills the parameter best."""
    found = []
    for leaf in leaves(producer, embed is not None):
        match = _match(leaf, slot, matcher, embed)
        if match:
            value = match.base * features.rarity(leaf.term, slot.term)
            found.append((-value, len(leaf.path), str(leaf.path), leaf.path, match.reason))
    if not found:
        return None
    value, _, _, path, reason = min(found, key=lambda entry: entry[:3])
    return -value, path, reason


def _match(leaf: Leaf, slot: Slot, matcher: Matcher, embed: Embed | None) -> Match | None:
    match = matcher.match(leaf.term, slot.term)
    if match is None and embed is not None:
        one, other = embed([leaf.term.text, slot.term.text])
        match = matcher.match_meaning(leaf.term, slot.term, float(one @ other))
    return match


def _nearness(one: Tool, other: Tool) -> float:
    return 1.0 if one.domain and one.domain == other.domain else OTHER_DOMAIN


def all_pairs_sharing(tools: Mapping[str, Tool], settings: GraphSettings) -> dict[Edge, float]:
    """``{(one, other): score}``."""
    listed = list(tools.values())
    taken = [_taken(tool) for tool in listed]
    counts: Counter[str] = Counter()
    for tool in listed:
        counts.update({slot.term.key for slot in slots(tool)} | {leaf.term.key for leaf in leaves(tool)})

    def worth(same: tuple[str, str]) -> int:
        base = 1.0 if same[0].startswith("=") else NAME_BASE
        return round(base * rarity(counts[same[0]], len(listed)) * SCORE_UNIT)

    partners: dict[int, list[tuple[int, int, int]]] = {place: [] for place in range(len(listed))}
    for one in range(len(listed)):
        for other in range(one + 1, len(listed)):
            shared = taken[one].keys() & taken[other].keys()
            if shared:
                required = [s for mine in (taken[one], taken[other]) for s in mine if mine[s].is_required]
                share = sum(map(worth, shared)) / sum(map(worth, shared | set(required)))
                score = math.floor(share * _nearness(listed[one], listed[other]) * SCORE_UNIT + 0.5)
                key = rank(score, name_number(listed[one].name), name_number(listed[other].name))
                partners[one].append((key, other, score))
                partners[other].append((key, one, score))
    wanted = {}
    for place, found in partners.items():
        for key, other, score in sorted(found)[: settings.shared_per_tool]:
            if score >= settings.min_shared * SCORE_UNIT:
                wanted[min(place, other), max(place, other)] = (key, score)
    degrees, chosen = [0] * len(listed), {}
    for (one, other), (_, score) in sorted(wanted.items(), key=lambda item: (item[1][0], item[0])):
        if max(degrees[one], degrees[other]) < settings.shared_per_tool:
            chosen[listed[one].name, listed[other].name] = score / SCORE_UNIT
            degrees[one] += 1
            degrees[other] += 1
    return chosen


def _taken(tool: Tool) -> dict[tuple[str, str], Slot]:
    mine: dict[tuple[str, str], Slot] = {}
    for slot in sorted(slots(tool), key=lambda slot: not slot.is_required):
        mine.setdefault((slot.term.key, slot.term.type), slot)
    return mine
