"""One attempt at a decomposition row: a plan, its words, and the three checks of section 3.1."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, request_seed
from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Output, Plan
from data_synth.tasks.base import Attempt, in_turn, text_digest
from data_synth.tasks.decomposition.blueprint import Blueprint, rounds_of
from data_synth.tasks.decomposition.compose import put_into_words
from data_synth.tasks.decomposition.draw import draw_plan
from data_synth.tasks.decomposition.gold import answer_text, gold_of
from data_synth.tasks.decomposition.judge import judge
from data_synth.tasks.decomposition.settings import DecompositionRun
from data_synth.tasks.decomposition.system_prompts import system_prompt
from data_synth.tasks.decomposition.values import give_values
from data_synth.tasks.decomposition.verify import RECORD, parse
from data_synth.tasks.toolbox import Toolbox, public_tool

GENERATOR = "decomposition 1"
"""Name and version; the version rises whenever the same seed gives other bytes."""
TRIES_PER_TOOL = 4
"""Attempts around one tool before another takes its turn."""


class DecompositionTask:
    """Makes rows of the four subtasks in turn."""

    generator = GENERATOR

    def __init__(self, settings: DecompositionRun) -> None:
        self.settings = settings
        self.toolbox = Toolbox.open(settings)

    def domain(self, index: int) -> str:
        """``decomposition/<subtask>``."""
        return f"decomposition/{in_turn(self.settings.decomposition.subtasks, index)[0]}"

    def attempt(self, index: int, attempt: int) -> Attempt:
        """Row ``index``; random numbers come from (seed, task, subtask, its turn, attempt) alone."""
        subtask, turn = in_turn(self.settings.decomposition.subtasks, index)
        stream = f"{self.settings.seed}/decomposition/{subtask}/{turn}/{attempt}"
        position = index + attempt // TRIES_PER_TOOL * len(self.toolbox.tools) // 7
        content: dict[str, Any] = {}
        fingerprint = text_digest(stream)
        try:
            plan = draw_plan(
                self.toolbox, self.settings.decomposition.compose, subtask, position, Random(f"{stream}/plan")
            )
            content["plan"] = plan.to_record()
            language = self.toolbox.language(turn)
            plan = self._valued(plan, stream, language)
            fingerprint, content["plan"] = fingerprint_of(plan), plan.to_record()
            rounds = rounds_of(plan, self.toolbox.tools)
            rounds = put_into_words(self.toolbox, plan, rounds, language, stream)
        except NotApplicable as refusal:
            return Attempt(fingerprint, "not_applicable", content | {"detail": refusal.reason})
        except AnswerError as error:
            return Attempt(fingerprint, error.reason, content | {"detail": error.detail})
        blueprint = Blueprint(plan, subtask, language, rounds)
        return self._filtered(self._row(blueprint, stream, turn, fingerprint), stream)

    def _valued(self, plan: Plan, stream: str, language: str) -> Plan:
        box = self.toolbox
        return give_values(
            plan, box.tools, box.graphs, box.model, request_seed(stream, "arguments"), language
        )

    def _filtered(self, row: dict[str, Any], stream: str) -> Attempt:
        """Schema check, then semantic verification; the engine removes near-duplicates."""
        fingerprint, gold = row["meta"]["instance"], row["gold"]
        answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        if RECORD.fullmatch(gold["record"]) is None or any(parse(text) is None for text in answers):
            return Attempt(fingerprint, "format", row)
        if not self.settings.filters.judge:
            return Attempt(fingerprint, None, row)
        queries = [message["content"] for message in row["messages"] if message["role"] == "user"]
        used = {step["tool"] for step in gold["plan"]["steps"]}
        tools = [tool for tool in row["tools"] if tool["function"]["name"] in used]
        try:
            agree, reason = judge(
                self.toolbox.model,
                queries,
                gold["turns"],
                tools,
                request_seed(stream, "judge"),
                row["meta"]["language"],
            )
        except AnswerError as error:
            return Attempt(fingerprint, error.reason, {**row, "detail": error.detail})
        return (
            Attempt(fingerprint, None, row)
            if agree
            else Attempt(fingerprint, "semantic", {**row, "detail": reason})
        )

    def _row(self, blueprint: Blueprint, stream: str, turn: int, fingerprint: str) -> dict[str, Any]:
        settings, rng = self.settings, Random(f"{stream}/row")
        language, subtask = blueprint.language, blueprint.subtask
        messages = [{"role": "system", "content": system_prompt(language, rng)}]
        for round_ in blueprint.rounds:
            messages.append({"role": "user", "content": round_.query})
            messages.append({"role": "assistant", "content": answer_text(round_)})
        candidates = [self.toolbox.tools[name] for name in blueprint.tools]
        candidates += self.toolbox.distractors(blueprint.tools, settings.decomposition.num_distractors, rng)
        rng.shuffle(candidates)
        plan = blueprint.plan
        return {
            "id": f"decomposition-{subtask}-{settings.split}-{settings.seed}-{turn:06d}",
            "task": "decomposition",
            "subtask": subtask,
            "messages": messages,
            "tools": [public_tool(tool, language) for tool in candidates],
            "gold": gold_of(blueprint, self.toolbox.tools),
            "meta": {
                "seed": settings.seed,
                "generator": GENERATOR,
                "operators": list(plan.operators),
                "certificate": {"judged": settings.filters.judge},
                "instance": fingerprint,
                "language": language,
                "size": len(plan.steps),
                "split": self.toolbox.split_of(tool.name for tool in candidates),
                "model": self.toolbox.model.name,
                "domains": sorted({self.toolbox.tools[name].domain for name in blueprint.tools}),
            },
        }


def fingerprint_of(plan: Plan) -> str:
    """SHA-256 of what a plan does: tools, edges, conditions, turns, which values are shared, and the values.

    Slots are numbered in their order, so their names don't matter; neither do words, ids or operators. Two rows of one
    instance ask for the same calls with the same values.
    """
    slots: dict[str, int] = {}
    steps = []
    for step in plan.steps:
        arguments = {}
        for name, argument in step.arguments.items():
            if isinstance(argument, Output):
                arguments[name] = ["output", argument.step, *argument.path]
            else:
                slot = slots.setdefault(argument.slot, len(slots))
                arguments[name] = [type(argument).__name__, slot, argument.value]
        when = [[c.step, list(c.path), c.comparison, c.value] for c in step.when]
        steps.append([step.tool, arguments, when])
    turns = [[sorted(turn.steps), sorted(slots[slot] for slot in turn.slots)] for turn in plan.turns]
    text = json.dumps([steps, turns], sort_keys=True, ensure_ascii=False)
    return text_digest(text)
