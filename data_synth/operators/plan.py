"""A plan: steps that call tools, where their arguments come from, when they run, and what the user says when.

Edges aren't stored but follow from the steps: a step depends on those whose outputs it takes or is conditioned on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.tools.tool import Tool

Operator = Literal["concatenate", "add", "group", "mask", "transform", "split"]
Comparison = Literal["==", "!=", "<", "<=", ">", ">=", "is_empty", "not_empty"]


@dataclass(frozen=True, slots=True)
class Given:
    """A value that the user says. Arguments of the same ``slot`` share one mention of it."""

    value: Any
    slot: str


@dataclass(frozen=True, slots=True)
class Masked:
    """A value that the user keeps back until asked."""

    value: Any
    slot: str


@dataclass(frozen=True, slots=True)
class Output:
    """What stands at ``path`` in the answer of an earlier step; a number in the path is a list's index."""

    step: int
    path: tuple[str | int, ...]


type Argument = Given | Masked | Output


@dataclass(frozen=True, slots=True)
class Condition:
    """``<output of step at path> <comparison> <value>``; the last two comparisons take no value."""

    step: int
    path: tuple[str | int, ...]
    comparison: Comparison
    value: Any = None

    def holds(self, found: Any) -> bool:
        """Whether ``found``, the value at the path (None where there is none), meets the condition."""
        match self.comparison:
            case "is_empty":
                return found in (None, "", [], {})
            case "not_empty":
                return found not in (None, "", [], {})
            case "==":
                return bool(found == self.value)
            case "!=":
                return bool(found != self.value)
        if not isinstance(found, int | float) or isinstance(found, bool):
            return False
        match self.comparison:
            case "<":
                return found < self.value
            case "<=":
                return found <= self.value
            case ">":
                return found > self.value
        return found >= self.value

    def negated(self) -> Condition:
        """Holds exactly where this one doesn't, for a value that the comparison is about."""
        return dataclasses.replace(self, comparison=_NEGATIONS[self.comparison])


_NEGATIONS: dict[Comparison, Comparison] = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    "<=": ">",
    ">": "<=",
    "is_empty": "not_empty",
    "not_empty": "is_empty",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call.

    Attributes:
        id: position in the plan, from 1.
        tool: name.
        arguments: parameter name to where its value comes from; null arguments are never there.
        when: all of these must hold, or the step isn't run.
        atom: number of the atomic plan that it came from, from 0.
    """

    id: int
    tool: str
    arguments: Mapping[str, Argument]
    when: tuple[Condition, ...] = ()
    atom: int = 0

    def sources(self) -> Iterator[tuple[int, Literal["data", "condition"]]]:
        """The steps that this one depends on, and why."""
        for argument in self.arguments.values():
            if isinstance(argument, Output):
                yield argument.step, "data"
        for condition in self.when:
            yield condition.step, "condition"


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user brings up in one turn: steps to be done, and slots whose values are said."""

    steps: frozenset[int]
    slots: frozenset[str]


@dataclass(frozen=True, slots=True)
class Edge:
    """``target`` needs the answer of ``source``."""

    source: int
    target: int
    kind: Literal["data", "condition"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order in which they can be run.

    Attributes:
        steps: ids 1, 2, …, each depending on earlier ones only.
        turns: every step and every slot that isn't masked occurs in exactly one of them.
        operators: what made the plan, in the order of application.
    """

    steps: tuple[Step, ...]
    turns: tuple[Turn, ...]
    operators: tuple[Operator, ...] = ()

    def edges(self) -> list[Edge]:
        """Each dependency once, sorted; ``data`` where both kinds join the same two steps."""
        kinds: dict[tuple[int, int], Literal["data", "condition"]] = {}
        for step in self.steps:
            for source, kind in step.sources():
                if kinds.get((source, step.id)) != "data":
                    kinds[source, step.id] = kind
        return [Edge(*pair, kind) for pair, kind in sorted(kinds.items())]

    def step(self, number: int) -> Step:
        return self.steps[number - 1]

    def slots(self) -> dict[str, Any]:
        """Slot to value, of what the user says without being asked."""
        return self._values(Given)

    def masked(self) -> dict[str, Any]:
        """Slot to value, of what the user keeps back."""
        return self._values(Masked)

    def _values(self, kind: type[Given] | type[Masked]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for step in self.steps:
            for argument in step.arguments.values():
                if isinstance(argument, kind):
                    found.setdefault(argument.slot, argument.value)
        return found

    def check(self, tools: Mapping[str, Tool]) -> str | None:
        """What is wrong with the plan as a graph over ``tools``; None if nothing is."""
        for number, step in enumerate(self.steps, 1):
            if step.id != number:
                return f"step {step.id} stands at position {number}"
            if step.tool not in tools:
                return f"step {number}: no tool {step.tool}"
            tool = tools[step.tool]
            if missing := [name for name in tool.required if name not in step.arguments]:
                return f"step {number}: {step.tool} needs {missing[0]}"
            if unknown := [name for name in step.arguments if name not in tool.properties]:
                return f"step {number}: {step.tool} has no parameter {unknown[0]}"
            if any(source >= number for source, _ in step.sources()):
                return f"step {number} depends on a later one"
        if sorted(number for turn in self.turns for number in turn.steps) != [s.id for s in self.steps]:
            return "the turns' steps aren't the plan's"
        if sorted(slot for turn in self.turns for slot in turn.slots) != sorted(self.slots()):
            return "the turns' slots aren't the plan's"
        place = {number: at for at, turn in enumerate(self.turns) for number in turn.steps}
        for edge in self.edges():
            if place[edge.source] > place[edge.target]:
                return f"step {edge.target} depends on a later turn's step {edge.source}"
        values: dict[str, Any] = {}
        for step in self.steps:
            for argument in step.arguments.values():
                if isinstance(argument, Output):
                    continue
                if values.setdefault(argument.slot, argument.value) != argument.value:
                    return f"slot {argument.slot} has two values"
        return None

    def to_record(self) -> dict[str, Any]:
        """As JSON, for ``gold`` and ``meta``."""
        return {
            "steps": [_step_record(step) for step in self.steps],
            "edges": [[edge.source, edge.target, edge.kind] for edge in self.edges()],
            "turns": [{"steps": sorted(t.steps), "slots": sorted(t.slots)} for t in self.turns],
        }


def single_turn(steps: tuple[Step, ...], operators: tuple[Operator, ...] = ()) -> Plan:
    """A plan whose user says everything at once."""
    plan = Plan(steps, (), operators)
    turn = Turn(frozenset(step.id for step in steps), frozenset(plan.slots()))
    return dataclasses.replace(plan, turns=(turn,))


def _step_record(step: Step) -> dict[str, Any]:
    record: dict[str, Any] = {"id": step.id, "tool": step.tool, "arguments": {}}
    for name, argument in step.arguments.items():
        match argument:
            case Given(value, slot):
                record["arguments"][name] = {"value": value, "slot": slot}
            case Masked(value, slot):
                record["arguments"][name] = {"value": value, "slot": slot, "masked": True}
            case Output(source, path):
                record["arguments"][name] = {"step": source, "path": list(path)}
    if step.when:
        record["when"] = [
            dataclasses.asdict(condition) | {"path": list(condition.path)} for condition in step.when
        ]
    return record
