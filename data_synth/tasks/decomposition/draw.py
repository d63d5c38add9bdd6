"""Plans without values or words: atomic plans from the graphs, joined and changed by the operators (section 3.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

from data_synth.operators.add import add
from data_synth.operators.concatenate import Link, concatenate
from data_synth.operators.group import group
from data_synth.operators.mask import mask
from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Given, Operator, Plan, Step
from data_synth.operators.split import split
from data_synth.operators.transform import transform
from data_synth.tasks.decomposition.conditions import draw_condition
from data_synth.tasks.decomposition.draw_atoms import AtomDrawer
from data_synth.tasks.decomposition.settings import ComposeSettings, Subtask
from data_synth.tasks.toolbox import Toolbox
from data_synth.tools.tool import Tool

NUM_TRIES = 12
"""Draws of an operator's parts before another operator is tried."""


def draw_plan(
    toolbox: Toolbox, settings: ComposeSettings, subtask: Subtask, position: int, rng: Random
) -> Plan:
    """A plan of ``subtask`` around the tool whose turn it is at ``position``; its values are None.

    Raises:
        NotApplicable: none came out of these draws; other random numbers may have one.
    """
    drawer = _Drawer(toolbox, settings, toolbox.tool_at(position), rng)
    plan = {
        "general": drawer.general,
        "dependency": drawer.dependency,
        "condition": drawer.condition,
        "context_inheritance": drawer.context_inheritance,
    }[subtask]()
    if wrong := plan.check(toolbox.tools):
        raise AssertionError(wrong)
    return plan


class _Drawer:
    """The draws of one plan."""

    def __init__(self, toolbox: Toolbox, settings: ComposeSettings, anchor: Tool, rng: Random) -> None:
        self.tools, self.graphs = toolbox.tools, toolbox.graphs
        self.names = list(toolbox.tools)
        self.settings, self.anchor, self.rng = settings, anchor, rng
        self.atoms = AtomDrawer(toolbox, settings, rng)

    def general(self) -> Plan:
        """Independent steps: isolated and parallel atoms, Add and Group."""
        plan = self.atoms.independent(self.anchor)
        for _ in range(self.rng.randint(1, self.settings.max_atoms) - 1):
            plan = self._extended(plan, ("add", "group"))
        return plan

    def dependency(self) -> Plan:
        """Chains: serial atoms and Concatenate, at times beside something else.

        A tool that nothing depends on and that depends on nothing leaves its turn to another.
        """
        try:
            plan = self.atoms.serial(self.anchor)
        except NotApplicable:
            edges = list(self.graphs.dependency.edges)
            if not edges:
                raise
            plan = self.atoms.serial(self.tools[self.rng.choice(edges)[0]])
        num_atoms = self.rng.randint(1, self.settings.max_atoms)
        for number in range(1, num_atoms):
            aside = number == num_atoms - 1 and self.rng.random() < 0.25
            plan = self._extended(plan, ("add", "group") if aside else ("concatenate",))
        if not plan.edges():
            raise NotApplicable("no dependency")
        return plan

    def condition(self) -> Plan:
        """One step decides about others: Transform."""
        plan = self.atoms.serial(self.anchor) if self.rng.random() < 0.4 else self.atoms.atom(self.anchor)
        if len({step.atom for step in plan.steps}) < 2 and len(plan.steps) < 3:
            plan = self._extended(plan, ("add", "group", "group", "concatenate", "concatenate"))
        if len(plan.steps) < self.settings.max_steps and self.rng.random() < self.settings.otherwise_share:
            plan = self._extended(plan, ("add", "group"))
        return self._tried(lambda: self._transformed(plan))

    def context_inheritance(self) -> Plan:
        """Several turns: Mask and Split."""
        plan = self.atoms.atom(self.anchor)
        for _ in range(self.rng.randint(1, self.settings.max_atoms) - 1):
            plan = self._extended(plan, ("add", "group", "group", "concatenate", "concatenate"))
        if self.rng.random() < 0.15:
            with contextlib.suppress(NotApplicable):
                plan = self._tried(lambda: self._transformed(plan))
        changed = plan
        weights = self.settings.weights
        wanted = self._shuffled(("mask", "split"))
        num_operators = 2 if weights.mask and weights.split and self.rng.random() < 0.3 else 1
        for operator in wanted:
            if len(changed.operators) - len(plan.operators) == num_operators:
                break
            one = self._masked if operator == "mask" else self._split
            try:
                changed = self._tried(lambda one=one, before=changed: one(before))  # type: ignore[misc]
            except NotApplicable:
                continue
        if changed is plan:
            raise NotApplicable("neither Mask nor Split applies")
        return changed

    # Binary operators

    def _extended(self, plan: Plan, operators: tuple[Operator, ...]) -> Plan:
        """The plan joined with another atom by the first operator that applies."""
        if len(plan.steps) >= self.settings.max_steps:
            return plan
        joins = {"add": self._added, "group": self._grouped, "concatenate": self._concatenated}
        for operator in self._shuffled(operators):
            try:
                joined = self._tried(lambda operator=operator: self.atoms.sound(joins[operator](plan)))  # type: ignore[misc]
            except NotApplicable:
                continue
            if len(joined.steps) <= self.settings.max_steps:
                return joined
        return plan

    def _added(self, plan: Plan) -> Plan:
        other = self.tools[self.rng.choice(self.names)]
        return add(plan, self.atoms.independent(other), self.tools, self.graphs)

    def _grouped(self, plan: Plan) -> Plan:
        step = self.rng.choice(plan.steps)
        near = [name for name in self.graphs.sharing.neighbors(step.tool) if not self._used(plan, name)]
        if not near:
            raise NotApplicable(f"{step.tool} shares no parameter")
        return group(plan, self.atoms.isolated(self.tools[self.rng.choice(near)]), self.tools, self.graphs)

    def _concatenated(self, plan: Plan) -> Plan:
        """Appended to one of the plan's last steps."""
        sources = {edge.source for edge in plan.edges()}
        ends = [step for step in plan.steps if step.id not in sources]
        step = self.rng.choice(ends)
        near = [name for name in self.graphs.dependency.successors(step.tool) if not self._used(plan, name)]
        if not near:
            raise NotApplicable(f"nothing follows {step.tool}")
        pairs = self.atoms.weighted([(step.tool, name) for name in near])
        if not pairs:
            raise NotApplicable(f"nothing sensible follows {step.tool}")
        name = pairs[0][1]
        link = self.atoms.link(step.tool, name)
        joined = Link(step.id, tuple(link["path"]), 1, link["parameter"])
        return concatenate(plan, self.atoms.isolated(self.tools[name]), joined, self.tools)

    @staticmethod
    def _used(plan: Plan, name: str) -> bool:
        return any(step.tool == name for step in plan.steps)

    # Unary operators

    def _transformed(self, plan: Plan) -> Plan:
        step = self.rng.choice(plan.steps[:-1]) if len(plan.steps) > 1 else None
        if step is None:
            raise NotApplicable("one step has nothing to decide about")
        condition = draw_condition(step, self.tools[step.tool], self.rng)
        later = [other for other in plan.steps if other.id > step.id]
        roots = [other for other in later if not any(source > step.id for source, _ in other.sources())]
        related = [other for other in roots if self._related(step, other)]
        then = self.rng.choice(related if related and self.rng.random() < 0.8 else roots)
        rest = [other.id for other in roots if other.id > then.id and not self._takes_from(other, step)]
        otherwise = [self.rng.choice(rest)] if rest and self.rng.random() < 0.8 else []
        changed = transform(plan, condition, [then.id], otherwise, self.tools)
        if condition.comparison in ("is_empty", "not_empty"):
            guarded = [other for other in changed.steps if self._takes_from(other, step)]
            if any(condition not in other.when for other in guarded):
                raise NotApplicable("a step takes from the list whether it holds anything or not")
        return changed

    @staticmethod
    def _related(a: Step, b: Step) -> bool:
        slots = [{getattr(argument, "slot", None) for argument in step.arguments.values()} for step in (a, b)]
        return bool(slots[0] & slots[1] - {None}) or any(source == a.id for source, _ in b.sources())

    @staticmethod
    def _takes_from(step: Step, source: Step) -> bool:
        return any(number == source.id and kind == "data" for number, kind in step.sources())

    def _masked(self, plan: Plan) -> Plan:
        slots = [
            argument.slot
            for step in plan.steps
            for name, argument in step.arguments.items()
            if isinstance(argument, Given) and name in self.tools[step.tool].required
        ]
        if not slots:
            raise NotApplicable("no required value is the user's")
        return mask(plan, self.rng.choice(slots), self.tools)

    def _split(self, plan: Plan) -> Plan:
        """Steps that come later, or optional values, or both."""
        last = sorted(plan.turns[-1].steps)
        optional = [
            argument.slot
            for number in last
            for name, argument in plan.step(number).arguments.items()
            if isinstance(argument, Given) and name not in self.tools[plan.step(number).tool].required
        ]
        if optional and (len(last) < 2 or self.rng.random() < 0.3):
            return split(plan, (), [self.rng.choice(optional)], self.tools)
        if len(last) < 2:
            raise NotApplicable("nothing to say later")
        return split(plan, last[self.rng.randint(1, len(last) - 1) :], (), self.tools)

    # Chance

    def _tried(self, draw: Callable[[], Plan]) -> Plan:
        for _ in range(NUM_TRIES - 1):
            try:
                return draw()
            except NotApplicable:
                continue
        return draw()

    def _shuffled(self, operators: tuple[Operator, ...]) -> list[Operator]:
        """Each operator once, in an order drawn by the weights; those of weight 0 are left out."""
        weights = {name: getattr(self.settings.weights, name) * operators.count(name) for name in operators}
        order: list[Operator] = []
        while left := {name: weight for name, weight in weights.items() if weight and name not in order}:
            order += self.rng.choices(list(left), list(left.values()))
        return order
