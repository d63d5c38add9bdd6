"""Tool-augmented rows and plans for the tests, made as the command line would."""

from functools import cache, partial
from random import Random

import task_rows
from task_rows import accepted_rows

from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Plan
from data_synth.tasks.decomposition.draw import draw_plan

make_task = partial(task_rows.make_task, "tool_augmented")


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
