"""What the verifier needs of a blueprint: its turns, its record, its plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_synth.operators.plan import Condition, Given, Output, Plan, Step
from data_synth.tasks.decomposition.blueprint import Blueprint, Round
from data_synth.tasks.decomposition.wording import words_of
from data_synth.tools.tool import Tool


def gold_of(blueprint: Blueprint, tools: Mapping[str, Tool]) -> dict[str, Any]:
    """``turns`` (one per assistant message), ``record`` (section 3.1's format, a pair per round), ``plan``."""
    rounds = blueprint.rounds
    return {
        "turns": [_turn(round_, blueprint, tools) for round_ in rounds],
        "record": "\n".join(f"<Query>{r.query}</Query>\n<Plan>{numbered(r.texts)}</Plan>" for r in rounds),
        "plan": blueprint.plan.to_record(),
    }


def answer_text(round_: Round) -> str:
    """The assistant's message, in Table 1's format."""
    return f"<Plan>{numbered(round_.texts)}</Plan><Reply>{round_.reply}</Reply>"


def numbered(texts: tuple[str, ...]) -> str:
    """``Step1.… Step2.…``"""
    return " ".join(f"Step{number}.{text}" for number, text in enumerate(texts, 1))


def _turn(round_: Round, blueprint: Blueprint, tools: Mapping[str, Tool]) -> dict[str, Any]:
    plan, language = blueprint.plan, blueprint.language
    masked = plan.masked()
    return {
        "kind": round_.kind,
        "plan": list(round_.texts),
        "reply": round_.reply,
        "steps": [_step(step, tools, language) for step in round_.steps],
        "says": {
            slot: {"value": value, "spoken": _spoken(slot, value, plan, tools, language)}
            for slot, value in round_.slots.items()
        },
        "asks": {
            slot: {"value": masked[slot], "spoken": _spoken(slot, masked[slot], plan, tools, language)}
            for slot in round_.asks
        },
    }


def _step(step: Step, tools: Mapping[str, Tool], language: str) -> dict[str, Any]:
    given = {name: a.value for name, a in step.arguments.items() if isinstance(a, Given)}
    taken = {
        name: {"step": a.step, "path": list(a.path)}
        for name, a in step.arguments.items()
        if isinstance(a, Output)
    }
    spoken = {name: _words(value, tools[step.tool], name, language) for name, value in given.items()}
    return {
        "id": step.id,
        "tool": step.tool,
        "arguments": given,
        "takes": taken,
        "depends_on": sorted({source for source, _ in step.sources()}),
        "when": [_condition(condition) for condition in step.when],
        "spoken": {name: words for name, words in spoken.items() if words},
    }


def _condition(condition: Condition) -> dict[str, Any]:
    record: dict[str, Any] = {
        "step": condition.step,
        "path": list(condition.path),
        "comparison": condition.comparison,
    }
    return record if condition.value is None else record | {"value": condition.value}


def _spoken(slot: str, value: Any, plan: Plan, tools: Mapping[str, Tool], language: str) -> list[str]:
    """Other names of a value, wherever its slot is used."""
    names: list[str] = []
    for step in plan.steps:
        for name, argument in step.arguments.items():
            if not isinstance(argument, Output) and argument.slot == slot:
                names += _words(value, tools[step.tool], name, language)
    return list(dict.fromkeys(names))


def _words(value: Any, tool: Tool, name: str, language: str) -> list[str]:
    known = words_of(tool, name, language)
    return [known[value]] if isinstance(value, str) and value in known and known[value] != value else []
