"""The links of the tool dependency graph: which output of which tool fills which required parameter of which other.

Found between terms by inverted indexes (kind; words in common and last word alike), by meaning in blocks of a matrix
product, then spread over tools: for each parameter the best producers, for each tool the best of its links.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_synth.tools.dependency_match import (
    OTHER_DOMAIN,
    SCORE_UNIT,
    Match,
    Matcher,
    rarity,
    word_weights,
)
from data_synth.tools.dependency_rank import name_number, ranks, smallest
from data_synth.tools.dependency_terms import Leaf, Path, Slot, Term, leaves, slots
from data_synth.tools.settings import GraphSettings
from data_synth.tools.tool import Tool
from data_synth.tools.words import is_generic

type Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors of length 1, ``[texts, dimensions]``."""

_BLOCK = 4_000_000
"""Entries of a matrix held at a time."""


@dataclass(frozen=True, slots=True)
class Link:
    """The output of tool ``producer`` at ``path`` fills ``parameter`` of tool ``consumer`` (numbers of tools)."""

    producer: int
    consumer: int
    parameter: str
    path: Path
    score: int
    reason: str
    rank: int


@dataclass(frozen=True)
class Features:
    """What all tools of a collection give and ask for.

    Attributes:
        names: of the tools, in the collection's order; ``numbers`` are their 64-bit numbers, ``domains`` an id of
            each's domain, −1 − place where it has none.
        slots: by tool; ``leaves`` too.
        counts: key of a term to the number of tools that give or ask for it.
    """

    names: list[str]
    numbers: NDArray[np.uint64]
    domains: NDArray[np.int64]
    slots: list[list[Slot]]
    leaves: list[list[Leaf]]
    counts: Mapping[str, int]

    @classmethod
    def of(cls, tools: Mapping[str, Tool], with_text: bool) -> Features:
        """Read the schemas of ``tools``; ``with_text`` where terms are to be embedded."""
        asked = [slots(tool, with_text) for tool in tools.values()]
        given = [leaves(tool, with_text) for tool in tools.values()]
        counts: dict[str, int] = defaultdict(int)
        for ask, give in zip(asked, given, strict=True):
            for key in {slot.term.key for slot in ask} | {leaf.term.key for leaf in give}:
                counts[key] += 1
        ids = {domain: number for number, domain in enumerate(sorted({t.domain for t in tools.values()}))}
        domains = [
            ids[tool.domain] if tool.domain else -1 - place for place, tool in enumerate(tools.values())
        ]
        numbers = [name_number(name) for name in tools]
        return cls(
            list(tools), np.array(numbers, np.uint64), np.array(domains, np.int64), asked, given, dict(counts)
        )

    def matcher(self, settings: GraphSettings) -> Matcher:
        """For these terms."""
        terms = {leaf.term for found in self.leaves for leaf in found}
        terms |= {slot.term for found in self.slots for slot in found}
        return Matcher(word_weights(terms), settings.name_similarity, settings.embedding_similarity)

    def rarity(self, one: Term, other: Term) -> float:
        """Of the commoner of the two."""
        return rarity(max(self.counts[one.key], self.counts[other.key]), len(self.names))


def dependency_links(features: Features, settings: GraphSettings, embed: Embed | None) -> list[Link]:
    """All links, by producer, then rank."""
    matcher = features.matcher(settings)
    given = _tools_by_term((leaf.term, (tool, leaf)) for tool, leaf in _pairs(features.leaves))
    asked = _tools_by_term(
        (slot.term, (tool, slot)) for tool, slot in _pairs(features.slots) if slot.is_required
    )
    matches = _match_terms(list(given), list(asked), matcher)
    if embed:
        _match_meanings(list(given), list(asked), matches, matcher, embed)
    links = list[Link]()
    for parameter, consumers in asked.items():
        if matches[parameter]:
            links += _spread(parameter, consumers, matches[parameter], given, features, settings)
    return _best_of_each_tool(links, settings.links_per_tool)


def _pairs[Item](by_tool: list[list[Item]]) -> Iterator[tuple[int, Item]]:
    return ((tool, item) for tool, items in enumerate(by_tool) for item in items)


def _tools_by_term[Item](pairs: Iterator[tuple[Term, Item]]) -> dict[Term, list[Item]]:
    found: dict[Term, list[Item]] = defaultdict(list)
    for term, item in pairs:
        found[term].append(item)
    return dict(found)


def _match_terms(
    given: list[Term], asked: list[Term], matcher: Matcher
) -> dict[Term, list[tuple[Term, Match]]]:
    """For each asked term the given ones that match it by kind or name, of all that may."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    by_word: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, term in enumerate(given):
        if term.kind:
            by_kind[term.kind].append(place)
        for word in set(term.words):
            by_word[word, term.words[-1]].append(place)
    matches: dict[Term, list[tuple[Term, Match]]] = {}
    for parameter in asked:
        candidates = set(by_kind.get(parameter.kind, ()))
        for word in _telling(parameter):
            candidates.update(by_word.get((word, parameter.words[-1]), ()))
        found = ((given[place], matcher.match(given[place], parameter)) for place in sorted(candidates))
        matches[parameter] = [(term, match) for term, match in found if match]
    return matches


def _telling(term: Term) -> set[str]:
    return {word for word in term.words if not is_generic(word)} or set(term.words)


def _match_meanings(
    given: list[Term],
    asked: list[Term],
    matches: dict[Term, list[tuple[Term, Match]]],
    matcher: Matcher,
    embed: Embed,
) -> None:
    """Add what matches by meaning alone, in blocks of the cosines between all texts; two kinds never do."""
    given, asked = (
        [term for term in terms if not term.kind or any(not other.kind for other in others)]
        for terms, others in ((given, asked), (asked, given))
    )
    if not given or not asked:
        return
    texts = list(dict.fromkeys(term.text for term in (*given, *asked)))
    place = {text: number for number, text in enumerate(texts)}
    vectors = embed(texts)
    outputs = vectors[[place[term.text] for term in given]]
    rows = max(1, _BLOCK // max(1, len(given)))
    for start in range(0, len(asked), rows):
        some = asked[start : start + rows]
        cosines = vectors[[place[term.text] for term in some]] @ outputs.T
        near = np.argwhere(cosines >= matcher.embedding_similarity)
        known = [{id(term) for term, _ in matches[parameter]} for parameter in some]
        for row, column in near.tolist():
            if id(given[column]) not in known[row]:
                match = matcher.match_meaning(given[column], some[row], float(cosines[row, column]))
                if match:
                    matches[some[row]].append((given[column], match))


def _spread(
    parameter: Term,
    consumers: list[tuple[int, Slot]],
    matches: list[tuple[Term, Match]],
    given: Mapping[Term, list[tuple[int, Leaf]]],
    features: Features,
    settings: GraphSettings,
) -> Iterator[Link]:
    """The best producers for each tool that asks for ``parameter``."""
    best: dict[int, tuple[float, int, Leaf, str]] = {}
    for term, match in matches:
        value = match.base * features.rarity(term, parameter)
        for tool, leaf in given[term]:
            if tool not in best or (-value, len(leaf.path), str(leaf.path)) < _order(best[tool]):
                best[tool] = (value, tool, leaf, match.reason)
    values = np.array([value for value, *_ in best.values()])
    producers = np.array(list(best), np.int64)
    chosen = list(best.values())
    rows = max(1, _BLOCK // len(producers))
    for start in range(0, len(consumers), rows):
        some = consumers[start : start + rows]
        takers = np.array([tool for tool, _ in some], np.int64)
        scores, keys = _scores(values, producers, takers, features)
        for row, columns in enumerate(smallest(keys, settings.producers_per_parameter).tolist()):
            for column in columns:
                score = int(scores[row, column])
                if score >= settings.min_score * SCORE_UNIT:
                    _, producer, leaf, reason = chosen[column]
                    consumer, slot = some[row]
                    key = int(keys[row, column])
                    yield Link(producer, consumer, slot.parameter, leaf.path, score, reason, key)


def _order(chosen: tuple[float, int, Leaf, str]) -> tuple[float, int, str]:
    return (-chosen[0], len(chosen[2].path), str(chosen[2].path))


def _scores(
    values: NDArray[np.float64],
    producers: NDArray[np.int64],
    takers: NDArray[np.int64],
    features: Features,
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Scores and ranks, ``[takers, producers]``; −1 between a tool and itself."""
    same = features.domains[takers][:, None] == features.domains[producers][None, :]
    scores = np.floor(values * np.where(same, 1.0, OTHER_DOMAIN) * SCORE_UNIT + 0.5).astype(np.int64)
    scores[takers[:, None] == producers[None, :]] = -1
    keys = ranks(scores, features.numbers[producers][None, :], features.numbers[takers][:, None])
    return scores, keys


def _best_of_each_tool(links: list[Link], number: int) -> list[Link]:
    """The ``number`` best links that leave each tool."""
    by_producer: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        by_producer[link.producer].append(link)
    return [
        link
        for _, leaving in sorted(by_producer.items())
        for link in sorted(leaving, key=lambda link: (link.rank, link.consumer, link.parameter))[:number]
    ]
