"""The virtualised API simulator: any tool with an output schema, answered without the tool."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import jsonschema

from data_synth.llm.model import Model
from data_synth.operators.plan import Condition
from data_synth.simulator.answers import AnswerWriter
from data_synth.simulator.call import Call
from data_synth.simulator.conforms import canonical, conforms
from data_synth.simulator.effects import Effect, effect_of, entity_of, is_identifier
from data_synth.simulator.formulas import NotDefinedError
from data_synth.simulator.observation import draft_answer
from data_synth.simulator.steering import Path, Steering, UnsteerableError, Wish
from data_synth.simulator.store import Record, Store
from data_synth.simulator.updates import changes
from data_synth.simulator.values import sample_value
from data_synth.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returns; an error is ``{"error": message}``."""

    value: dict[str, Any]
    is_error: bool = False


class Simulator:
    """One dialogue's APIs: deterministic and stateful.

    The same calls in the same order have the same answers in any process. Answers conform to ``Tool.output``. What was
    created can be read back, updates are visible, what was deleted is gone, and every answer agrees with those before.

    Args:
        tools: name to tool.
        seed: another one gives another world.
        model: writes the first answer to a call; without one, values are sampled by kind.
        language: ``en`` or ``zh``, of texts in answers.
        wishes: what certain calls' answers must be like.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        seed: int | str,
        model: Model | None = None,
        language: str = "en",
        wishes: Iterable[Wish] = (),
    ) -> None:
        self.tools, self.seed, self.model, self.language = tools, str(seed), model, language
        self.store = Store()
        self._wishes: dict[str, list[Wish]] = {}
        for wish in wishes:
            self._wish(wish)

    @property
    def wishes(self) -> list[Wish]:
        """All that was wished for, in order: a simulator that is made with them replays this one."""
        return [wish for wishes in self._wishes.values() for wish in wishes]

    def copy(self) -> Simulator:
        """A simulator in the same state, which goes its own way."""
        twin = Simulator(self.tools, self.seed, self.model, self.language, self.wishes)
        twin.store = self.store.copy()
        return twin

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        expect: Iterable[Condition] = (),
        need: Iterable[Path] = (),
        draft: Any = None,
    ) -> Answer:
        """The answer of the tool ``name``.

        Args:
            arguments: nulls count as left out.
            expect: conditions that must hold in the answer, whatever their ``step``.
            need: paths at which the answer must have something.
            draft: an answer to set right by what the dialogue knows, in place of the model's.

        Raises:
            UnsteerableError: the schema or earlier answers contradict ``expect`` or ``need``; the state is unchanged.
            AnswerError: the model's draft can't be used.
        """
        tool = self.tools.get(name)
        if tool is None:
            return _error(f"unknown tool '{name}'")
        given = {key: value for key, value in arguments.items() if value is not None}
        if complaint := complain(tool, given):
            return _error(complaint)
        effect = _effect(tool)
        if missing := self._missing(tool, effect, given):
            return _error(missing)
        key = f"{name}{canonical(given)}"
        expect, need = tuple(expect), tuple(need)
        wishes = self._wishes.get(key, [])
        if expect or need:
            wishes = [*wishes, Wish(name, given, expect, need)]
        before = self.store.copy() if wishes else None
        try:
            answer = self._answer(tool, effect, given, key, Steering(wishes), draft)
        except UnsteerableError:
            assert before is not None
            self.store = before
            raise
        except NotDefinedError as error:
            return _error(str(error))
        if expect or need:
            self._wish(wishes[-1])
        return Answer(answer)

    def _wish(self, wish: Wish) -> None:
        known = self._wishes.setdefault(f"{wish.tool}{canonical(dict(wish.arguments))}", [])
        if wish not in known:
            known.append(wish)

    def _missing(self, tool: Tool, effect: Effect, given: Mapping[str, Any]) -> str | None:
        """What the call names that this dialogue has deleted."""
        if not self.store.deleted:
            return None
        for name, value in given.items():
            schema = tool.properties.get(name, {})
            entity = effect.entity if name == effect.parameter else entity_of(name, schema)
            if (name == effect.parameter or is_identifier(name, schema)) and self.store.is_deleted(
                entity, value
            ):
                return f"{entity.replace('_', ' ')} '{value}' not found"
        return None

    def _answer(
        self, tool: Tool, effect: Effect, given: dict[str, Any], key: str, steering: Steering, draft: Any
    ) -> dict[str, Any]:
        store = self.store
        reading = effect.action not in ("create", "update", "delete")
        if reading and (remembered := self._remembered(effect, key, steering)) is not None:
            return remembered
        if effect.action == "create":
            store.repeats[key] = number = store.repeats.get(key, 0) + 1
            key = f"{key}#{number}"
        record = self._record(tool, effect, given, key)
        if draft is None and self.model is not None:
            draft = self._draft(tool, given, key, record)
        writer = AnswerWriter(store, self.seed, self.language)
        call = Call(tool, effect, given, key, record, f"{self.seed}/{key}", steering, draft)
        answer = writer.write(call)
        if steering:
            steering.check(answer)
        if reading:
            store.answers[key] = store.version, _copied(answer)
        else:
            store.version += 1
        if effect.action == "delete" and effect.parameter:
            store.delete(effect.entity, given[effect.parameter])
        elif effect.action == "create" and effect.field and effect.place is not None and not effect.many:
            self._keep(effect, record, answer)
        return answer

    def _remembered(self, effect: Effect, key: str, steering: Steering) -> dict[str, Any] | None:
        """The answer to the same call, if nothing has changed since; what is computed never changes."""
        version, answer = self.store.answers.get(key, (0, None))
        if answer is None or (version != self.store.version and effect.action != "compute"):
            return None
        copy: dict[str, Any] = _copied(answer)
        return copy if steering.is_met(copy) else None

    def _record(self, tool: Tool, effect: Effect, given: Mapping[str, Any], key: str) -> Record | None:
        """The record that the call is about, with the call's changes."""
        if effect.action == "create":
            return Record(dict(given), created=True)
        if (
            effect.parameter is None
            or effect.parameter not in given
            or effect.action in ("list", "search", "compute")
        ):
            return None
        record = self.store.record(effect.entity, given[effect.parameter])
        record.values.setdefault(effect.parameter, given[effect.parameter])
        if effect.action == "update":
            rng = Random(f"{self.seed}/{key}/before")

            def before(field: str, schema: Mapping[str, Any]) -> Any:
                return sample_value(schema, rng, self.language, field)

            record.values.update(changes(tool, effect, given, record.values, before))
        elif effect.action == "get" and len(given) > 1:
            # What depends on more than the record, such as a price on a date, isn't the record's.
            return Record(dict(record.values) | {k: v for k, v in given.items() if k not in record.values})
        return record

    def _keep(self, effect: Effect, record: Record | None, answer: Mapping[str, Any]) -> None:
        """File what was created under the id that its answer gave it."""
        assert record is not None and effect.place is not None
        for place in effect.place:
            answer = answer[place]
        self.store.records.setdefault(effect.entity, {})
        kept = self.store.record(effect.entity, answer[effect.field])  # type: ignore[index]
        kept.values.update(record.values)
        kept.created = True

    def _draft(self, tool: Tool, given: Mapping[str, Any], key: str, record: Record | None) -> Any:
        """What the model wrote to this call when it was first made."""
        assert self.model is not None
        if key not in self.store.drafts:
            number = int.from_bytes(hashlib.sha256(f"{self.seed}/{key}".encode()).digest()[:4])
            known = {
                name: value for name, value in (record.values if record else {}).items() if name not in given
            }
            self.store.drafts[key] = draft_answer(self.model, tool, given, known, number, self.language)
        return self.store.drafts[key]


def complain(tool: Tool, arguments: Mapping[str, Any]) -> str | None:
    """What is wrong with a call's arguments, as an API says it; None if nothing is."""
    if arguments.keys() <= tool.properties.keys() and conforms(dict(arguments), tool.parameters):
        return None
    for name in tool.required:
        if name not in arguments:
            return f"missing required parameter '{name}'"
    for name, value in arguments.items():
        if name not in tool.properties:
            if tool.parameters.get("additionalProperties"):
                continue
            return f"unknown parameter '{name}'"
        if not conforms(value, tool.properties[name]):
            problem = next(jsonschema.Draft202012Validator(tool.properties[name]).iter_errors(value)).message
            return f"invalid value for parameter '{name}': {problem}"
    return None if conforms(dict(arguments), tool.parameters) else "the arguments don't fit together"


def _copied(value: Any) -> Any:
    """JSON that its receiver may change."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _error(message: str) -> Answer:
    return Answer({"error": message}, is_error=True)


_EFFECTS: dict[int, tuple[Tool, Effect]] = {}


def _effect(tool: Tool) -> Effect:
    found = _EFFECTS.get(id(tool))
    if found is None:
        found = _EFFECTS[id(tool)] = (tool, effect_of(tool))  # the tool is kept: its id stays taken
    return found[1]
