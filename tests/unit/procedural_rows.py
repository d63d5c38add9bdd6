"""Rows of task=procedural as the command line would make them, and naive twins of its graph code."""

from collections.abc import Iterable
from functools import cache
from itertools import permutations

from data_synth.tasks.procedural.settings import ProceduralRun
from data_synth.tasks.procedural.task import ProceduralTask
from recipes.command import compose, typed


def make_task(*overrides: str) -> ProceduralTask:
    """The task as the command line would configure it."""
    config = compose("synth", ["output_dir=unused", "task=procedural", *overrides])
    settings = typed(ProceduralRun, config)
    settings.check()
    return ProceduralTask(settings)


def accepted(task: ProceduralTask, index: int) -> dict:
    """The first accepted attempt at a row."""
    number = 0
    while (attempt := task.attempt(index, number)).reason is not None:
        number += 1
    return attempt.content


@cache
def some_rows(count: int, *overrides: str) -> tuple[dict, ...]:
    """The first rows of a run, repeated structures included."""
    task = make_task(*overrides)
    return tuple(accepted(task, index) for index in range(count))


def orders(num_nodes: int, edges: Iterable[tuple[str, str]]) -> list[tuple[int, ...]]:
    """Every order of the nodes that the edges allow, the smallest first: all permutations, tried out."""
    inner = [(int(a), int(b)) for a, b in edges if a != "START" and b != "END"]
    return [
        order
        for order in permutations(range(1, num_nodes + 1))
        if all(order.index(a) < order.index(b) for a, b in inner)
    ]
