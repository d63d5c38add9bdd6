"""How many rows each task gives to a mixture."""

from __future__ import annotations

from collections.abc import Mapping


def share_budget(budget: int, weights: Mapping[str, float], available: Mapping[str, int]) -> dict[str, int]:
    """``budget`` rows by weight; what a task lacks goes to the others by theirs.

    Args:
        weights: of the tasks, 0 or more, not all 0.
        available: rows of each of these tasks.

    Returns:
        Rows of each task, ``budget`` in total or all there are of the tasks with a weight.
    """
    given = dict.fromkeys(weights, 0)
    while left := budget - sum(given.values()):
        open_tasks = {
            task: weight for task, weight in weights.items() if weight > 0 and given[task] < available[task]
        }
        if not open_tasks:
            break
        total = sum(open_tasks.values())
        exact = {task: left * weight / total for task, weight in open_tasks.items()}
        parts = {task: int(part) for task, part in exact.items()}
        by_remainder = sorted(exact, key=lambda task: (parts[task] - exact[task], task))
        for task in by_remainder[: left - sum(parts.values())]:
            parts[task] += 1
        for task, part in parts.items():
            given[task] += min(part, available[task] - given[task])
    return given
