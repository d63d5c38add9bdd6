"""Generated answers of the five tasks with their ground truths, and settings of the reward's recipe."""

import dataclasses
import json
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from task_rows import accepted_rows, make_task

from data_synth.selection.embedding import lexical_vectors
from magic_megatron.config.rl_reward import RewardConfig
from magic_megatron.rl.rewards import RewardSettings, check_ground_truth, open_settings
from magic_megatron.rl.rewards.semantic import Embeddings
from recipes.command import typed

NUM_ROWS = {"decomposition": 40, "tool_augmented": 30, "scheduling": 60, "procedural": 40, "long_horizon": 6}
TASKS = tuple(NUM_ROWS)


class Answer(NamedTuple):
    task: str
    language: str
    response: str
    ground_truth: dict[str, Any]


@cache
def recipe() -> RewardConfig:
    return typed(RewardConfig, OmegaConf.load("recipes/rl/reward/unified.yaml"))


@cache
def settings() -> RewardSettings:
    """With all-MiniLM-L6-v2; shared, so that the model is loaded once."""
    return open_settings(recipe())


@cache
def lexical_settings() -> RewardSettings:
    """With hashed words instead of a model: cosines in no time."""

    def encode(texts: list[str]) -> NDArray[np.float32]:
        vectors = lexical_vectors(texts)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return RewardSettings(recipe(), Embeddings(encode, cache_size=4096, max_characters=8192))


def with_config(**changes: Any) -> RewardSettings:
    """The shared model under another recipe."""
    return RewardSettings(dataclasses.replace(recipe(), **changes), settings().embeddings)


@cache
def answers() -> tuple[Answer, ...]:
    """Every scored answer of some rows, both languages, as verl's parquet has them."""
    rows = [
        row for task in TASKS for row in accepted_rows(make_task(task, *_overrides(task)), NUM_ROWS[task])
    ]
    return tuple(answer for row in rows for answer in _of(row))


def _overrides(task: str) -> list[str]:
    tagged = ["difficulty=mini", "answer_format=tagged", "reasoning=steps"] if task == "scheduling" else []
    return ["language=both", *tagged]


def of_task(task: str) -> list[Answer]:
    found = [answer for answer in answers() if answer.task == task]
    assert {answer.language for answer in found} == {"en", "zh"}
    return found


def _of(row: dict) -> list[Answer]:
    said = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    golds = [row["gold"]]
    if "turns" in row["gold"]:
        golds = [{**row["gold"], "turns": [turn]} for turn in row["gold"]["turns"]]
    task, language = row["task"], row["meta"]["language"]
    return [
        Answer(task, language, text, check_ground_truth(task, json.dumps(gold)))
        for text, gold in zip(said, golds, strict=True)
    ]
