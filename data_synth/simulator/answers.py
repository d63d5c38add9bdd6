"""One answer, field by field: what the dialogue knows comes first, then the call's arguments, then a sample.

A *record* is an object of the answer that has an identifier of its own. What is shown of a record is remembered, so
that every later answer agrees with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from data_synth.simulator.call import Call
from data_synth.simulator.conforms import conforms
from data_synth.simulator.effects import entity_of, identifier_in, is_identifier
from data_synth.simulator.formulas import NotDefinedError, compute
from data_synth.simulator.outcomes import left_out, outcome
from data_synth.simulator.steering import Path, UnsteerableError
from data_synth.simulator.store import CONTROLS, NEAR, Filters, Record, Store
from data_synth.simulator.values import sample_value
from data_synth.tools.tool import KIND

NUM_TRIES = 20
COUNTS = frozenset(
    {"total", "count", "total_count", "num_results", "total_results", "totalResults", "totalCount"}
)
LIST_LENGTHS = (2, 4)
"""Of a list of records; ours. Lists inside a record have one to three entries."""
MAX_LENGTH = 99
"""Of a list of records, where neither call nor schema set a limit."""


class AnswerWriter:
    """Writes the answer to a call and remembers in ``store`` what it shows."""

    def __init__(self, store: Store, seed: str, language: str) -> None:
        self.store, self.seed, self.language = store, seed, language

    def write(self, call: Call) -> dict[str, Any]:
        """The answer.

        Raises:
            UnsteerableError: the call's wishes can't be met.
            NotDefinedError: a field that is worked out has no value.
        """
        self.call = call
        self.filters = Filters.of(call.arguments, near=call.effect.many)
        self.by_kind = self._arguments_by_kind()
        self.related = list(self._related())
        return self._object(call.tool.output, (), (), call.draft, call.rng)

    def _arguments_by_kind(self) -> dict[str, Any]:
        """Values of the arguments that are the only one of their kind."""
        kinds: dict[str, list[Any]] = {}
        for name, value in self.call.arguments.items():
            if (kind := self.call.tool.properties.get(name, {}).get(KIND)) and name not in CONTROLS:
                kinds.setdefault(kind, []).append(value)
        return {kind: values[0] for kind, values in kinds.items() if len(values) == 1 and kind != "flag"}

    def _related(self) -> Iterator[Record]:
        """Records that the arguments name, other than the call's own."""
        for name, value in self.call.arguments.items():
            schema = self.call.tool.properties.get(name, {})
            known = self.store.known(entity_of(name, schema), value) if is_identifier(name, schema) else None
            if known is not None and known is not self.call.record:
                yield known

    def _object(
        self, schema: Mapping[str, Any], place: tuple[str, ...], path: Path, draft: Any, rng: Random
    ) -> dict[str, Any]:
        effect, own = self.call.effect, None
        if place == effect.place and not effect.many:
            own = self.call.record
        elif (field := identifier_in(schema)) and path:
            return self._stranger(schema, field, place, path, draft, rng)
        return self._fields(schema, place, path, draft, rng, own, top=True)

    def _stranger(
        self,
        schema: Mapping[str, Any],
        field: str,
        place: tuple[str, ...],
        path: Path,
        draft: Any,
        rng: Random,
    ) -> dict[str, Any]:
        """A record that the answer mentions besides the one that it is about."""
        entity = entity_of(field, schema["properties"][field]) or place[
            -1 if place[-1] != "*" else -2
        ].rstrip("s")
        identity = _part(draft, field)
        if identity is None or not conforms(identity, schema["properties"][field]):
            identity = sample_value(schema["properties"][field], rng, self.language, field)
        identity = self.call.steering.meet((*path, field), identity, schema["properties"][field], rng)
        record = self.store.record(entity, identity)
        record.values.setdefault(field, identity)
        return self._fields(
            schema, place, path, draft, Random(f"{self.seed}/{entity}/{identity}"), record, top=False
        )

    def _fields(
        self,
        schema: Mapping[str, Any],
        place: tuple[str, ...],
        path: Path,
        draft: Any,
        rng: Random,
        record: Record | None,
        top: bool,
    ) -> dict[str, Any]:
        """An object.

        Args:
            record: what is known of it; it learns what is new.
            top: whether the call's arguments say something about it.
        """
        answer: dict[str, Any] = {}
        for name, inner in schema.get("properties", {}).items():
            here = (*path, name)
            said = self._outcome(name, inner, record) if top else None
            value = said if said is not None else self._computed(name, inner)
            value = value if value is not None else self._known(name, inner, record, top)
            if value is None:
                value = self._value(name, inner, (*place, name), here, _part(draft, name), rng)
                said = value
            if said is not None and self.call.steering:
                value = self.call.steering.meet(here, value, inner, rng)
            if record is not None:
                record.values[name] = value
            answer[name] = value
        self._count(schema, path, answer)
        return answer

    def _outcome(self, name: str, schema: Mapping[str, Any], record: Record | None) -> Any:
        """How a call that changes something speaks of its success; None for other calls and fields."""
        call = self.call
        if call.effect.action not in ("create", "update", "delete"):
            return None
        said = outcome(call.tool, call.effect.action, name, schema, record.values if record else {})
        return left_out(call.tool, call.effect.action, name, schema, call.arguments) if said is None else said

    def _computed(self, name: str, schema: Mapping[str, Any]) -> Any:
        """What a formula gives; None where there is none.

        Raises:
            NotDefinedError: the arguments have no result, or none that the schema admits.
        """
        if self.call.effect.action != "compute":
            return None
        value = compute(self.call.arguments, name)
        if value is not None and not conforms(value, schema):
            raise NotDefinedError(f"{name.replace('_', ' ')} out of range")
        return value

    def _known(self, name: str, schema: Mapping[str, Any], record: Record | None, top: bool) -> Any:
        """The value that the dialogue or the call's arguments dictate; None if neither does."""
        call = self.call
        if record is not None and conforms(value := record.values.get(name), schema) and value is not None:
            return value
        if not top:
            return None
        if call.effect.many and name in NEAR:
            return None
        value = call.arguments.get(name)
        if value is None and schema.get(KIND) in self.by_kind:
            value = self.by_kind[schema[KIND]]
        if value is None and KIND in schema and schema.get("type") == "string" and "status" not in name:
            value = next((one.values[name] for one in self.related if name in one.values), None)
        return value if value is not None and name not in CONTROLS and conforms(value, schema) else None

    def _value(
        self,
        name: str,
        schema: Mapping[str, Any],
        place: tuple[str, ...],
        path: Path,
        draft: Any,
        rng: Random,
    ) -> Any:
        if schema.get("properties") and schema.get("type") in ("object", None):
            return self._object(schema, place, path, draft, rng)
        items = schema.get("items")
        if schema.get("type") == "array" and isinstance(items, Mapping):
            effect = self.call.effect
            if effect.place == (*place, "*"):
                return self._records(schema, (*place, "*"), path, draft)
            if items.get("properties"):
                return self._list(schema, place, path, draft, rng)
        if draft is not None and conforms(draft, schema):
            value = draft
        else:
            value = sample_value(schema, rng, self.language, name)
        if isinstance(value, int | float) and not isinstance(value, bool) and self.filters.bounds:
            for bounded in (self.filters.inside(name, value, rng), self.filters.within(name, value)):
                if conforms(bounded, schema) and self.filters.within(name, bounded) == bounded:
                    return bounded
        if isinstance(value, list) and self.call.steering:
            return self._resized(value, schema, path, rng, name)
        return value

    def _resized(
        self, value: list[Any], schema: Mapping[str, Any], path: Path, rng: Random, name: str
    ) -> list[Any]:
        """A list of plain values of the length that the wishes need."""
        length = self.call.steering.length(path, len(value))
        items = schema.get("items") if isinstance(schema.get("items"), Mapping) else {}
        more = [sample_value(items or {}, rng, self.language, name) for _ in range(length - len(value))]
        return [*value, *more][:length]

    def _list(
        self, schema: Mapping[str, Any], place: tuple[str, ...], path: Path, draft: Any, rng: Random
    ) -> list[Any]:
        """Objects that belong to the answer."""
        usual = len(draft) if isinstance(draft, list) else rng.randint(1, 3)
        length = self._length(schema, path, usual)
        return [
            self._object(schema["items"], (*place, "*"), (*path, number), _part(draft, number), rng)
            for number in range(length)
        ]

    def _length(self, schema: Mapping[str, Any], path: Path, usual: int) -> int:
        usual = min(max(usual, schema.get("minItems", 0)), schema.get("maxItems", usual))
        return self.call.steering.length(path, usual) if self.call.steering else usual

    def _records(
        self, schema: Mapping[str, Any], place: tuple[str, ...], path: Path, draft: Any
    ) -> list[dict[str, Any]]:
        """What a search finds: the known records that match, and at the first time new ones."""
        call, store, items = self.call, self.store, schema["items"]
        matching = list(store.matching(call.effect.entity, self.filters))
        named = call.effect.field in self.filters.equal  # the search is for one id
        usual = len(draft) if isinstance(draft, list) else 1 if named else call.rng.randint(*LIST_LENGTHS)
        limit = max(min(self.filters.limit or MAX_LENGTH, schema.get("maxItems", MAX_LENGTH)), 1)
        length = self._length(schema, path, min(max(usual, len(matching)), limit))
        if length == 0 and matching:
            raise UnsteerableError(f"{path}: {len(matching)} records are known")
        fresh = call.key not in store.listed
        store.listed.add(call.key)
        while len(matching) < (length if fresh else schema.get("minItems", 0)):
            record = self._newcomer(items, len(matching), path, draft)
            if record is None:
                break
            matching.append(record)
        if len(matching) < schema.get(
            "minItems", 0
        ):  # the ids have run out: the schema wants some all the same
            matching += [
                one for one in store.records.get(call.effect.entity, {}).values() if one not in matching
            ]
            matching += [Record() for _ in range(schema["minItems"] - len(matching))]
        length = max(length, schema.get("minItems", 0))
        found = []
        for number, record in enumerate(matching[:length]):
            part = _part(draft, number)
            found.append(self._fields(items, place, (*path, number), part, call.rng, record, top=True))
        return found

    def _newcomer(self, items: Mapping[str, Any], number: int, path: Path, draft: Any) -> Record | None:
        """A record of a new id that has the search's arguments for fields; None when the ids run out."""
        call, field = self.call, self.call.effect.field
        hidden = {name: value for name, value in self.filters.equal.items() if name != field}
        if field is None:
            return Record(dict(hidden))
        schema, entity = items["properties"][field], call.effect.entity
        wanted = self.filters.equal.get(field) if number == 0 else None
        identity = _part(_part(draft, number), field) if wanted is None else wanted
        for _ in range(NUM_TRIES):
            if identity is None or not conforms(identity, schema):
                identity = sample_value(schema, call.rng, self.language, field)
            identity = call.steering.meet((*path, number, field), identity, schema, call.rng)
            if not self.store.known(entity, identity) and not self.store.is_deleted(entity, identity):
                record = self.store.record(entity, identity)
                record.values.update({field: identity, **hidden})
                return record
            identity = None
        return None

    def _count(self, schema: Mapping[str, Any], path: Path, answer: dict[str, Any]) -> None:
        """A ``total`` beside the only list is its length."""
        lists = [value for value in answer.values() if isinstance(value, list)]
        for name in COUNTS & answer.keys() if len(lists) == 1 else ():
            if (*path, name) not in self.call.steering.conditions and conforms(
                len(lists[0]), schema["properties"][name]
            ):
                answer[name] = len(lists[0])


def _part(draft: Any, place: str | int) -> Any:
    if isinstance(draft, Mapping) and isinstance(place, str):
        return draft.get(place)
    if isinstance(draft, list) and isinstance(place, int) and place < len(draft):
        return draft[place]
    return None
