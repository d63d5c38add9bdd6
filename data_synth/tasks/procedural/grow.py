"""Plans whose steps branch and join, grown over the dependency graph one tool at a time.

The operators of decomposition join plans end to end or side by side; a workflow also has answers that several steps
need, and steps that need several answers.
"""

from __future__ import annotations

import dataclasses
from random import Random

from data_synth.operators.atoms import check_link, isolated
from data_synth.operators.group import shared_slots
from data_synth.operators.merge import NotApplicable, side_by_side, without_unused_slots
from data_synth.operators.plan import Argument, Operator, Output, Plan, Step
from data_synth.operators.schema import is_plain
from data_synth.tasks.decomposition.wording import is_identifier
from data_synth.tasks.toolbox import Toolbox
from data_synth.tools.tool import Tool

FOLLOW_SHARE = 0.8
"""Of the steps after the first, those that need an earlier answer, where the graph has one."""
JOIN_SHARE = 0.6
"""Of the further parameters that an earlier answer could give, those that it does."""
SHARE_SLOT = 0.7
"""Of the user's values that an earlier step already takes, those said once."""
OTHER_LINKS = 0.2
"""Weight of a link that passes on something else than the id of a thing, against 1."""
TRIES_PER_STEP = 4


def grow_plan(toolbox: Toolbox, anchor: Tool, size: int, optional_share: float, rng: Random) -> Plan:
    """A plan of one turn from ``anchor`` on, of ``size`` steps where the graph has as many; its values are None.

    Raises:
        NotApplicable: it doesn't get beyond the first step.
    """
    grower = _Grower(toolbox, optional_share, rng)
    plan = isolated(anchor, grower.optional(anchor))
    for _ in range(size * TRIES_PER_STEP):
        if len(plan.steps) == size:
            break
        plan = grower.extended(plan)
    if len(plan.steps) < 2:
        raise NotApplicable(f"nothing goes with {anchor.name}")
    if wrong := plan.check(toolbox.tools):
        raise AssertionError(wrong)
    return plan


class _Grower:
    """The draws of one plan."""

    def __init__(self, toolbox: Toolbox, optional_share: float, rng: Random) -> None:
        self.tools, self.graphs = toolbox.tools, toolbox.graphs
        self.optional_share, self.rng = optional_share, rng

    def optional(self, tool: Tool) -> list[str]:
        """Optional parameters that the user gives."""
        plain = [n for n, schema in tool.properties.items() if n not in tool.required and is_plain(schema)]
        return [name for name in plain if self.rng.random() < self.optional_share]

    def extended(self, plan: Plan) -> Plan:
        """The plan with one more step, or as it is where this draw has none."""
        if self.rng.random() < FOLLOW_SHARE:
            step = self.rng.choice(plan.steps)
            near = self._unused(plan, self.graphs.dependency.successors(step.tool))
            if near:
                weights = [self._weight(step.tool, name) for name in near]
                tool = self.tools[self.rng.choices(near, weights)[0]]
                return self._appended(plan, tool, self._sources(plan, step, tool))
        step = self.rng.choice(plan.steps)
        near = self._unused(plan, self.graphs.sharing.neighbors(step.tool))
        near = [name for name in near if not self._feeds(plan, name)]
        return self._appended(plan, self.tools[self.rng.choice(near)], {}) if near else plan

    def _unused(self, plan: Plan, names: object) -> list[str]:
        used = {step.tool for step in plan.steps}
        return [name for name in names if name not in used]  # type: ignore[attr-defined]

    def _weight(self, source: str, target: str) -> float:
        """How much an edge is worth following: things that are passed on rather than numbers that happen to fit."""
        link = self.graphs.dependency.edges[source, target]["links"][0]
        schema = self.tools[target].properties.get(link["parameter"], {})
        return float(link["score"]) * (1.0 if is_identifier(schema, link["parameter"]) else OTHER_LINKS)

    def _feeds(self, plan: Plan, name: str) -> bool:
        """Whether a step of the plan could give the tool what the user is said to give."""
        return any(self.graphs.dependency.has_edge(step.tool, name) for step in plan.steps)

    def _sources(self, plan: Plan, step: Step, tool: Tool) -> dict[str, Output]:
        """What earlier answers give to ``tool``: one value from ``step``, and others where steps have them."""
        found = self._linked(step, tool, {})
        for other in self._shuffled(plan.steps):
            if other.id != step.id and self.graphs.dependency.has_edge(other.tool, tool.name):
                for name, output in self._linked(other, tool, found).items():
                    if name in tool.required and self.rng.random() < JOIN_SHARE:
                        found[name] = output
        return found

    def _linked(self, step: Step, tool: Tool, taken: dict[str, Output]) -> dict[str, Output]:
        """The best link of the edge for a parameter that isn't taken, if it fits."""
        for link in self.graphs.dependency.edges[step.tool, tool.name]["links"]:
            if link["parameter"] in taken:
                continue
            path = tuple(link["path"])
            try:
                check_link(self.tools[step.tool], path, tool, link["parameter"])
            except NotApplicable:
                continue
            return {link["parameter"]: Output(step.id, path)}
        return {}

    def _appended(self, plan: Plan, tool: Tool, sources: dict[str, Output]) -> Plan:
        """One more step; the user's values that earlier steps take too are mostly shared."""
        single = isolated(tool, [*self.optional(tool), *sources])
        shared: dict[str, str] = {}
        for step in plan.steps:
            for _, mine, theirs in shared_slots(step, single.steps[0], self.tools, self.graphs):
                free = theirs not in shared and theirs not in sources and mine not in shared.values()
                if free and self.rng.random() < SHARE_SLOT:
                    shared[theirs] = mine
        operator: Operator = "group" if shared else "concatenate" if sources else "add"
        both = side_by_side(plan, single, operator, shared)
        if sources and not self._at_the_end(plan, sources):
            both = dataclasses.replace(both, operators=plan.operators)
        last = both.steps[-1]
        arguments: dict[str, Argument] = {**last.arguments, **sources}
        steps = (*both.steps[:-1], dataclasses.replace(last, arguments=arguments))
        return without_unused_slots(dataclasses.replace(both, steps=steps))

    def _at_the_end(self, plan: Plan, sources: dict[str, Output]) -> bool:
        """Whether this is Concatenate: one source, on which nothing depends yet."""
        numbers = {output.step for output in sources.values()}
        return len(numbers) == 1 and not any(edge.source in numbers for edge in plan.edges())

    def _shuffled(self, steps: tuple[Step, ...]) -> list[Step]:
        return self.rng.sample(steps, len(steps))
