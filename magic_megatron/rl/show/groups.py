"""Which rollouts the page shows, and how they are packed: a group of samples is a JSON text of its own.

The page parses a group when somebody looks at it. Samples are packed as they are read, so that memory holds little
more than the page.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from magic_megatron.rl.rollouts import Sample

_MILLI = 1000  # entropies and log-probabilities travel as whole thousandths of a nat
_BINS = np.linspace(0, 12, 601)  # nats; the logarithm of a vocabulary of 152,000 is 11.9


@dataclass(frozen=True)
class Ending:
    """An episode's last turn: it has what the episode earned."""

    turn: int
    reward: float
    advantage: float | None
    won: bool | None


@dataclass
class Group:
    """The samples of one prompt at one step.

    Attributes:
        prompts: each different prompt once, with its place.
        turns: by sample: (turn, its JSON).
        last: by sample: its last turn so far.
        entropies: how many tokens have an entropy in each of ``_BINS``.
    """

    step: int
    name: str
    task: str
    prompts: dict[str, int] = field(default_factory=dict)
    turns: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    last: dict[int, Ending] = field(default_factory=dict)
    num_tokens: Counter[int] = field(default_factory=Counter)
    lost: set[int] = field(default_factory=set)
    entropies: np.ndarray = field(default_factory=lambda: np.zeros(len(_BINS) - 1, int))

    def add(self, sample: Sample) -> None:
        place = self.prompts.setdefault(sample.prompt, len(self.prompts))
        self.turns.setdefault(sample.sample, []).append((sample.turn, embedded(_packed(sample, place))))
        number = sample.sample
        self.num_tokens[number] += len(sample.tokens)
        if sample.lost:
            self.lost.add(number)
        if number not in self.last or sample.turn >= self.last[number].turn:
            self.last[number] = Ending(sample.turn, sample.reward, sample.advantage, sample.won)
        if sample.entropies is not None:
            known = [value for value in sample.entropies if value is not None]
            self.entropies += np.histogram(np.clip(known, 0, _BINS[-1]), _BINS)[0]

    @property
    def num_samples(self) -> int:
        return sum(map(len, self.turns.values()))

    def json(self) -> str:
        """``{"prompts": […], "episodes": [[turn, …], …]}``, safe within a ``<script>`` element."""
        episodes = (
            "[" + ",".join(text for _, text in sorted(self.turns[number], key=lambda turn: turn[0])) + "]"
            for number in sorted(self.turns)
        )
        return f'{{"prompts":{embedded(list(self.prompts))},"episodes":[{",".join(episodes)}]}}'

    def index(self) -> dict[str, Any]:
        """What the list and the filters need, columns by episode."""
        numbers = sorted(self.turns)
        ends = [self.last[number] for number in numbers]
        return {
            "step": self.step,
            "group": self.name,
            "task": self.task,
            "samples": numbers,
            "rewards": [end.reward for end in ends],
            "advantages": [end.advantage for end in ends],
            "won": [end.won for end in ends],
            "lost": [number in self.lost for number in numbers],
            "turns": [len(self.turns[number]) for number in numbers],
            "tokens": [self.num_tokens[number] for number in numbers],
        }


@dataclass(frozen=True)
class Shown:
    """What is on the page, groups by step, task and name."""

    groups: list[Group]
    num_samples: int
    num_read: int
    num_groups_read: int
    tasks_read: list[str]


def collect(samples: Iterable[Sample], tasks: Collection[str] | None, limit: int, seed: int) -> Shown:
    """Groups in the order of their hash with ``seed`` as far as ``limit`` samples go, at least one; in one pass.

    The choice depends on the groups and the seed, not on the order of the samples.
    """
    kept: dict[tuple[int, str, str], Group] = {}
    ranks: dict[tuple[int, str, str], bytes] = {}
    ceiling, total, num_read = b"\xff" * 9, 0, 0
    tasks_read: set[str] = set()
    for sample in samples:
        tasks_read.add(sample.task)
        if tasks is not None and sample.task not in tasks:
            continue
        num_read += 1
        key = sample.step, sample.task, sample.group
        rank = ranks.setdefault(key, _rank(key, seed))
        if rank >= ceiling:
            continue
        kept.setdefault(key, Group(sample.step, sample.group, sample.task)).add(sample)
        total += 1
        while total > limit and len(kept) > 1:
            dropped = max(kept, key=lambda key: ranks[key])
            ceiling = ranks[dropped]
            total -= kept.pop(dropped).num_samples
    groups = [kept[key] for key in sorted(kept, key=_natural)]
    return Shown(groups, total, num_read, len(ranks), sorted(tasks_read))


def entropy_scale(groups: Iterable[Group]) -> float:
    """Entropy, nats, that the page draws strongest: of a hundred tokens, two have more."""
    counts = sum((group.entropies for group in groups), np.zeros(len(_BINS) - 1, int))
    if not counts.any():
        return float(_BINS[-1])
    place = int(np.searchsorted(np.cumsum(counts), 0.98 * counts.sum()))
    return max(float(_BINS[place + 1]), 0.1)


def embedded(value: Any) -> str:
    """JSON that can stand in a ``<script>`` element: no text in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _packed(sample: Sample, prompt: int) -> dict[str, Any]:
    """``r`` is the response where its tokens don't join to it; ``s`` has a digit a token."""
    packed = {
        "turn": sample.turn,
        "p": prompt,
        "t": sample.tokens,
        "h": _thousandths(sample.entropies),
        "l": _thousandths(sample.log_probs),
        "s": "".join(map(str, sample.segments)),
        "reward": sample.reward,
        "parts": sample.parts,
        "reason": sample.reason,
        "advantage": sample.advantage,
        "valid": sample.valid,
        "lost": sample.lost,
        "n": len(sample.prompt_ids),
    }
    return packed if sample.response in "".join(sample.tokens) else packed | {"r": sample.response}


def _thousandths(values: list[float | None] | None) -> list[int | None] | None:
    if values is None:
        return None
    return [None if value is None or not math.isfinite(value) else round(value * _MILLI) for value in values]


def _natural(key: tuple[int, str, str]) -> tuple[int, str, list[tuple[int, str]]]:
    """Groups 2:x before 10:x."""
    step, task, name = key
    pieces = re.findall(r"([0-9]{1,18})|([^0-9]+|[0-9]+)", name)
    return step, task, [(int(number or 0), text) for number, text in pieces]


def _rank(key: tuple[int, str, str], seed: int) -> bytes:
    text = json.dumps([seed, *key])
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
