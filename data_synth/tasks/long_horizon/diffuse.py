"""Scaling by diffusion: a seed's structure with more candidate tools, partly other tools, other values."""

from __future__ import annotations

from random import Random

from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Output, Plan, Step
from data_synth.tasks.decomposition.sense import contradiction
from data_synth.tasks.long_horizon.construct import LongTask
from data_synth.tasks.procedural.grow import Grower
from data_synth.tasks.toolbox import Toolbox
from data_synth.tools.tool import Tool

NUM_TRIES = 8


def extra_tools(task: LongTask, toolbox: Toolbox, number: int, rng: Random) -> list[str]:
    """Tools that a graph relates to the seed's, each to a tool of another atomic task as long as there are any."""
    taken, found = set(task.candidates), list[str]()
    turns = [sorted(turn.steps) for turn in task.plan.turns]
    for _ in range(NUM_TRIES):
        for steps in rng.sample(turns, len(turns)):
            if len(found) == number:
                return found
            name = task.plan.step(rng.choice(steps)).tool
            graphs = toolbox.graphs
            near = [*graphs.dependency.successors(name), *graphs.sharing.neighbors(name)]
            near = [other for other in near if other not in taken]
            if near:
                found.append(rng.choice(near))
                taken.add(found[-1])
    return found


def diffuse_requests(
    seed: LongTask,
    candidates: list[str],
    toolbox: Toolbox,
    optional_share: float,
    replace_share: float,
    rng: Random,
) -> Plan:
    """The seed's requests step by step, some with another tool of ``candidates``; values are None.

    Turns and their numbers of steps are the seed's, and a step that needs earlier answers still needs one.

    Raises:
        NotApplicable: no choice of tools came out.
    """
    for number in range(NUM_TRIES):
        share = replace_share * (1 - number / (NUM_TRIES - 1))
        try:
            return _rebuilt(seed.plan, candidates, toolbox, Grower(toolbox, optional_share, rng), share, rng)
        except NotApplicable:
            continue
    raise NotApplicable("no other tools fit")


def _rebuilt(
    plan: Plan, candidates: list[str], toolbox: Toolbox, grower: Grower, share: float, rng: Random
) -> Plan:
    opens = {min(turn.steps) for turn in plan.turns}
    later = {step.tool for step in plan.steps}
    built: Plan | None = None
    for step in plan.steps:
        later.discard(step.tool)
        tool = toolbox.tools[step.tool]
        if rng.random() < share:
            others = [name for name in candidates if name not in later and name != step.tool]
            fits = [name for name in others if _fits(built, plan, step, toolbox.tools[name], grower)]
            if fits:
                tool = toolbox.tools[rng.choice(fits)]
        if built is None:
            built = grower.first(tool)
            continue
        sources = _sources(built, plan, step, tool, grower)
        if sources is None or any(one.tool == tool.name for one in built.steps):
            raise NotApplicable(f"{tool.name} doesn't fit")
        built = _appended(built, tool, sources, step.id in opens, toolbox, grower)
    assert built is not None
    return built


def _appended(
    built: Plan, tool: Tool, sources: dict[str, Output], opens: bool, toolbox: Toolbox, grower: Grower
) -> Plan:
    """The plan with the step; which values it shares is chance, but none of a record that is gone."""
    for _ in range(NUM_TRIES):
        plan = grower.append(built, tool, sources, new_turn=opens)
        if not contradiction(plan, toolbox.tools, toolbox.graphs):
            return plan
    raise NotApplicable(f"{tool.name} would use something that was deleted")


def _fits(built: Plan | None, seed: Plan, step: Step, tool: Tool, grower: Grower) -> bool:
    """Whether ``tool`` can stand where ``step`` does in the seed."""
    if built is None:
        return True
    if any(one.tool == tool.name for one in built.steps):
        return False
    return _sources(built, seed, step, tool, grower) is not None


def _sources(built: Plan, seed: Plan, step: Step, tool: Tool, grower: Grower) -> dict[str, Output] | None:
    """What the steps that the seed's step needs give to ``tool``; None unless each of them gives something.

    What is passed between two tools that stayed, stays.

    A step that needs nothing must not be able to take what earlier steps give.
    """
    found: dict[str, Output] = {}
    for name, argument in step.arguments.items():
        if isinstance(argument, Output) and tool.name == step.tool:
            earlier = built.step(argument.step)
            if earlier.tool == seed.step(argument.step).tool:
                found[name] = argument
    needed = sorted({source for source, _ in step.sources()})
    for source in needed:
        if any(output.step == source for output in found.values()):
            continue
        earlier = built.step(source)
        if not grower.graphs.dependency.has_edge(earlier.tool, tool.name):
            return None
        linked = grower.linked(earlier, tool, found)
        if not linked:
            return None
        found |= linked
    if not needed and tool.name != step.tool and grower.fed(built, tool.name):
        return None
    return found
