"""Answers to order: paths that must exist and conditions that must hold, so that each branch can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from data_synth.operators.plan import Condition
from data_synth.simulator.conforms import conforms

type Path = tuple[str | int, ...]


class UnsteerableError(Exception):
    """The answer can't be what was asked for: the schema or what the dialogue has seen contradicts it."""


@dataclass(frozen=True)
class Wish:
    """What one call's answer must be like.

    Attributes:
        tool: its name.
        arguments: of the call, without nulls.
        conditions: they hold in the answer.
        paths: something other than null stands there.
    """

    tool: str
    arguments: Mapping[str, Any]
    conditions: tuple[Condition, ...] = ()
    paths: tuple[Path, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """As JSON, for ``gold``."""
        conditions = [[list(one.path), one.comparison, one.value] for one in self.conditions]
        paths = [list(path) for path in self.paths]
        return {
            "tool": self.tool,
            "arguments": dict(self.arguments),
            "conditions": conditions,
            "paths": paths,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Wish:
        """What ``to_record`` gave."""
        conditions = tuple(Condition(0, tuple(path), how, value) for path, how, value in record["conditions"])
        paths = tuple(tuple(path) for path in record["paths"])
        return cls(record["tool"], record["arguments"], conditions, paths)


class Steering:
    """The wishes for one answer, by path."""

    def __init__(self, wishes: Iterable[Wish] = ()) -> None:
        self.conditions: dict[Path, list[Condition]] = {}
        self.paths: list[Path] = []
        for wish in wishes:
            for condition in wish.conditions:
                self.conditions.setdefault(condition.path, []).append(condition)
            self.paths += wish.paths

    def __bool__(self) -> bool:
        return bool(self.conditions or self.paths)

    def length(self, path: Path, usual: int) -> int:
        """How many items the list at ``path`` gets."""
        for condition in self.conditions.get(path, ()):
            if condition.comparison == "is_empty" or (condition.comparison == "==" and condition.value == []):
                return 0
            usual = max(usual, 1)
        inside = [
            p[len(path)]
            for p in (*self.paths, *self.conditions)
            if p[: len(path)] == path and len(p) > len(path)
        ]
        least = max((place + 1 for place in inside if isinstance(place, int)), default=0)
        if path in self.paths:
            least = max(least, 1)
        return max(usual, least)

    def meet(self, path: Path, value: Any, schema: Mapping[str, Any], rng: Random) -> Any:
        """``value``, or a value near it that the schema allows and that meets the conditions at ``path``.

        Raises:
            UnsteerableError: none was found.
        """
        wanted = self.conditions.get(path)
        if not wanted:
            return value
        for candidate in _candidates(value, wanted, schema, rng):
            if conforms(candidate, schema) and all(condition.holds(candidate) for condition in wanted):
                return candidate
        raise UnsteerableError(f"{path}: no value for {wanted}")

    def is_met(self, answer: Any) -> bool:
        """Whether ``answer`` is what was wished for."""
        if any(found(answer, path) is None for path in self.paths):
            return False
        return all(c.holds(found(answer, path)) for path, wanted in self.conditions.items() for c in wanted)

    def check(self, answer: Any) -> None:
        """Raise UnsteerableError where ``answer`` isn't what was wished for."""
        if not self.is_met(answer):
            raise UnsteerableError(f"{self.paths}, {self.conditions}: not in the answer")


def found(answer: Any, path: Sequence[str | int]) -> Any:
    """What stands at ``path``; None where there is nothing."""
    for place in path:
        if isinstance(answer, Mapping) and isinstance(place, str):
            answer = answer.get(place)
        elif isinstance(answer, list) and isinstance(place, int) and 0 <= place < len(answer):
            answer = answer[place]
        else:
            return None
    return answer


def _candidates(value: Any, conditions: list[Condition], schema: Mapping[str, Any], rng: Random) -> list[Any]:
    candidates = [value]
    others = list(schema.get("enum", ()))
    rng.shuffle(others)
    if schema.get("type") == "boolean":
        others = [True, False]
    for condition in conditions:
        wanted = condition.value
        if condition.comparison == "==":
            candidates.append(wanted)
        elif condition.comparison == "is_empty":
            candidates += ["", [], {}]
        elif isinstance(wanted, int | float) and not isinstance(wanted, bool):
            span = max(abs(wanted) * rng.uniform(0.05, 0.4), 1)
            candidates += [
                wanted - round(span),
                wanted + round(span),
                round(wanted - span, 2),
                round(wanted + span, 2),
            ]
            candidates += [wanted - 1, wanted + 1, wanted]
            candidates += [schema[key] for key in ("minimum", "maximum") if key in schema]
    return candidates + others
