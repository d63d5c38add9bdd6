"""The pool under a real Ray: many games at once, and environments that crash, hang and fail."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from rl_environments import env_config

from magic_megatron.rl.envs.base import EnvironmentLost
from magic_megatron.rl.envs.errand import Errand
from magic_megatron.rl.envs.pool import EnvironmentPool
from recipes.command import InputError

INSTANCE = {"id": "counter/0", "environment": "counter", "target": 3}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    start_ray()
    yield
    ray.shutdown()
    patch.undo()


def start_ray(attempts: int = 4) -> None:
    """Ray gives its own start 30 seconds, which isn't enough on a machine where all cores are busy."""
    try:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=80_000_000,
            runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}},
        )
    except Exception as error:
        ray.shutdown()
        if attempts == 1 or "timed out during startup" not in str(error):
            raise
        start_ray(attempts - 1)


@pytest.fixture
def make_pool():
    pools = []

    def make(config):
        pools.append(EnvironmentPool.start(config))
        return pools[-1]

    yield make
    for pool in pools:
        pool.stop()


def counter(**changes):
    config = env_config("rl_environments:counter")
    return replace(config, pool=replace(config.pool, **changes))


async def play(pool, instance, actions):
    session = await pool.open(instance)
    try:
        await session.reset()
        return [await session.step(action) for action in actions][-1]
    finally:
        await session.close()


def test_games_run_side_by_side_and_wait_for_a_place(make_pool):
    config = env_config("errand")
    config = replace(config, pool=replace(config.pool, num_actors=2, games_per_actor=3))
    pool = make_pool(config)
    instances = Errand.instances(config, "train")[:20]

    async def all_games():
        return await asyncio.gather(*(play(pool, instance, Errand.plan(instance)) for instance in instances))

    last = asyncio.run(all_games())
    assert all(transition.won and transition.done and transition.reward == 10.0 for transition in last)


@pytest.mark.parametrize("action", ["crash", "hang", "hang holding the GIL"])
def test_a_crashed_or_hung_actor_is_replaced_and_its_games_are_lost(make_pool, action):
    pool = make_pool(counter(num_actors=1, games_per_actor=2, step_timeout_s=1.0))

    async def scene():
        doomed, neighbour = await pool.open(INSTANCE), await pool.open(INSTANCE)
        await doomed.reset()
        await neighbour.reset()
        start = time.monotonic()
        with pytest.raises(EnvironmentLost, match=r"crashed or hung|died|replaced"):
            await doomed.step(action)
        assert time.monotonic() - start < 60  # the timer's second, and a busy machine
        with pytest.raises(EnvironmentLost):
            await neighbour.step("count")
        await doomed.close()
        return await play(pool, INSTANCE, ["count"] * 3)

    assert asyncio.run(scene()).won


def test_an_environment_that_raises_loses_its_own_game_alone(make_pool):
    pool = make_pool(counter(num_actors=1, games_per_actor=2))

    async def scene():
        doomed, neighbour = await pool.open(INSTANCE), await pool.open(INSTANCE)
        await doomed.reset()
        await neighbour.reset()
        with pytest.raises(EnvironmentLost, match="counter/0: ZeroDivisionError"):
            await doomed.step("raise")
        with pytest.raises(EnvironmentLost, match="replaced, or its place"):
            await doomed.step("count")
        return await neighbour.step("count")

    assert not asyncio.run(scene()).done


def test_a_place_whose_player_is_gone_is_given_up(make_pool):
    pool = make_pool(counter(num_actors=1, games_per_actor=1, idle_timeout_s=0.2))

    async def scene():
        abandoned = await pool.open(INSTANCE)
        await abandoned.reset()
        won = (await play(pool, INSTANCE, ["count"] * 3)).won
        with pytest.raises(EnvironmentLost):
            await abandoned.step("count")
        return won

    assert asyncio.run(scene())


def test_an_actor_that_is_killed_from_outside_comes_back(make_pool):
    pool = make_pool(counter(num_actors=1))

    async def scene():
        session = await pool.open({**INSTANCE, "says": "pid"})
        process = int((await session.reset()).text)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(EnvironmentLost):
            await session.step("count")
        return (await play(pool, INSTANCE, ["count"] * 3)).won

    assert asyncio.run(scene())


def test_what_cannot_play_is_found_before_the_first_episode(make_pool):
    pool = make_pool(counter(num_actors=1))
    pool.check([INSTANCE, INSTANCE])
    with pytest.raises(
        InputError, match=r"env\.name=.*counter: game counter/0 doesn't start: .*no such floor"
    ):
        pool.check([INSTANCE, {**INSTANCE, "says": "broken"}])
    unready = make_pool(replace(env_config("rl_environments:unready"), pool=counter(num_actors=1).pool))
    with pytest.raises(InputError, match=r"env\.name=.*unready: .* don't start: .*the planner's library"):
        unready.check([])


def test_an_unknown_environment_is_refused_before_any_actor_starts():
    with pytest.raises(
        InputError, match=r"env\.name=nowhere: no such environment; choose one of alfworld, errand"
    ):
        EnvironmentPool.start(env_config("nowhere"))
