"""In which order the prompts of several tasks are trained: mixed, one alone, or one task after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from magic_megatron.config.rl import ScheduleConfig
from recipes.command import InputError


def prompt_order(
    tasks: Sequence[str], schedule: ScheduleConfig, num_steps: int, batch_size: int, seed: int
) -> np.ndarray:
    """Numbers of rows in the order in which they are asked, int64, shape (num_steps · batch_size,).

    Rows repeat only when all of their task have been asked as often: each pass over a task is a shuffle of its own.
    ``mixed`` prompts are drawn from all rows alike, so that tasks come in proportion to their rows, or to ``weights``:
    then any stretch of the order holds each task's share to within one prompt.

    Args:
        tasks: of each row, in the order of the rows.

    Raises:
        InputError: a task that no row has.
    """
    places = {task: np.flatnonzero(np.asarray(tasks) == task) for task in sorted(set(tasks))}
    total = num_steps * batch_size
    if schedule.name == "mixed" and schedule.weights is None:
        return _passes(np.arange(len(tasks)), total, seed)
    if schedule.name == "mixed":
        return _weighted(places, schedule.weights or {}, total, seed)
    if schedule.name == "single":
        return _passes(_places_of(schedule.task, "schedule.task", places), total, seed)
    order = schedule.order or list(places)
    steps = np.diff(np.linspace(0, num_steps, len(order) + 1).round().astype(int))
    return np.concatenate(
        [
            _passes(_places_of(task, "schedule.order", places), int(count) * batch_size, seed)
            for task, count in zip(order, steps, strict=True)
        ]
    )


def _places_of(task: str | None, key: str, places: Mapping[str, np.ndarray]) -> np.ndarray:
    if task is None or task not in places:
        raise InputError(f"{key}={task}: no row has this task; choose of {', '.join(places)}")
    return places[task]


def _weighted(
    places: Mapping[str, np.ndarray], weights: Mapping[str, float], total: int, seed: int
) -> np.ndarray:
    """Each next prompt is of the task that is furthest behind its share."""
    chosen = {
        task: _places_of(task, "schedule.weights", places) for task, weight in weights.items() if weight > 0
    }
    if not chosen or min(weights.values()) < 0:
        raise InputError(
            f"schedule.weights={dict(weights)}: one must be above 0 and none below; try {{scheduling: 1}}"
        )
    shares = np.array([weights[task] for task in chosen]) / sum(weights[task] for task in chosen)
    turns = np.empty(total, dtype=np.int64)
    counts = np.zeros(len(chosen))
    for number in range(total):
        turns[number] = np.argmax(shares * (number + 1) - counts)
        counts[turns[number]] += 1
    order = np.empty(total, dtype=np.int64)
    for number, rows in enumerate(chosen.values()):
        mine = turns == number
        order[mine] = _passes(rows, int(mine.sum()), seed)
    return order


def _passes(places: np.ndarray, total: int, seed: int) -> np.ndarray:
    """``total`` of ``places``: shuffled, and again when they are used up."""
    if not total:
        return np.empty(0, dtype=np.int64)
    num_passes = -(-total // len(places))
    shuffles = [np.random.default_rng([seed, number]).permutation(places) for number in range(num_passes)]
    return np.concatenate(shuffles)[:total].astype(np.int64)
