"""What a reward is, the registry by task, and the weighted sum of Eq. 3.

A task's file registers one function and the schema of its ground truth:

    @register("my_task", part="tool", ground_truth=MyGroundTruth)
    def reward(response: str, ground_truth: Mapping[str, Any], settings: RewardSettings) -> Parts: ...

Ground truths are ``gold`` of a row, its ``turns`` cut down to the one, as ``data_synth.export format=parquet`` writes
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from magic_megatron.config.rl_reward import RewardConfig
from magic_megatron.rl.rewards.semantic import Embeddings, open_embeddings
from recipes.command import InputError

PARTS = ("format", "plan", "tool", "schedule", "flow")
"""The terms of Eq. 3."""
MOST_CHARACTERS = 100_000
"""A longer response isn't read."""
_MOST_REASON = 200


@dataclass(frozen=True)
class Parts:
    """The terms of one response.

    Attributes:
        values: ``format`` and the task's own one of ``PARTS``, each in [0, 1].
        reason: in a line, for people; ``ok`` where nothing is lost.
    """

    values: dict[str, float]
    reason: str


@dataclass(frozen=True)
class Reward:
    """Σ weight·part, the parts, and why."""

    score: float
    parts: dict[str, float]
    reason: str


@dataclass(frozen=True)
class RewardSettings:
    """The recipe and its opened model of embeddings, shared by all threads of a process."""

    config: RewardConfig
    embeddings: Embeddings


type RewardFunction = Callable[[str, Mapping[str, Any], RewardSettings], Parts]


@dataclass(frozen=True)
class Entry:
    """A task's reward, its own term besides ``format``, and the schema of what it needs of the ground truth."""

    reward: RewardFunction
    part: str
    ground_truth: type[BaseModel]


REWARDS: dict[str, Entry] = {}
"""By task."""


def register(
    task: str, part: str, ground_truth: type[BaseModel]
) -> Callable[[RewardFunction], RewardFunction]:
    """Make the decorated function the reward of ``task``. It must be pure and raise on no response."""
    assert part in PARTS[1:] and task not in REWARDS

    def enter(reward: RewardFunction) -> RewardFunction:
        REWARDS[task] = Entry(reward, part, ground_truth)
        return reward

    return enter


def open_settings(config: RewardConfig) -> RewardSettings:
    """The settings of a process. The model is loaded when the first cosine is asked for.

    Raises:
        InputError: the model isn't there.
    """
    return RewardSettings(config, open_embeddings(config.embedding))


def known_task(task: str) -> Entry:
    """The reward of ``task``.

    Raises:
        InputError: it has none.
    """
    if task not in REWARDS:
        raise InputError(f"task={task}: no reward for it; there are rewards for {', '.join(sorted(REWARDS))}")
    return REWARDS[task]


def check_ground_truth(task: str, ground_truth: Any, place: str = "ground_truth") -> dict[str, Any]:
    """The ground truth as ``score`` wants it, from a mapping or its JSON text. For when rows are loaded.

    Args:
        place: where it comes from, for the message.

    Raises:
        InputError: it is missing or isn't what the task's reward needs, or the task has no reward.
    """
    entry = known_task(task)
    if ground_truth is None or ground_truth == "":
        raise InputError(f"{place}: no ground truth for a row of {task}; export the rows with their gold")
    if isinstance(ground_truth, str):
        try:
            ground_truth = json.loads(ground_truth)
        except (ValueError, RecursionError):
            raise InputError(f"{place}: not JSON; export the rows with data_synth.export") from None
    if not isinstance(ground_truth, Mapping):
        raise InputError(f"{place}: not a JSON object; export the rows with data_synth.export")
    try:
        entry.ground_truth.model_validate(ground_truth)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(
            f"{place}: {where}: {first['msg']}; a row of {task} has the gold that data_synth.export writes"
        ) from None
    return dict(ground_truth)


def score(task: str, response: str, ground_truth: Mapping[str, Any], settings: RewardSettings) -> Reward:
    """The reward of a response (Eq. 3). Total and pure: no text makes it raise, none is evaluated.

    Args:
        response: what the policy wrote, without special tokens.
        ground_truth: as ``check_ground_truth`` gives it.

    Raises:
        InputError: ``task`` has no reward.
    """
    entry = known_task(task)
    if len(response) > MOST_CHARACTERS:
        parts = Parts({"format": 0.0, entry.part: 0.0}, f"{len(response)} characters, of which none are read")
    else:
        parts = entry.reward(response, ground_truth, settings)
    weights = settings.config.weights
    total = sum(getattr(weights, name) * value for name, value in parts.values.items())
    return Reward(total, parts.values, " ".join(parts.reason.split())[:_MOST_REASON])
