"""Entries of ``recipes/rl/env``: an environment, its rules and the pool that its games run in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recipes.command import InputError


@dataclass(frozen=True)
class PoolConfig:
    """Processes for games. Times are seconds.

    Attributes:
        num_actors: Ray actors, each a process that is replaced when it crashes or hangs.
        games_per_actor: games that one of them holds; it plays them one after another.
        cpus_per_actor: what each asks of Ray; a fraction lets several share a core.
        step_timeout_s: a step that takes longer ends its actor.
        reset_timeout_s: the same for loading a game.
        start_timeout_s: how long a call waits for an actor that starts or is replaced, or for a free place.
        idle_timeout_s: a game that nobody touched for so long is given up when its place is needed.
    """

    num_actors: int
    games_per_actor: int
    cpus_per_actor: float
    step_timeout_s: float
    reset_timeout_s: float
    start_timeout_s: float
    idle_timeout_s: float


@dataclass(frozen=True)
class EnvConfig:
    """One environment.

    Attributes:
        name: of the registry in ``magic_megatron/rl/envs``.
        games: folder of games, where the environment plays files.
        train_split, validation_splits: parts of the games, as the environment names them.
        num_instances, num_validation_instances: at most so many of a split; null takes all of it.
        max_steps: an episode ends after so many actions, won or not.
        won_reward, invalid_reward: given with the action that wins, and with each that isn't valid.
        history_length: past turns that a prompt shows.
        options: what only this environment knows.
    """

    name: str
    games: str | None
    train_split: str
    validation_splits: list[str]
    num_instances: int | None
    num_validation_instances: int | None
    max_steps: int
    won_reward: float
    invalid_reward: float
    history_length: int
    options: dict[str, Any]
    pool: PoolConfig


def check_env(config: EnvConfig) -> None:
    """Ranges that a type can't express.

    Raises:
        InputError: naming key, value and fix of the first.
    """
    for problem in _problems(config):
        raise problem


def _problems(config: EnvConfig) -> Iterator[InputError]:
    pool = config.pool
    for key, count in {
        "env.max_steps": config.max_steps,
        "env.pool.num_actors": pool.num_actors,
        "env.pool.games_per_actor": pool.games_per_actor,
    }.items():
        if count < 1:
            yield InputError(f"{key}={count}: must be at least 1; try {key}=1")
    for key, number in {
        "env.num_instances": config.num_instances,
        "env.num_validation_instances": config.num_validation_instances,
    }.items():
        if number is not None and number < 1:
            yield InputError(f"{key}={number}: must be at least 1; leave it out to take all")
    for key, seconds in {
        "env.pool.step_timeout_s": pool.step_timeout_s,
        "env.pool.reset_timeout_s": pool.reset_timeout_s,
        "env.pool.start_timeout_s": pool.start_timeout_s,
        "env.pool.idle_timeout_s": pool.idle_timeout_s,
    }.items():
        if seconds <= 0:
            yield InputError(f"{key}={seconds}: must be above 0; try {key}=60")
    if config.history_length < 0:
        yield InputError(f"env.history_length={config.history_length}: must be at least 0; try 2")
    if pool.cpus_per_actor < 0:
        yield InputError(f"env.pool.cpus_per_actor={pool.cpus_per_actor}: must be at least 0; try 0.1")
