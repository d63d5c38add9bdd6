"""What the reasoning agent and the replies are told: the decision, where each argument comes from, what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.operators.plan import Condition, Masked, Output, Plan
from data_synth.simulator.steering import found
from data_synth.tasks.tool_augmented.machine import Decision, Event, Machine
from data_synth.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Source:
    """An argument of a golden call, and where its value comes from.

    Attributes:
        origin: the user's first words of the turn or earlier ones (``user``), an answer to a question (``reply``), or
            an observation.
        tool: whose observation.
        path: in that observation.
        latest: whether it is the last observation, or the user's last words.
    """

    name: str
    value: Any
    origin: Literal["user", "reply", "observation"]
    tool: Tool | None = None
    path: tuple[str | int, ...] = ()
    latest: bool = False


@dataclass(frozen=True, slots=True)
class GoldCall:
    """A call that the agent is to make."""

    step: int
    tool: Tool
    arguments: Mapping[str, Any]
    sources: tuple[Source, ...]

    def to_record(self) -> dict[str, Any]:
        """As the action writes it."""
        return {"name": self.tool.name, "arguments": dict(self.arguments)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition of the user's, and what an observation said about it."""

    condition: Condition
    tool: Tool
    observed: Any
    holds: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """A parameter that the user has to be asked for."""

    tool: Tool
    parameter: str


@dataclass(frozen=True, slots=True)
class Result:
    """A call of this turn and its answer."""

    tool: Tool
    arguments: Mapping[str, Any]
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Situation:
    """One decision of the agent in plain data.

    Attributes:
        event: which of the four transitions.
        request: the user's last words.
        calls: what to call.
        verdicts: conditions that the last observations decided.
        skipped: tools that those conditions have ruled out.
        missing: what to ask for.
        waiting: tools that wait for an observation, with the tools that they wait for.
        results: calls of this turn, in order.
        latest: of ``results``, those of the last message.
        opening: whether it is the first decision after a message of the user.
        later: whether the user has made a request before.
    """

    event: Event
    request: str
    calls: tuple[GoldCall, ...]
    verdicts: tuple[Verdict, ...]
    skipped: tuple[Tool, ...]
    missing: tuple[Missing, ...]
    waiting: tuple[Tool, ...]
    results: tuple[Result, ...]
    latest: tuple[Result, ...]
    opening: bool
    later: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn of the user's has come to so far.

    Attributes:
        results: calls, in order.
        latest: of ``results``, those of the last message.
        verdicts: conditions that were decided before the last message.
        skipped: tools that those have ruled out.
        opening: whether the user has spoken since the last message.
        later: whether there was a turn before.
    """

    results: tuple[Result, ...] = ()
    latest: tuple[Result, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    skipped: tuple[Tool, ...] = ()
    opening: bool = True
    later: bool = False


def situation(
    machine: Machine,
    decision: Decision,
    tools: Mapping[str, Tool],
    request: str,
    turn: Turn,
    replied: frozenset[str],
) -> Situation:
    """The facts of ``decision``, which ``machine`` has made.

    Args:
        replied: slots that the user has given in answer to a question of this turn.
    """
    plan = machine.plan
    calls = tuple(_call(machine, number, tools, turn.latest, replied) for number in decision.steps)
    verdicts = tuple(
        Verdict(
            condition,
            tools[plan.step(condition.step).tool],
            found(machine.answers[condition.step], condition.path),
            holds,
        )
        for condition, holds in decision.verdicts
    )
    waiting = sorted(machine.pending - set(decision.steps) - set(decision.skipped))
    return Situation(
        decision.event,
        request,
        calls,
        verdicts,
        tuple(tools[plan.step(number).tool] for number in decision.skipped),
        tuple(_missing(plan, slot, machine.pending, tools) for slot in decision.slots),
        tuple(tools[plan.step(number).tool] for number in waiting),
        turn.results,
        turn.latest,
        turn.opening,
        turn.later,
    )


def _call(
    machine: Machine,
    number: int,
    tools: Mapping[str, Tool],
    latest: tuple[Result, ...],
    replied: frozenset[str],
) -> GoldCall:
    step = machine.plan.step(number)
    values = machine.arguments(number)
    sources = []
    for name, argument in step.arguments.items():
        if name not in values:
            continue
        if isinstance(argument, Output):
            source = tools[machine.plan.step(argument.step).tool]
            fresh = any(result.tool is source for result in latest)
            sources.append(Source(name, values[name], "observation", source, argument.path, fresh))
        else:
            origin: Literal["user", "reply"] = "reply" if argument.slot in replied else "user"
            sources.append(Source(name, values[name], origin))
    return GoldCall(number, tools[step.tool], values, tuple(sources))


def _missing(plan: Plan, slot: str, pending: frozenset[int], tools: Mapping[str, Tool]) -> Missing:
    for number in sorted(pending):
        for name, argument in plan.step(number).arguments.items():
            if isinstance(argument, Masked) and argument.slot == slot:
                return Missing(tools[plan.step(number).tool], name)
    raise KeyError(slot)


def prompt_view(facts: Situation) -> dict[str, Any]:
    """The situation as JSON, for the prompts."""
    return {
        "transition": str(facts.event),
        "calls": [call.to_record() for call in facts.calls],
        "purposes": {call.tool.name: call.tool.description for call in facts.calls},
        "sources": [
            {"tool": call.tool.name, "parameter": source.name, "from": _from(source)}
            for call in facts.calls
            for source in call.sources
        ],
        "conditions": [
            {
                "field": ".".join(map(str, verdict.condition.path)),
                "of": verdict.tool.name,
                "comparison": verdict.condition.comparison,
                "value": verdict.condition.value,
                "observed": verdict.observed,
                "holds": verdict.holds,
            }
            for verdict in facts.verdicts
        ],
        "ruled_out": [tool.name for tool in facts.skipped],
        "missing": [{"tool": one.tool.name, "parameter": one.parameter} for one in facts.missing],
        "results": [
            {"call": {"name": r.tool.name, "arguments": dict(r.arguments)}, "answer": r.answer}
            for r in facts.results
        ],
    }


def _from(source: Source) -> str:
    if source.tool is not None:
        return f"the answer of {source.tool.name} at {'.'.join(map(str, source.path))}"
    return "what the user answered to the question" if source.origin == "reply" else "what the user said"
