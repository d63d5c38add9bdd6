"""Composing: a plan from the graphs, its values, its rounds, and the words of user and assistant (section 3.1).

The other tools' tasks begin here. ``compose`` gives everything at once; ``draw_plan``, ``give_values``, ``rounds_of``
and ``put_into_words`` are its stages.
"""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from data_synth.llm.model import request_seed
from data_synth.operators.plan import Plan
from data_synth.tasks.decomposition.blueprint import Blueprint, Round, rounds_of
from data_synth.tasks.decomposition.draw import draw_plan
from data_synth.tasks.decomposition.roles import write_query, write_reply, write_steps
from data_synth.tasks.decomposition.settings import ComposeSettings, Subtask
from data_synth.tasks.decomposition.values import give_values
from data_synth.tasks.decomposition.views import step_views
from data_synth.tasks.toolbox import Toolbox

__all__ = ["Blueprint", "Round", "compose", "draw_plan", "give_values", "put_into_words", "rounds_of"]


def compose(
    toolbox: Toolbox,
    settings: ComposeSettings,
    subtask: Subtask,
    language: str,
    position: int,
    stream: str,
) -> Blueprint:
    """A blueprint of ``subtask``.

    Args:
        position: which tool must be in it, ``toolbox.tool_at(position)``; a row's index.
        stream: names the random numbers; two of them give two blueprints.

    Raises:
        NotApplicable: this draw made no plan of the subtask.
        AnswerError: an answer of the model couldn't be used.
    """
    plan = draw_plan(toolbox, settings, subtask, position, Random(f"{stream}/plan"))
    seed = request_seed(stream, "arguments")
    plan = give_values(plan, toolbox.tools, toolbox.graphs, toolbox.model, seed, language)
    rounds = put_into_words(toolbox, plan, rounds_of(plan, toolbox.tools), language, stream)
    return Blueprint(plan, subtask, language, rounds)


def put_into_words(
    toolbox: Toolbox, plan: Plan, rounds: tuple[Round, ...], language: str, stream: str
) -> tuple[Round, ...]:
    """The rounds with query, texts of the steps and reply; the model sees the dialogue so far.

    Raises:
        AnswerError: an answer of the model couldn't be used.
    """
    worded: list[Round] = []
    for number, round_ in enumerate(rounds):
        shared: dict[str, Any] = {
            "round": round_,
            "steps": step_views(plan, round_, toolbox.tools),
            "history": tuple(worded),
        }
        ask_of = toolbox.model, language, f"{stream}/{number}", shared
        shared["round"] = round_ = dataclasses.replace(round_, query=write_query(*ask_of))
        shared["round"] = round_ = dataclasses.replace(round_, texts=tuple(write_steps(*ask_of)))
        worded.append(dataclasses.replace(round_, reply=write_reply(*ask_of)))
    return tuple(worded)
