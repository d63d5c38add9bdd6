"""Whether one value can fill a parameter, how surely, and why: by kind, by name, by the description's embedding."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from data_synth.tools.dependency_terms import Term, fits
from data_synth.tools.words import Words, are_opposed, is_generic, says_nothing

KIND_BASE, NAME_BASE, SIMILAR_BASE, CLOSE_BASE = 1.0, 0.9, 0.8, 0.8
"""What a link is worth by what it rests on; a similarity multiplies the last two. Ours, as the factors below."""
COMMON_LOSS, OTHER_DOMAIN = 0.5, 0.8
"""The score falls by ``COMMON_LOSS · √share`` where a share of all tools has the value, and over domains."""
SMALL_COLLECTION = 100
"""Of fewer tools, shares are taken of this number."""
SCORE_UNIT = 10_000
"""Scores are compared as whole numbers of this unit, so that no rounding decides a rank."""


@dataclass(frozen=True, slots=True)
class Match:
    """How sure a link between two terms is before the collection has its say (0 to 1), and why."""

    base: float
    reason: str


@dataclass(frozen=True)
class Matcher:
    """Compares terms; ``weights`` holds a word's rarity among the collection's terms."""

    weights: Mapping[str, float]
    name_similarity: float
    embedding_similarity: float

    def match(self, output: Term, parameter: Term) -> Match | None:
        """By kind where both have one, else by name."""
        if not fits(output, parameter):
            return None
        if output.kind and parameter.kind:
            return Match(KIND_BASE, f"kind {parameter.kind}") if output.kind == parameter.kind else None
        if output.words == parameter.words:
            return Match(NAME_BASE, f"same name and type: {parameter.label}")
        similarity = self.similarity(output.words, parameter.words)
        if similarity < self.name_similarity:
            return None
        return Match(SIMILAR_BASE * similarity, f"similar names: {output.label} ~ {parameter.label}")

    def match_meaning(self, output: Term, parameter: Term, cosine: float) -> Match | None:
        """By the embeddings of name and description, where kind and name say nothing."""
        if cosine < self.embedding_similarity or (output.kind and parameter.kind):
            return None
        heads = output.words[-1], parameter.words[-1]
        # A player's id reads much like a game's, and like the player's name.
        sure = heads[0] == heads[1] and cosine >= (1 + self.embedding_similarity) / 2
        if any(is_generic(head) for head in heads) and not sure:
            return None
        if are_opposed(output.words, parameter.words) or not fits(output, parameter):
            return None
        reason = f"close descriptions ({cosine:.2f}): {output.label} ~ {parameter.label}"
        return Match(CLOSE_BASE * cosine, reason)

    def similarity(self, one: Words, other: Words) -> float:
        """Weight of the words in common over that of all.

        0 where only generic words meet, or the last words differ: they say what the value is. Of a generic one, such
        as ``id``, the word before it says whose: a product's name isn't a product category's name.
        """
        tail = 2 if is_generic(one[-1]) else 1
        common = set(one) & set(other)
        if one[-tail:] != other[-tail:] or says_nothing(common) or are_opposed(one, other):
            return 0.0
        return self._weight(common) / self._weight({*one, *other})

    def _weight(self, words: Iterable[str]) -> float:
        return math.fsum(self.weights[word] for word in words)


def word_weights(terms: Iterable[Term]) -> dict[str, float]:
    """``log(1 + n / n_word)`` over ``n`` terms; a generic word weighs a quarter."""
    counts = Counter[str]()
    num_terms = 0
    for term in terms:
        num_terms += 1
        counts.update(set(term.words))
    return {
        word: math.log(1 + num_terms / count) * (0.25 if is_generic(word) else 1.0)
        for word, count in counts.items()
    }


def rarity(num_tools_with: int, num_tools: int) -> float:
    """1 for what no tool has, ``1 − COMMON_LOSS`` for what all have; in a small collection nothing is common."""
    return 1 - COMMON_LOSS * math.sqrt(num_tools_with / max(num_tools, SMALL_COLLECTION))
