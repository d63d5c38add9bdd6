"""Steps per second of ALFWorld's games through the pool, over TextWorld alone; memory of 64 games at once.

One actor of the pool plays games that are asked for concurrently, one process plays the same games with TextWorld 1.7.0
as ALFWorld wraps it: the same actions, in alternating rounds, of which the medians are compared. The pool's own cost
shows against the engine that its actors hold, in this process. Memory is the proportional set size of the actors.

    python benchmarks/alfworld.py [--full]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _result import entry

sys.path.remove(str(Path(__file__).parent))  # this file bears the name of ALFWorld's package

import ray
import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
from omegaconf import OmegaConf
from textworld.envs import PddlEnv

from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.rl.envs.alfworld import Alfworld
from magic_megatron.rl.envs.alfworld_engine import make_engine
from magic_megatron.rl.envs.make_games import MakeGamesConfig, build
from magic_megatron.rl.envs.pool import EnvironmentPool
from recipes.command import compose, typed

NUM_GAMES = 6
MAX_GIGABYTES = 6.0
type Play = tuple[str, list[str]]
"""A game's file and actions, the plan's after a look around."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="12 rounds in place of 3")
    num_rounds = 12 if parser.parse_args().full else 3
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    packages = ("textworld", "alfworld", "fast-downward-textworld", "ray")
    print(", ".join(f"{name} {version(name)}" for name in packages), file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        instances = build_games(Path(folder))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
        try:
            entries = [*speed(instances, num_rounds), memory(instances)]
        finally:
            ray.shutdown()
    print(json.dumps(entries))


def build_games(folder: Path) -> list[dict[str, Any]]:
    """A game of each task type, in whole rooms."""
    recipe = compose("make_games", [f"num_games={NUM_GAMES}", f"output_dir={folder}"])
    (folder / "train").mkdir()
    build(folder / "train", typed(MakeGamesConfig, recipe), [])
    return Alfworld.instances(replace(recipe_of_alfworld(), games=str(folder)), "train")


def recipe_of_alfworld() -> EnvConfig:
    return typed(
        EnvConfig, OmegaConf.load(Path(__file__).parents[1] / "recipes" / "rl" / "env" / "alfworld.yaml")
    )


def speed(instances: list[dict[str, Any]], num_rounds: int) -> list[dict[str, Any]]:
    """Steps per second, loading apart: pool over TextWorld, pool over its own engine; and of loading."""
    config = recipe_of_alfworld()
    config = replace(config, pool=replace(config.pool, num_actors=1, games_per_actor=NUM_GAMES))
    pool = EnvironmentPool.start(config)
    pool.wait()
    plays = [
        (instance["game"], [*["look", "inventory"] * 3, *Alfworld.plan(instance)]) for instance in instances
    ]
    plain = [
        AlfredDemangler(PddlEnv(textworld.EnvInfos(admissible_commands=True, won=True))) for _ in instances
    ]
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "pool": lambda: asyncio.run(through_pool(pool, instances, plays)),
        "engine": lambda: alone([make_engine()] * len(plays), plays),
        "textworld": lambda: alone(plain, plays),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(num_rounds + 1):
        for name, way in ways.items():
            times[name].append(way())
    num_steps = sum(len(actions) for _, actions in plays)
    steps = {
        name: num_steps / statistics.median(step for _, step in found[1:]) for name, found in times.items()
    }
    loads = {
        name: len(plays) / statistics.median(load for load, _ in found[1:]) for name, found in times.items()
    }
    pool.stop()
    return [
        compared("alfworld_steps_pool_over_textworld", steps["pool"], steps["textworld"], "steps/s"),
        compared("alfworld_steps_pool_over_its_engine", steps["pool"], steps["engine"], "steps/s"),
        compared("alfworld_repeated_loads_pool_over_textworld", loads["pool"], loads["textworld"], "games/s"),
    ]


def compared(name: str, ours: float, baseline: float, unit: str) -> dict[str, Any]:
    return entry(name, ours / baseline, 0.9, "higher", ours, baseline, unit)


async def through_pool(
    pool: EnvironmentPool, instances: list[dict[str, Any]], plays: list[Play]
) -> tuple[float, float]:
    """Seconds of loading all games, and of all steps, the games side by side."""
    sessions = [await pool.open(instance) for instance in instances]
    start = time.perf_counter()
    await asyncio.gather(*(session.reset() for session in sessions))
    loaded = time.perf_counter()

    async def play(session: Any, actions: list[str]) -> bool:
        for action in actions:
            transition = await session.step(action)
        return transition.won

    won = await asyncio.gather(
        *(play(*pair) for pair in zip(sessions, (act for _, act in plays), strict=True))
    )
    ended = time.perf_counter()
    assert all(won)
    for session in sessions:
        await session.close()
    return loaded - start, ended - loaded


def alone(engines: list[Any], plays: list[Play]) -> tuple[float, float]:
    """Seconds of loading all games, and of all steps, one game after another."""
    load_s = step_s = 0.0
    for engine, (path, actions) in zip(engines, plays, strict=True):
        start = time.perf_counter()
        engine.load(path)
        state = engine.reset()
        loaded = time.perf_counter()
        for action in actions:
            state, _, _ = engine.step(action)
        load_s, step_s = load_s + loaded - start, step_s + time.perf_counter() - loaded
        assert state["won"]
    return load_s, step_s


def memory(instances: list[dict[str, Any]]) -> dict[str, Any]:
    """Gigabytes of the recipe's pool with all its games loaded and a step made."""
    config = recipe_of_alfworld()
    pool = EnvironmentPool.start(config)
    processes = pool.wait()
    num_games = config.pool.num_actors * config.pool.games_per_actor

    async def fill() -> None:
        sessions = [await pool.open(instances[number % len(instances)]) for number in range(num_games)]
        await asyncio.gather(*(session.reset() for session in sessions))
        await asyncio.gather(*(session.step("look") for session in sessions))

    start = time.perf_counter()
    asyncio.run(fill())
    print(f"{num_games} games loaded in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    gigabytes = sum(proportional_bytes(process) for process in processes) / 1e9
    pool.stop()
    return entry(
        f"alfworld_memory_{num_games}_games",
        gigabytes / MAX_GIGABYTES,
        1.0,
        "lower",
        gigabytes,
        MAX_GIGABYTES,
        "GB",
    )


def proportional_bytes(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
