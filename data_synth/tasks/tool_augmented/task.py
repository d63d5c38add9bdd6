"""One attempt at a tool-augmented row: a decomposition's plan, carried out move by move (section 3.2)."""

from __future__ import annotations

from collections import Counter
from functools import cached_property, partial
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, request_seed
from data_synth.llm.scripted import ScriptedModel
from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Plan
from data_synth.simulator.simulator import Simulator
from data_synth.tasks.base import Attempt, in_turn, text_digest
from data_synth.tasks.decomposition.draw import draw_plan
from data_synth.tasks.decomposition.settings import Subtask
from data_synth.tasks.decomposition.task import TRIES_PER_TOOL, fingerprint_of
from data_synth.tasks.decomposition.values import give_values
from data_synth.tasks.tool_augmented.audit import audit, stray_tool
from data_synth.tasks.tool_augmented.dialogue import Dialogue, Director
from data_synth.tasks.tool_augmented.distractors import Distractors, open_tools_embedder
from data_synth.tasks.tool_augmented.gold import gold_of
from data_synth.tasks.tool_augmented.settings import ToolAugmentedRun
from data_synth.tasks.tool_augmented.steer import Course
from data_synth.tasks.tool_augmented.system_prompts import REPLY_TOOL, system_prompt
from data_synth.tasks.tool_augmented.verify import verify_row
from data_synth.tasks.toolbox import Toolbox, public_tool

GENERATOR = "tool_augmented 1"
"""Name and version; the version rises whenever the same seed gives other bytes."""


class ToolAugmentedTask:
    """Makes rows of the four subtasks in turn."""

    generator = GENERATOR

    def __init__(self, settings: ToolAugmentedRun) -> None:
        self.settings = settings
        self.toolbox = Toolbox.open(settings)
        if settings.tool_augmented.distractors == "embedding":
            self.distractors.prepare()  # once, before workers are forked

    @cached_property
    def distractors(self) -> Distractors:
        """Of the run's tools."""
        open_embed = partial(open_tools_embedder, self.settings.tools)
        return Distractors(self.toolbox.tools, self.settings.tool_augmented.distractors, open_embed)

    def domain(self, index: int) -> str:
        """``tool_augmented/<subtask>``."""
        return f"tool_augmented/{in_turn(self.settings.tool_augmented.subtasks, index)[0]}"

    def attempt(self, index: int, attempt: int) -> Attempt:
        """Row ``index``; random numbers come from (seed, task, subtask, its turn, attempt) alone."""
        subtask, turn = in_turn(self.settings.tool_augmented.subtasks, index)
        stream = f"{self.settings.seed}/tool_augmented/{subtask}/{turn}/{attempt}"
        content: dict[str, Any] = {}
        fingerprint = text_digest(stream)
        try:
            plan = self._plan(subtask, index, attempt, stream)
            content["plan"] = plan.to_record()
            language = self.toolbox.language(turn)
            plan = self._valued(plan, stream, language)
            fingerprint, content["plan"] = fingerprint_of(plan), plan.to_record()
            dialogue, simulator = self._unfold(plan, stream, language)
            row = self._row(plan, dialogue, simulator, subtask, turn, stream, fingerprint)
            self._filter(row, stream, language)
        except NotApplicable as refusal:
            return Attempt(fingerprint, "not_applicable", content | {"detail": refusal.reason})
        except AnswerError as error:
            return Attempt(fingerprint, error.reason, content | {"detail": error.detail})
        return Attempt(fingerprint, None, row)

    def _plan(self, subtask: Subtask, index: int, attempt: int, stream: str) -> Plan:
        position = index + attempt // TRIES_PER_TOOL * len(self.toolbox.tools) // 7
        compose = self.settings.tool_augmented.compose
        return draw_plan(self.toolbox, compose, subtask, position, Random(f"{stream}/plan"))

    def _valued(self, plan: Plan, stream: str, language: str) -> Plan:
        box, seed = self.toolbox, request_seed(stream, "arguments")
        return give_values(plan, box.tools, box.graphs, box.model, seed, language)

    def _unfold(self, plan: Plan, stream: str, language: str) -> tuple[Dialogue, Simulator]:
        """The dialogue, and the world as it left it."""
        box = self.toolbox
        model = None if type(box.model) is ScriptedModel else box.model
        simulator = Simulator(box.tools, stream, model, language)
        course = Course(plan, Random(f"{stream}/course"))
        return Director(box, plan, course, simulator, language, stream).run(), simulator

    def _row(
        self,
        plan: Plan,
        dialogue: Dialogue,
        simulator: Simulator,
        subtask: Subtask,
        turn: int,
        stream: str,
        fingerprint: str,
    ) -> dict[str, Any]:
        settings, language, rng = self.settings, simulator.language, Random(f"{stream}/row")
        golden = dict.fromkeys(step.tool for step in plan.steps)
        candidates = [self.toolbox.tools[name] for name in golden]
        candidates += self.distractors.choose(golden, settings.tool_augmented.num_distractors, rng)
        rng.shuffle(candidates)
        return {
            "id": f"tool_augmented-{subtask}-{settings.split}-{settings.seed}-{turn:06d}",
            "task": "tool_augmented",
            "subtask": subtask,
            "messages": [{"role": "system", "content": system_prompt(language, rng)}, *dialogue.messages],
            "tools": [public_tool(tool, language) for tool in (*candidates, REPLY_TOOL)],
            "gold": gold_of(dialogue, plan, simulator, language),
            "meta": {
                "seed": settings.seed,
                "generator": GENERATOR,
                "operators": list(plan.operators),
                "certificate": {"replayed": True, "judged": settings.filters.judge},
                "instance": fingerprint,
                "language": language,
                "size": len(plan.steps),
                "split": self.toolbox.split_of(tool.name for tool in candidates),
                "model": self.toolbox.model.name,
                "domains": sorted({self.toolbox.tools[name].domain for name in golden}),
                "transitions": dict(Counter(str(move.situation.event) for move in dialogue.moves)),
            },
        }

    def _filter(self, row: dict[str, Any], stream: str, language: str) -> None:
        """Raise AnswerError for a row whose thoughts stray, that can't be replayed, or that the judge calls unsound."""
        messages, turns, tools = row["messages"], row["gold"]["turns"], row["tools"]
        if problem := stray_tool(messages, turns, tools):
            raise AnswerError("inconsistent_reasoning", problem)
        sound, problem = verify_row(row)
        if not sound:
            raise AnswerError("unverified", problem)
        if self.settings.filters.judge:
            audit(self.toolbox.model, language, request_seed(stream, "judge"), messages, turns, tools)
