"""Rows of task=procedural as the command line would make them, and naive twins of its graph code."""

from collections.abc import Iterable
from functools import cache, partial
from itertools import permutations

import task_rows
from task_rows import accepted_rows

make_task = partial(task_rows.make_task, "procedural")


@cache
def some_rows(count: int, *overrides: str) -> tuple[dict, ...]:
    """The first rows of a run, repeated structures included."""
    return tuple(accepted_rows(make_task(*overrides), count))


def orders(num_nodes: int, edges: Iterable[tuple[str, str]]) -> list[tuple[int, ...]]:
    """Every order of the nodes that the edges allow, the smallest first: all permutations, tried out."""
    inner = [(int(a), int(b)) for a, b in edges if a != "START" and b != "END"]
    return [
        order
        for order in permutations(range(1, num_nodes + 1))
        if all(order.index(a) < order.index(b) for a, b in inner)
    ]
