"""ACEBench's verdict on what an agent left behind: states of the involved classes, and milestones passed.

As the official evaluator judges (chenchen0103/ACEBench 56dd66c, MIT), oddities included: there are as many classes as
in the gold, and each of the gold's is compared with the first of its name. A class that isn't there isn't missed
(four golds spell one wrong; one in an object with another isn't found either), nor is an attribute that isn't there,
nor is anything added to an object, such as a second message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

type States = Sequence[dict[str, dict[str, Any]]]
"""Of each class its name to its attributes."""


def states_differ(gold: States, states: Any) -> str:
    """What is wrong with ``states``; empty where they are accepted."""
    if not isinstance(states, list):
        return "no list of class states"
    if len(states) != len(gold):
        return f"{len(states)} classes used, the gold has {len(gold)}"
    for wanted in gold:
        state: Any = next(
            (one for one in states if not isinstance(one, dict) or one.keys() == wanted.keys()), {}
        )
        if not isinstance(state, dict):
            return "no list of class states"
        for name, told in state.items():
            if not isinstance(told, dict):
                return f"{name} has no attributes"
            if attribute := _differing(wanted[name], told):
                return f"{name}: {attribute} isn't as in the gold"
    return ""


def _differing(gold: dict[str, Any], state: dict[str, Any]) -> str:
    """The first attribute that differs; empty where none does."""
    for attribute, value in state.items():
        if attribute not in gold:
            return attribute[:60]
        wanted = gold[attribute]
        if isinstance(wanted, dict):
            if not isinstance(value, dict) or any(
                key not in value or value[key] != entry for key, entry in wanted.items()
            ):
                return attribute
        elif wanted != value:
            return attribute
    return ""


def milestone_share(milestones: Sequence[Any], commands: Sequence[str]) -> float:
    """The share of the gold's milestones that the agent's commands begin with in their order, others between them.

    Of several alternative lists the best counts, rounded to three places as officially.
    """
    if isinstance(milestones[0], list):
        return max(round(_share(alternative, commands), 3) for alternative in milestones)
    return _share(milestones, commands)


def _share(milestones: Sequence[str], commands: Sequence[str]) -> float:
    if not milestones:
        return 1.0
    said = iter([command.strip() for command in commands])
    passed = 0
    for milestone in milestones:  # one that isn't found uses up the commands
        passed += any(command == milestone.strip() for command in said)
    return passed / len(milestones)
