"""verl's custom reward function (0.9.1): ``reward.custom_reward_function.{path,name,reward_kwargs}``.

verl calls it once a response, in threads of its reward workers; ``reward_kwargs`` is ``{"settings": …}``, an entry of
``recipes/rl/reward`` as a mapping. A process opens its settings once, so all of its threads share the embeddings.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from magic_megatron.config.rl_reward import RewardConfig
from magic_megatron.rl.rewards import PARTS, RewardSettings, check_ground_truth, open_settings, score
from recipes.command import InputError, typed

_OPENING = threading.Lock()
_open: list[tuple[Mapping[str, Any], RewardSettings]] = []
_GROUND_TRUTHS = 512
"""Ground truths kept parsed: a group's responses share theirs."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any],
    *,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The reward of one response, by the task of its row.

    Args:
        data_source: of the row; not used.
        solution_str: the response, decoded without special tokens.
        ground_truth: JSON text, ``reward_model.ground_truth`` of the row.
        extra_info: ``task`` says which reward.
        settings: the recipe's ``reward``.

    Returns:
        ``score``, ``task``, ``reason``, and each of ``PARTS``, None where the task has no such part. verl leaves None
        out of its means.

    Raises:
        InputError: the row has no task, no reward for its task, or no ground truth; a preflight says so earlier.
    """
    task = extra_info.get("task")
    if not isinstance(task, str):
        raise InputError(f"extra_info.task={task}: names no task; export the rows with data_synth.export")
    reward = score(task, solution_str, _ground_truth(task, ground_truth), _opened(settings))
    parts = {name: reward.parts.get(name) for name in PARTS}
    return {"score": reward.score, "task": task, "reason": reward.reason, **parts}


@lru_cache(maxsize=_GROUND_TRUTHS)
def _ground_truth(task: str, text: str) -> dict[str, Any]:
    return check_ground_truth(task, text, "reward_model.ground_truth")


def _opened(settings: Mapping[str, Any]) -> RewardSettings:
    """verl passes the same object with every call: it is read once."""
    with _OPENING:
        if not _open or _open[0][0] is not settings:
            config = typed(RewardConfig, OmegaConf.create(dict(settings)))
            _open[:] = [(settings, open_settings(config))]
        return _open[0][1]
