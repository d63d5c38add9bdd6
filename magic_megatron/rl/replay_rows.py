"""The prompts of another run's saved rollouts as rows, for ``train_only``."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from magic_megatron.config.rl import RlConfig
from magic_megatron.rl.rollouts import read
from recipes.command import InputError

_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("agent_name", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct(
                [("step", pa.int64()), *((name, pa.string()) for name in ("id", "task", "group", "tools"))]
            ),
        ),
    ]
)


def write_replay_rows(config: RlConfig, folder: Path) -> str:
    """``folder/replay.parquet``: a row per group, ``train.batch_size`` for each of the saved steps.

    Raises:
        InputError: fewer saved steps than ``train.num_steps``, or a step of another shape than the recipe's.
    """
    assert config.train_only is not None
    groups: dict[int, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    tasks: dict[str, str] = {}
    for sample in read(config.train_only, range(1, config.train.num_steps + 1), key="train_only"):
        groups[sample.step][sample.group].add(sample.sample)
        tasks[sample.group] = sample.task
    rows = []
    for step in range(1, config.train.num_steps + 1):
        _check_step(config, step, groups.get(step, {}))
        rows += [_row(step, group, tasks[group]) for group in groups[step]]
    path = folder / "replay.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)
    return str(path)


def _check_step(config: RlConfig, step: int, groups: dict[str, set[int]]) -> None:
    if not groups:
        raise InputError(
            f"train.num_steps={config.train.num_steps}: train_only={config.train_only} has no rollouts of step {step};"
            f" try train.num_steps={step - 1}"
        )
    if len(groups) != config.train.batch_size:
        raise InputError(
            f"train.batch_size={config.train.batch_size}: step {step} of train_only={config.train_only} has"
            f" {len(groups)} prompts; try train.batch_size={len(groups)}"
        )
    sizes = Counter(len(samples) for samples in groups.values())
    if max(sizes) != config.rollout.n:  # an episode that was lost before its first turn left none
        raise InputError(
            f"rollout.n={config.rollout.n}: prompts of step {step} of train_only={config.train_only} have"
            f" {max(sizes)} answers; try rollout.n={max(sizes)}"
        )


def _row(step: int, group: str, task: str) -> dict[str, Any]:
    return {
        "data_source": task,
        "prompt": [],
        "agent_name": "replay",
        "reward_model": {"style": "replay", "ground_truth": ""},
        "extra_info": {
            "step": step,
            "id": group.partition(":")[2],
            "task": task,
            "group": group,
            "tools": "[]",
        },
    }
