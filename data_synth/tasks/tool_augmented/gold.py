"""What a row's verifier needs: the golden calls with their sources, the plan, and the simulated world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from data_synth.operators.plan import Output, Plan
from data_synth.simulator.simulator import Simulator
from data_synth.tasks.tool_augmented.dialogue import Dialogue, Move
from data_synth.tasks.tool_augmented.situation import GoldCall, Source


def gold_of(dialogue: Dialogue, plan: Plan, simulator: Simulator, language: str) -> dict[str, Any]:
    """The row's ``gold``."""
    turns = [_turn(move, plan, language) for move in dialogue.moves]
    used = dict.fromkeys(call.tool.name for move in dialogue.moves for call in move.situation.calls)
    return {
        "turns": turns,
        "plan": plan.to_record(),
        "simulator": {
            "seed": simulator.seed,
            "language": simulator.language,
            "wishes": [wish.to_record() for wish in simulator.wishes],
            "tools": [simulator.tools[name].to_world() for name in used],
        },
    }


def _turn(move: Move, plan: Plan, language: str) -> dict[str, Any]:
    facts = move.situation
    calls = facts.calls
    return {
        "calls": [dict(call) for call in move.calls],
        "transition": str(facts.event),
        "step_ids": [call.step for call in calls],
        "sources": [_sources(call, plan, language) for call in calls] or [{} for _ in move.calls],
    }


def _sources(call: GoldCall, plan: Plan, language: str) -> dict[str, Any]:
    return {source.name: _source(source, call, plan, language) for source in call.sources}


def _source(source: Source, call: GoldCall, plan: Plan, language: str) -> dict[str, Any]:
    argument = plan.step(call.step).arguments[source.name]
    if isinstance(argument, Output):
        return {"from": "observation", "step": argument.step, "path": list(argument.path)}
    words = call.tool.hints.get("words", {}).get(source.name, {}).get(language, {})
    values: Iterable[Any] = source.value if isinstance(source.value, list) else [source.value]
    spoken = {value: words[value] for value in values if isinstance(value, str) and value in words}
    return {"from": "user", "asked": source.origin == "reply"} | ({"words": spoken} if spoken else {})
