"""The games of an environment as rows, so that the rest of a run needn't know where its prompts come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from magic_megatron.config.rl_env import EnvConfig, check_env
from magic_megatron.rl.envs.base import Instance
from magic_megatron.rl.envs.registry import environment

_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("agent_name", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct([(name, pa.string()) for name in ("id", "task", "subtask", "tools", "instance")]),
        ),
    ]
)


def write_env_rows(env: EnvConfig, folder: Path) -> dict[str, list[str]]:
    """``folder/games_train.parquet`` and ``games_validation.parquet``, a row per game.

    A game of a validation split has the task ``<name>/<split>``. One that isn't of the official set has ``_built``
    behind its environment's name, wherever its score is shown.

    Raises:
        InputError: no such environment, or no games of a split; the message names the key of ``env``.
    """
    check_env(env)
    kind = environment(env.name)
    limited = kind.instances(env, env.train_split)[: env.num_instances]
    train = [_row(env, instance, "") for instance in limited]
    held_out = [
        _row(env, instance, f"/{split}")
        for split in env.validation_splits
        for instance in kind.instances(env, split)[: env.num_validation_instances]
    ]
    return {"train": _write(folder / "games_train.parquet", train)} | {
        "validation": _write(folder / "games_validation.parquet", held_out) if held_out else []
    }


def first_games(*rows: Sequence[dict[str, Any]]) -> list[Instance]:
    """Of each of ``rows`` its first game; none of rows of another kind, such as saved rollouts."""
    first = [some[0]["extra_info"].get("instance") for some in rows if len(some)]
    return [json.loads(instance) for instance in first if instance]


def _row(env: EnvConfig, instance: Instance, split: str) -> dict[str, Any]:
    name = env.name.rpartition(":")[2] + ("_built" if instance.get("built") else "")
    return {
        "data_source": name,
        "prompt": [],
        "agent_name": "environment",
        "reward_model": {"style": "environment", "ground_truth": ""},
        "extra_info": {
            "id": instance["id"],
            "task": name + split,
            "subtask": str(instance.get("task_type", "")),
            "tools": "[]",
            "instance": json.dumps(instance),
        },
    }


def _write(path: Path, rows: list[dict[str, Any]]) -> list[str]:
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, _SCHEMA) as writer:
        for batch in _batches(rows):
            writer.write_table(pa.Table.from_pylist(batch, schema=_SCHEMA))
    partial.replace(path)
    return [str(path)]


def _batches(rows: list[dict[str, Any]], size: int = 256) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
