"""Types, relations and quantities that questions are built from; read once from ``knowledge.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from data_synth.package_data import read_yaml
from data_synth.tasks.procedural.workflow import Candidate

LANGUAGES = ("en", "zh")
QUANTITY = "quantity:"


@dataclass(frozen=True, slots=True)
class Relation:
    """``np`` says, in both languages, what stands in the relation to ``{}``."""

    source: str
    target: str
    many: bool
    np: tuple[str, str]

    @property
    def quantity(self) -> str | None:
        """What the target measures; None where it is a thing."""
        return self.target.removeprefix(QUANTITY) if self.target.startswith(QUANTITY) else None

    def attribute(self) -> tuple[str, str]:
        """``running time`` for ``the running time of {}``."""
        return self.np[0].removeprefix("the ").removesuffix(" of {}"), self.np[1].removeprefix("{}的")


@dataclass(frozen=True, slots=True)
class Entity:
    """A named thing."""

    type: str
    names: tuple[str, str]


@dataclass(frozen=True)
class Knowledge:
    """All of the file; ``types``, ``quantities`` and ``actions`` as they stand there."""

    types: dict[str, Any]
    quantities: dict[str, Any]
    relations: tuple[Relation, ...]
    entities: dict[str, tuple[Entity, ...]]
    actions: dict[str, Any]
    distractors: tuple[Any, ...]

    def candidates(self, language: str) -> tuple[Candidate, ...]:
        """The action pool, those that no decomposition uses last."""
        return tuple(_candidate(entry, language) for entry in (*self.actions.values(), *self.distractors))


@cache
def load_knowledge() -> Knowledge:
    """The knowledge that comes with the package."""
    raw = read_yaml("data_synth.tasks.procedural", "knowledge.yaml")
    relations = tuple(
        Relation(entry["from"], entry["to"], entry.get("list", False), (entry["np"][0], entry["np"][1]))
        for entry in raw["relations"]
    )
    entities = {
        kind: tuple(Entity(kind, (english, chinese)) for english, chinese in names)
        for kind, names in raw["names"].items()
    }
    actions, distractors = raw["actions"], tuple(raw["distractors"])
    return Knowledge(raw["types"], raw["quantities"], relations, entities, actions, distractors)


def _candidate(entry: dict[str, Any], language: str) -> Candidate:
    properties: dict[str, Any] = {name: {} for name in entry["call"]}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return Candidate(
        entry["name"], entry["text"][LANGUAGES.index(language)], parameters, "question answering"
    )
