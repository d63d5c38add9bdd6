"""A seed as a data row: messages, tools, and what the verifier and the reward need."""

from __future__ import annotations

from random import Random
from typing import Any

from data_synth.operators.plan import Output
from data_synth.tasks.long_horizon.seeds import Seed
from data_synth.tasks.long_horizon.trajectory import REPLY
from data_synth.tasks.long_horizon.wording import reply_tool, system_prompt
from data_synth.tasks.toolbox import Toolbox, public_tool


def build_row(seed: Seed, toolbox: Toolbox, rng: Random) -> dict[str, Any]:
    """The row, but for its id and ``meta``."""
    task, told = seed.task, seed.trajectory
    tools = [toolbox.tools[name] for name in task.candidates]
    called = [toolbox.tools[name] for name in dict.fromkeys(call["name"] for call in told.calls)]
    system = {"role": "system", "content": system_prompt(seed.setup, seed.language, rng)}
    return {
        "id": "",
        "task": "long_horizon",
        "subtask": task.difficulty,
        "messages": [system, *told.messages],
        "tools": [*(public_tool(tool, seed.language) for tool in tools), reply_tool(seed.language)],
        "gold": {
            "turns": [_turn(turn, seed, toolbox) for turn in told.turns],
            "setup": {
                "problem": seed.setup.problem,
                "rules": list(seed.setup.rules),
                "known": task.plan.slots(),
            },
            "termination": told.termination,
            "label": seed.label,
            "plan": task.plan.to_record(),
            "environment": {**seed.environment.to_record(), "tools": [tool.to_world() for tool in called]},
        },
    }


def _turn(turn: dict[str, Any], seed: Seed, toolbox: Toolbox) -> dict[str, Any]:
    """A call, the steps whose answers it uses, and how the user says values of enumerations."""
    call = turn["call"]
    if call["name"] == REPLY:
        return {"call": call}
    step, tool = seed.task.plan.step(turn["step"]), toolbox.tools[call["name"]]
    sources = {
        name: a.step
        for name, a in step.arguments.items()
        if isinstance(a, Output) and name in call["arguments"]
    }
    record = {"call": call, "step": step.id, "sources": sources}
    words = tool.hints.get("words", {})
    said = {n: words[n][seed.language] for n in call["arguments"] if seed.language in words.get(n, {})}
    return record | ({"words": said} if said else {}) | ({"failed": True} if turn["failed"] else {})
