"""Tool-augmented rows and plans for the tests, made as the command line would."""

from functools import cache
from random import Random

from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Plan
from data_synth.tasks.decomposition.draw import draw_plan
from data_synth.tasks.tool_augmented.settings import ToolAugmentedRun
from data_synth.tasks.tool_augmented.task import ToolAugmentedTask
from recipes.command import compose, typed


def make_task(*overrides: str) -> ToolAugmentedTask:
    """The task as the command line would configure it."""
    config = compose("synth", ["task=tool_augmented", "output_dir=unused", *overrides])
    settings = typed(ToolAugmentedRun, config)
    settings.check()
    return ToolAugmentedTask(settings)


def accepted_rows(task: ToolAugmentedTask, count: int) -> list[dict]:
    """The first rows a run would make."""
    rows = []
    for index in range(count):
        number = 0
        while (attempt := task.attempt(index, number)).reason is not None:
            number += 1
        rows.append(attempt.content)
    return rows


@cache
def shared_rows() -> list[dict]:
    """160 rows of both languages and all subtasks. Not to be changed: copy first."""
    return accepted_rows(make_task("language=both", "split=all"), 160)


@cache
def shared_plans(count: int = 120) -> list[Plan]:
    """Plans of all subtasks, without values."""
    task = make_task("split=all")
    subtasks = task.settings.tool_augmented.subtasks
    plans: list[Plan] = []
    number = 0
    while len(plans) < count:
        number += 1
        subtask = subtasks[number % len(subtasks)]
        try:
            compose_settings = task.settings.tool_augmented.compose
            plans.append(draw_plan(task.toolbox, compose_settings, subtask, number, Random(f"plan/{number}")))
        except NotApplicable:
            continue
    return plans
