"""The simulated world of one dialogue: records by entity and id, what was deleted, what was listed before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from data_synth.simulator.conforms import same
from data_synth.simulator.effects import words

CONTROLS = frozenset(
    [
        "limit",
        "page",
        "page_size",
        "per_page",
        "offset",
        "count",
        "num_results",
        "max_results",
        "top_k",
        "size",
        "sort",
        "sort_by",
        "order",
        "order_by",
    ]
)
"""Parameters that shape an answer and say nothing about its records."""
NEAR = frozenset(
    {"address", "near", "latitude", "longitude", "lat", "lng", "lon", "radius", "radius_km", "distance_km"}
)
"""Parameters of a search around a place: what is found has fields of these names, with other values."""


@dataclass(slots=True)
class Record:
    """What is known of one entity.

    Attributes:
        values: field to value, also of fields that no answer has shown.
        created: by a call of this dialogue: a filter on a field that it lacks lets it pass.
    """

    values: dict[str, Any] = field(default_factory=dict)
    created: bool = False


@dataclass(slots=True)
class Store:
    """All that a dialogue has changed or seen."""

    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    deleted: set[tuple[str, str]] = field(default_factory=set)
    repeats: dict[str, int] = field(default_factory=dict)
    """How often a call has created something."""
    listed: set[str] = field(default_factory=set)
    """Searches that have been answered: their records are all in ``records``."""
    drafts: dict[str, Any] = field(default_factory=dict)
    """What the model wrote, by call."""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """What was read: call to ``version`` and answer. Nothing in it is ever changed."""
    version: int = 0
    """Rises with every call that changes something."""

    def copy(self) -> Store:
        """A world of its own."""
        records = {
            entity: {key: Record(dict(one.values), one.created) for key, one in known.items()}
            for entity, known in self.records.items()
        }
        copied = (set(self.deleted), {**self.repeats}, set(self.listed), {**self.drafts}, {**self.answers})
        return Store(records, *copied, self.version)

    def record(self, entity: str, identity: Any) -> Record:
        """The record, an empty one if it wasn't known."""
        return self.records.setdefault(entity, {}).setdefault(key_of(identity), Record())

    def known(self, entity: str, identity: Any) -> Record | None:
        """The record if anything is known of it."""
        return self.records.get(entity, {}).get(key_of(identity))

    def is_deleted(self, entity: str, identity: Any) -> bool:
        """Whether this dialogue has deleted it."""
        return (entity, key_of(identity)) in self.deleted

    def delete(self, entity: str, identity: Any) -> None:
        """Forget the record for good."""
        self.records.get(entity, {}).pop(key_of(identity), None)
        self.deleted.add((entity, key_of(identity)))

    def matching(self, entity: str, filters: Filters) -> Iterator[Record]:
        """Records that a search with these arguments finds, the oldest first."""
        return (record for record in self.records.get(entity, {}).values() if filters.accept(record))


def key_of(identity: Any) -> str:
    """``7`` and ``7.0`` are one record, ``7`` and ``"7"`` too: APIs aren't consistent about it."""
    return str(int(identity) if isinstance(identity, float) and identity.is_integer() else identity)


@dataclass(frozen=True, slots=True)
class Filters:
    """A search's arguments, as conditions on records.

    Attributes:
        equal: field to value.
        bounds: (words of the field's name, lowest, highest).
        limit: at most this many records.
    """

    equal: Mapping[str, Any]
    bounds: tuple[tuple[tuple[str, ...], float | None, float | None], ...]
    limit: int | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any], near: bool = True) -> Filters:
        """``max_price`` bounds a price, ``num_results`` limits, the rest must be equal; of ``near``, to itself."""
        equal: dict[str, Any] = {}
        bounds: list[tuple[tuple[str, ...], float | None, float | None]] = []
        limit = None
        for name, value in arguments.items():
            head, *tail = words(name) or (name,)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name in CONTROLS:
                if isinstance(value, int) and name not in ("page", "offset"):
                    limit = value
            elif number and tail and head in ("max", "maximum"):
                bounds.append((tuple(tail), None, value))
            elif number and tail and head in ("min", "minimum"):
                bounds.append((tuple(tail), value, None))
            else:
                equal[f"near {name}" if near and name in NEAR else name] = value
        return cls(equal, tuple(bounds), limit)

    def accept(self, record: Record) -> bool:
        """Whether the record meets all of them."""
        for name, value in self.equal.items():
            if name not in record.values:
                if not record.created:
                    return False
            elif not _matches(record.values[name], value):
                return False
        return all(
            self.within(name, value) == value
            for name, value in record.values.items()
            if type(value) in (int, float)
        )

    def inside(self, name: str, value: float, rng: Random) -> float:
        """``value``, or one well inside the bounds on the field ``name`` if it isn't."""
        nearest = self.within(name, value)
        if nearest == value:
            return value
        share = rng.uniform(0.5, 0.95) if nearest < value else rng.uniform(1.05, 1.5)
        moved = self.within(name, nearest * share)
        return round(moved) if abs(moved) >= 20 or isinstance(value, int) else round(moved, 1)

    def within(self, name: str, value: float) -> float:
        """``value``, moved to the nearest one in the bounds on the field ``name``."""
        for stem, low, high in self.bounds:
            if set(stem) <= set(words(name)):
                value = value if low is None else max(value, low)
                value = value if high is None else min(value, high)
        return value


def _matches(found: Any, wanted: Any) -> bool:
    """Equal; text also where the wanted one occurs in it, as search boxes do."""
    if isinstance(found, str) and isinstance(wanted, str):
        return wanted.casefold() in found.casefold()
    return same(found, wanted) or (isinstance(found, list) and any(same(one, wanted) for one in found))
