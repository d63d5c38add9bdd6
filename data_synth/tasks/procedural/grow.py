"""Plans whose steps branch and join, grown over the dependency graph one tool at a time.

The operators of decomposition join plans end to end or side by side; a workflow also has answers that several steps
need, and steps that need several answers. Long dialogues grow in the same way, turn by turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from data_synth.operators.atoms import check_link, isolated
from data_synth.operators.group import shared_slots
from data_synth.operators.merge import NotApplicable, side_by_side, without_unused_slots
from data_synth.operators.plan import Argument, Operator, Output, Plan, Step, Turn
from data_synth.operators.schema import is_plain, kind_of, parameter_schema
from data_synth.tasks.decomposition.sense import contradiction, link_weight
from data_synth.tasks.toolbox import Toolbox
from data_synth.tools.tool import Tool

FOLLOW_SHARE = 0.8
"""Of the steps after the first, those that need an earlier answer, where the graph has one."""
JOIN_SHARE = 0.6
"""Of the further parameters that an earlier answer could give, those that it does."""
SHARE_SLOT = 0.7
"""Of the user's values that an earlier step already takes, those said once."""
ABROAD = {"url": 0.0, "time": 0.0, "date": 0.2, "person_name": 0.2}
"""What a link to a tool of another domain is worth by what it passes on, against 1: drivers seldom apply for visas."""
TRIES_PER_STEP = 4


def grow_plan(toolbox: Toolbox, anchor: Tool, size: int, optional_share: float, rng: Random) -> Plan:
    """A plan of one turn from ``anchor`` on, of ``size`` steps where the graph has as many; its values are None.

    Raises:
        NotApplicable: it doesn't get beyond the first step, or hardly any step needs another.
    """
    grower = Grower(toolbox, optional_share, rng)
    plan = grower.first(anchor)
    for _ in range(size * TRIES_PER_STEP):
        if len(plan.steps) == size:
            break
        extended = grower.extended(plan, plan.steps)
        plan = plan if contradiction(extended, toolbox.tools, toolbox.graphs) else extended
    if len(plan.steps) < 2:
        raise NotApplicable(f"nothing goes with {anchor.name}")
    if len(plan.edges()) < len(plan.steps) // 3:
        raise NotApplicable(f"{len(plan.steps)} steps with {len(plan.edges())} edges are no workflow")
    if wrong := plan.check(toolbox.tools):
        raise AssertionError(wrong)
    return plan


class Grower:
    """The draws of one plan.

    Args:
        optional_share: of a tool's optional parameters, those that the user gives.
    """

    def __init__(self, toolbox: Toolbox, optional_share: float, rng: Random) -> None:
        self.tools, self.graphs = toolbox.tools, toolbox.graphs
        self.optional_share, self.rng = optional_share, rng

    def first(self, tool: Tool) -> Plan:
        """A plan of one step."""
        return isolated(tool, self._optional(tool))

    def extended(self, plan: Plan, about: Sequence[Step], new_turn: bool = False) -> Plan:
        """The plan with one more step that has to do with one of ``about``, or as it is where this draw has none."""
        step = self.rng.choice(about)
        if self.rng.random() < FOLLOW_SHARE:
            extended = self.following(plan, [step], new_turn)
            if extended is not plan:
                return extended
        return self.beside(plan, self.graphs.sharing.neighbors(step.tool), new_turn)

    def following(self, plan: Plan, about: Sequence[Step], new_turn: bool = False) -> Plan:
        """The plan with a step that needs the answer of one of ``about``, or as it is where none has a use."""
        for step in self.rng.sample(about, len(about)):
            near = self._unused(plan, self.graphs.dependency.successors(step.tool))
            weights = [self._best(step.tool, name) for name in near]
            if any(weights):
                tool = self.tools[self.rng.choices(near, weights)[0]]
                return self.append(plan, tool, self.sources(plan, step, tool), new_turn)
        return plan

    def beside(self, plan: Plan, names: Iterable[str], new_turn: bool = False) -> Plan:
        """The plan with one of the named tools that needs no earlier answer, or as it is where there is none."""
        free = [name for name in self._unused(plan, names) if not self.fed(plan, name)]
        return self.append(plan, self.tools[self.rng.choice(free)], {}, new_turn) if free else plan

    def sources(self, plan: Plan, step: Step, tool: Tool) -> dict[str, Output]:
        """What earlier answers give to ``tool``: one value from ``step``, and others where steps have them."""
        found = self.linked(step, tool, {})
        for other in self.rng.sample(plan.steps, len(plan.steps)):
            if other.id != step.id and self.graphs.dependency.has_edge(other.tool, tool.name):
                for name, output in self.linked(other, tool, found).items():
                    if name in tool.required and self.rng.random() < JOIN_SHARE:
                        found[name] = output
        return found

    def linked(self, step: Step, tool: Tool, taken: Mapping[str, Output]) -> dict[str, Output]:
        """The best link of the edge for a parameter that isn't taken, if it fits."""
        for link in self.graphs.dependency.edges[step.tool, tool.name]["links"]:
            if link["parameter"] in taken or not self._weight(step.tool, tool.name, link):
                continue
            path = tuple(link["path"])
            try:
                check_link(self.tools[step.tool], path, tool, link["parameter"])
            except NotApplicable:
                continue
            return {link["parameter"]: Output(step.id, path)}
        return {}

    def append(self, plan: Plan, tool: Tool, sources: Mapping[str, Output], new_turn: bool = False) -> Plan:
        """One more step, in the last turn or in one of its own; values that earlier steps take too are mostly shared.

        Group, Concatenate and Add are recorded where the step is what they make; one that branches off or joins isn't.
        """
        single = isolated(tool, [*self._optional(tool), *sources])
        shared = self._shared(plan, single.steps[0], sources)
        operator: Operator = "group" if shared else "concatenate" if sources else "add"
        both = side_by_side(plan, single, operator, shared)
        if sources and not self._at_the_end(plan, sources):
            both = dataclasses.replace(both, operators=plan.operators)
        last = both.steps[-1]
        arguments: dict[str, Argument] = {**last.arguments, **sources}
        steps = (*both.steps[:-1], dataclasses.replace(last, arguments=arguments))
        turns = both.turns
        if new_turn:
            before = plan.turns[-1]
            new = Turn(turns[-1].steps - before.steps, turns[-1].slots - before.slots)
            turns = (*turns[:-1], before, new)
        return without_unused_slots(dataclasses.replace(both, steps=steps, turns=turns))

    def _shared(self, plan: Plan, new: Step, sources: Mapping[str, Output]) -> dict[str, str]:
        shared: dict[str, str] = {}
        for step in plan.steps:
            for _, mine, theirs in shared_slots(step, new, self.tools, self.graphs):
                free = theirs not in shared and theirs not in sources and mine not in shared.values()
                if free and self.rng.random() < SHARE_SLOT:
                    shared[theirs] = mine
        return shared

    def _optional(self, tool: Tool) -> list[str]:
        plain = [n for n, schema in tool.properties.items() if n not in tool.required and is_plain(schema)]
        return [name for name in plain if self.rng.random() < self.optional_share]

    def _unused(self, plan: Plan, names: Iterable[str]) -> list[str]:
        used = {step.tool for step in plan.steps}
        return [name for name in names if name not in used]

    def _best(self, source: str, target: str) -> float:
        """The weight of an edge: its best link's."""
        links = self.graphs.dependency.edges[source, target]["links"]
        return max(self._weight(source, target, link) for link in links)

    def _weight(self, source: str, target: str, link: Mapping[str, Any]) -> float:
        """How much a link is worth following; 0 for one that makes no sense to a user, or has no words."""
        if isinstance(link["path"][-1], int):
            return 0.0
        giver, taker, name = self.tools[source], self.tools[target], link["parameter"]
        weight = link_weight(giver, taker, name, self.graphs)
        if giver.domain == taker.domain:
            return weight
        return weight * ABROAD.get(str(kind_of(parameter_schema(taker, name))), 1.0)

    def fed(self, plan: Plan, name: str) -> bool:
        """Whether a step of the plan could give the tool what the user is said to give."""
        return any(self.graphs.dependency.has_edge(step.tool, name) for step in plan.steps)

    def _at_the_end(self, plan: Plan, sources: Mapping[str, Output]) -> bool:
        """Whether this is Concatenate: one source, on which nothing depends yet."""
        numbers = {output.step for output in sources.values()}
        return len(numbers) == 1 and not any(edge.source in numbers for edge in plan.edges())
