"""Our own decompositions as a source of tool plans: steps in words, edges from arguments and conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, request_seed
from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Given, Masked, Output, Plan
from data_synth.tasks.decomposition.compose import draw_plan, give_values, rounds_of
from data_synth.tasks.decomposition.roles import write_query, write_steps
from data_synth.tasks.decomposition.settings import ComposeSettings
from data_synth.tasks.decomposition.views import step_views
from data_synth.tasks.procedural.dag import close
from data_synth.tasks.procedural.grow import grow_plan
from data_synth.tasks.procedural.workflow import Candidate, GoldPlan, Node, Subtask
from data_synth.tasks.toolbox import Toolbox, public_tool
from data_synth.tools.tool import Tool

SHAPES = ("grown", "grown", "grown", "dependency", "condition", "general")
"""How plans are drawn, in turn by chance: grown ones branch and join."""

MAX_COMPOSED = 6
"""Steps; larger plans are grown, as composing seldom gets that far."""


class Decomposed:
    """Plans over the run's tools."""

    name = "decomposition"

    def __init__(self, toolbox: Toolbox, settings: ComposeSettings) -> None:
        self.toolbox, self.settings = toolbox, settings

    def offers(self, kind: Subtask, language: str) -> bool:
        """Tool use in both languages."""
        return kind == "tools"

    def pool(self, kind: Subtask, language: str) -> Sequence[Candidate]:
        """The run's tools."""
        tools = self.toolbox.tools.values() if kind == "tools" else ()
        return [_candidate(tool, language) for tool in tools]

    def draw(self, kind: Subtask, language: str, size: int, position: int, stream: str) -> GoldPlan:
        """A plan of ``size`` steps, or fewer where this draw has no more, around the tool at ``position``."""
        toolbox = self.toolbox
        try:
            plan = self._plan(size, position, Random(f"{stream}/plan"))
        except NotApplicable as refusal:
            raise AnswerError("no_plan", refusal.reason) from None
        if len(plan.steps) < 2:
            raise AnswerError("one_step", plan.steps[0].tool)
        seed = request_seed(stream, "arguments")
        plan = give_values(plan, toolbox.tools, toolbox.graphs, toolbox.model, seed, language)
        round_ = rounds_of(plan, toolbox.tools)[0]
        shared: dict[str, Any] = {
            "round": round_,
            "steps": step_views(plan, round_, toolbox.tools),
            "history": (),
        }
        task = write_query(toolbox.model, language, stream, shared)
        shared["round"] = dataclasses.replace(round_, query=task)
        texts = write_steps(toolbox.model, language, stream, shared)
        if len(set(texts)) < len(texts):
            raise AnswerError("two_steps_alike")
        nodes = (Node(text, (step.tool,)) for text, step in zip(texts, plan.steps, strict=True))
        return GoldPlan(
            kind="tools",
            task=task,
            nodes=tuple(nodes),
            edges=close(len(texts), [(edge.source, edge.target) for edge in plan.edges()]),
            own=(),
            language=language,
            source=self.name,
            licence="Apache-2.0",
            structure=structure(plan),
            record=plan.to_record(),
            operators=plan.operators,
        )

    def _plan(self, size: int, position: int, rng: Random) -> Plan:
        shape = "grown" if size > MAX_COMPOSED else rng.choice(SHAPES)
        if shape == "grown":
            anchor = self.toolbox.tool_at(position)
            return grow_plan(self.toolbox, anchor, size, self.settings.optional_share, rng)
        settings = dataclasses.replace(self.settings, max_atoms=size, max_steps=size)
        return draw_plan(self.toolbox, settings, shape, position, rng)  # type: ignore[arg-type]


def structure(plan: Plan) -> str:
    """The plan without its values: tools, where arguments come from, and conditions."""
    parts = []
    for step in plan.steps:
        arguments: list[tuple[Any, ...]] = []
        for name, argument in sorted(step.arguments.items()):
            match argument:
                case Output(source, path):
                    arguments.append((name, source, path))
                case Given(_, slot) | Masked(_, slot):
                    arguments.append((name, slot))
        conditions = [(c.step, c.path, c.comparison) for c in step.when]
        parts.append((step.tool, arguments, conditions))
    return repr(parts)


def _candidate(tool: Tool, language: str) -> Candidate:
    function = public_tool(tool, language)["function"]
    return Candidate(tool.name, function["description"], function["parameters"], tool.domain)
