"""Distractor tools: near to the golden ones in meaning, and no use in their place (section 3.2).

Near is measured on names and descriptions: by words, weighted by how rare they are, or by sentence embeddings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from math import log, sqrt
from random import Random
from typing import Any, Literal

from data_synth.simulator.effects import effect_of, words
from data_synth.tools.dependency import Embed
from data_synth.tools.embedding import MINILM, open_embedder
from data_synth.tools.settings import ToolsSettings
from data_synth.tools.tool import KIND, Tool

POOL = 3
"""Distractors are drawn from this many times as many nearest tools, so that rows differ; ours."""
SAME_DOMAIN = 0.1
"""Added to the likeness of words, from 0 to 1, of two tools of one domain; ours."""
_FINDING = frozenset({"search", "list"})
_NUM_SHARED = 0.8
"""Tools without hints that share this much of their words count as able to replace each other."""


class Distractors:
    """Finds distractors in a collection.

    Args:
        tools: name to tool.
        kind: how nearness is measured.
        open_embed: gives what turns texts into unit vectors, for ``kind=embedding``.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        kind: Literal["lexical", "embedding"],
        open_embed: Callable[[], Embed] | None = None,
    ) -> None:
        self.tools, self.kind, self.open_embed = tools, kind, open_embed
        self._nearest: dict[str, list[str]] = {}

    def prepare(self) -> None:
        """Embed the collection now rather than at the first row."""
        if self.kind == "embedding":
            _ = self._embeddings

    def choose(self, golden: Iterable[str], number: int, rng: Random) -> list[Tool]:
        """``number`` tools, or all that qualify, none of which can serve a golden step."""
        used = list(dict.fromkeys(golden))
        chosen: dict[str, None] = {}
        pools = [iter(self._pool(name, used, number, rng)) for name in used]
        while pools and len(chosen) < number:
            for pool in list(pools):
                name = next((name for name in pool if name not in chosen), None)
                if name is None:
                    pools.remove(pool)
                elif len(chosen) < number:
                    chosen[name] = None
        return [self.tools[name] for name in chosen]

    def _pool(self, name: str, used: list[str], number: int, rng: Random) -> list[str]:
        """The nearest tools to one golden tool that qualify, shuffled."""
        found = []
        for other in self.nearest(name):
            if other not in used and not any(can_serve(self.tools[one], self.tools[other]) for one in used):
                found.append(other)
            if len(found) == POOL * max(number, 1):
                break
        rng.shuffle(found)
        return found

    def nearest(self, name: str) -> list[str]:
        """The other tools, the nearest first."""
        if name not in self._nearest:
            scores = self._scores(name)
            self._nearest[name] = sorted((o for o in scores if o != name), key=lambda o: (-scores[o], o))
        return self._nearest[name]

    def _scores(self, name: str) -> Mapping[str, float]:
        if self.kind == "embedding":
            order, vectors = self._embeddings
            return dict(zip(order, (vectors @ vectors[order.index(name)]).round(6).tolist(), strict=True))
        mine = self._weights[name]
        domain = self.tools[name].domain
        return {
            other: sum(weight * theirs.get(word, 0.0) for word, weight in mine.items())
            + (SAME_DOMAIN if domain and self.tools[other].domain == domain else 0.0)
            for other, theirs in self._weights.items()
        }

    @cached_property
    def _weights(self) -> dict[str, dict[str, float]]:
        """Tool to word to weight (term frequency times inverse document frequency, of length one)."""
        bags = {name: Counter(vocabulary(tool)) for name, tool in self.tools.items()}
        documents = Counter(word for bag in bags.values() for word in bag)
        weights = {}
        for name, bag in bags.items():
            raw = {w: n * log((1 + len(bags)) / documents[w]) for w, n in sorted(bag.items())}
            length = sqrt(sum(value * value for value in raw.values())) or 1.0
            weights[name] = {word: value / length for word, value in raw.items()}
        return weights

    @cached_property
    def _embeddings(self) -> tuple[list[str], Any]:
        """Names and unit vectors of their descriptions."""
        assert self.open_embed is not None
        embed, order = self.open_embed(), list(self.tools)
        return order, embed([f"{' '.join(words(name))}: {self.tools[name].description}" for name in order])


def open_tools_embedder(tools: ToolsSettings) -> Embed:
    """The model of ``tools.embedding``, all-MiniLM-L6-v2 where it is null; ``tools.embedding_cache`` keeps its vectors.

    Raises:
        InputError: the model or the cache can't be read.
    """
    key = "tools.embedding" if tools.embedding else "tool_augmented.distractors"
    embed = open_embedder(tools.embedding or MINILM, tools.embedding_cache, key)
    assert embed is not None
    return embed


def can_serve(golden: Tool, other: Tool) -> bool:
    """Whether ``other`` could take the place of ``golden`` in some call: then it is no distractor."""
    mine, yours = effect_of(golden), effect_of(other)
    if (mine.inferred or yours.inferred) and _alike(golden, other):
        return True
    same_job = mine.action == yours.action or {mine.action, yours.action} <= _FINDING
    if not same_job or mine.entity != yours.entity:
        return False
    takes, needs = _kinds(golden.properties), _kinds({n: other.properties[n] for n in other.required})
    if not needs <= takes:
        return False  # it wants what the golden call doesn't have
    match mine.action:
        case "delete":
            return True
        case "create" | "update":
            return _kinds({n: golden.properties[n] for n in golden.required}) <= _kinds(other.properties)
    return not (_answers(golden) - takes) - _answers(other)


def vocabulary(tool: Tool) -> list[str]:
    """The words that a tool is compared by: its name twice, its description up to the list of its parameters."""
    about = re.split(r"\b(?:Requires|Returns)\b", tool.description, maxsplit=1)[0]
    return [*words(tool.name), *words(tool.name), *(word for word in words(about) if len(word) > 2)]


def _kinds(properties: Mapping[str, Any]) -> set[str]:
    return {str(schema.get(KIND, name)) for name, schema in properties.items()}


def _answers(tool: Tool) -> set[str]:
    """Kinds, or else names, of the plain values in the tool's answer."""
    found: set[str] = set()

    def walk(schema: Any, name: str) -> None:
        if not isinstance(schema, Mapping):
            return
        for inner_name, inner in schema.get("properties", {}).items():
            walk(inner, inner_name)
        if "items" in schema:
            walk(schema["items"], name)
        if not schema.get("properties") and "items" not in schema:
            found.add(str(schema.get(KIND, name)))

    walk(tool.output, "")
    return found


def _alike(a: Tool, b: Tool) -> bool:
    mine, yours = set(vocabulary(a)), set(vocabulary(b))
    return len(mine & yours) >= _NUM_SHARED * min(len(mine), len(yours))
