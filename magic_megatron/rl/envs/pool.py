"""Games in Ray actors: started before they are needed, several in each, replaced when they crash or hang.

An actor plays its games one after another. Before each call it arms a timer of the C library's own (``faulthandler``),
which ends the process with a traceback in its log where the call takes too long, whatever the process is doing. Ray
then starts another in its place, behind the same handle. The games of the lost process raise ``EnvironmentLost``: so
``games_per_actor`` is also how many episodes one bad game may cost.
"""

from __future__ import annotations

import asyncio
import faulthandler
import hashlib
import os
import random
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import ActorDiedError, RayActorError

from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.rl.envs.base import Environment, EnvironmentLost, Instance, Observation, Transition
from magic_megatron.rl.envs.registry import environment
from recipes.command import InputError

POLL_S = 0.1
MAX_POLL_S = 1.0
"""Between two looks for a free place: the first, and those of one that waits long."""
STDERR = 2


class _DeadForGood(EnvironmentLost):
    """The actor was stopped, or can't start: Ray doesn't replace it."""


@dataclass(frozen=True)
class Failure:
    """What an actor answers in place of a result. ``open`` may succeed elsewhere where there was no ``place``."""

    reason: str


@dataclass
class Place:
    """A game under way."""

    environment: Environment
    instance: Instance
    used_at: float = field(default_factory=time.monotonic)


class GameHost:
    """The actor: ``games_per_actor`` places for games of one environment."""

    def __init__(self, config: EnvConfig) -> None:
        self._config = config
        self._kind = environment(config.name)
        self._spare: list[Environment] = [self._kind(config)]
        self._places: dict[str, Place] = {}

    def ready(self) -> int:
        """The process id, when it has imported all that games need."""
        return os.getpid()

    def open(self, instance: Instance) -> str | None:
        """A key for a place that the game then has to itself; None where all are taken."""
        if len(self._places) >= self._config.pool.games_per_actor:
            self._give_up_idle()
        if len(self._places) >= self._config.pool.games_per_actor:
            return None
        key = uuid4().hex
        self._places[key] = Place(self._spare.pop() if self._spare else self._kind(self._config), instance)
        return key

    def reset(self, key: str) -> Observation | Failure:
        """Load the game."""
        if (place := self._places.get(key)) is None:
            return _gone()
        return self._do(
            key, self._config.pool.reset_timeout_s, lambda: place.environment.reset(place.instance)
        )

    def step(self, key: str, action: str | None) -> Transition | Failure:
        """One action."""
        if (place := self._places.get(key)) is None:
            return _gone()
        return self._do(key, self._config.pool.step_timeout_s, lambda: place.environment.step(action))

    def close(self, key: str) -> None:
        """Make the place free; the environment is used again."""
        if place := self._places.pop(key, None):
            self._spare.append(place.environment)

    def _do(self, key: str, timeout_s: float, call: Any) -> Any:
        """``call`` under the timer. Where it raises, the environment may be broken and isn't used again."""
        try:
            with _ended_after(timeout_s):
                result = call()
        except Exception as error:
            traceback.print_exc()
            instance = self._places.pop(key).instance
            return Failure(f"{instance['id']}: {type(error).__name__}: {' '.join(str(error).split())}")
        self._places[key].used_at = time.monotonic()
        return result

    def _give_up_idle(self) -> None:
        oldest = time.monotonic() - self._config.pool.idle_timeout_s
        for key in [key for key, place in self._places.items() if place.used_at < oldest]:
            self.close(key)


def _gone() -> Failure:
    return Failure("its process was replaced, or its place was given up after env.pool.idle_timeout_s")


@contextmanager
def _ended_after(timeout_s: float) -> Iterator[None]:
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@dataclass(frozen=True)
class EnvironmentPool:
    """The client; pickle it to wherever episodes are played."""

    config: EnvConfig
    actors: list[Any]

    @classmethod
    def start(cls, config: EnvConfig) -> EnvironmentPool:
        """Start the actors on the cluster that Ray is connected to, without waiting for them.

        Raises:
            InputError: no such environment.
        """
        environment(config.name)
        host = ray.remote(GameHost)
        options: dict[str, Any] = {
            "num_cpus": config.pool.cpus_per_actor,
            "max_restarts": -1,
            "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
        }
        return cls(config, [host.options(name=name, **options).remote(config) for name in _names(config)])

    @classmethod
    def connect(cls, config: EnvConfig) -> EnvironmentPool:
        """The pool that another process of the same Ray job started with this ``config``.

        Raises:
            EnvironmentLost: there is none.
        """
        try:
            return cls(config, [ray.get_actor(name) for name in _names(config)])
        except ValueError as error:
            raise EnvironmentLost(
                f"no pool was started for env.name={config.name}: {_short(error)}"
            ) from None

    def wait(self) -> list[int]:
        """The actors' process ids, when each has loaded what it needs.

        Raises:
            EnvironmentLost: one doesn't within ``env.pool.start_timeout_s``, or fails as it starts.
        """
        try:
            return ray.get(
                [actor.ready.remote() for actor in self.actors], timeout=self.config.pool.start_timeout_s
            )
        except (ray.exceptions.GetTimeoutError, RayActorError) as error:
            raise EnvironmentLost(f"the environment's processes don't start: {_short(error)}") from None

    def check(self, instances: Sequence[Instance]) -> None:
        """Wait for the actors, then load each of ``instances`` once: what can't play is found before engines wait.

        Raises:
            InputError: the processes don't start, or one of the games doesn't.
        """
        name = f"env.name={self.config.name}"
        try:
            self.wait()
        except EnvironmentLost as lost:
            raise InputError(f"{name}: {lost}; the logs of Ray's workers have the traceback") from None
        for instance in instances:
            try:
                asyncio.run(self._load(instance))
            except EnvironmentLost as lost:
                raise InputError(f"{name}: game {instance['id']} doesn't start: {lost}") from None

    async def _load(self, instance: Instance) -> None:
        session = await self.open(instance)
        try:
            await session.reset()
        finally:
            await session.close()

    def stop(self) -> None:
        """End the actors; returns when their names are free again."""
        for actor in self.actors:
            ray.kill(actor)
        for name in _names(self.config):
            while _exists(name):
                time.sleep(POLL_S)

    async def open(self, instance: Instance) -> Session:
        """A place for a game, waited for where all are taken.

        Raises:
            EnvironmentLost: no actor answered for ``env.pool.start_timeout_s``.
        """
        answered_at = time.monotonic()
        last, pause_s = "no answer", POLL_S
        alive = random.sample(self.actors, len(self.actors))
        asked = list(alive)
        while alive and time.monotonic() - answered_at < self.config.pool.start_timeout_s:
            for actor in asked:
                try:
                    key = await self._ask(actor, "open", instance)
                except EnvironmentLost as error:
                    last = str(error)
                    if isinstance(error, _DeadForGood):
                        alive.remove(actor)
                    continue
                answered_at = time.monotonic()
                if key is not None:
                    return Session(self, actor, key)
            # A thousand episodes may wait: their asking mustn't hold up the games that run.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, MAX_POLL_S)
            asked = random.sample(alive, min(1, len(alive)))
        raise EnvironmentLost(f"no process of the pool answers: {last}")

    async def _ask(self, actor: Any, method: str, *arguments: Any) -> Any:
        """An actor's answer. One that is stopped as a whole, so that its own timer is, is replaced from here."""
        pool = self.config.pool
        limit_s = pool.start_timeout_s + pool.reset_timeout_s + pool.games_per_actor * pool.step_timeout_s
        try:
            answer = await asyncio.wait_for(getattr(actor, method).remote(*arguments), limit_s)
        except ActorDiedError as error:
            raise _DeadForGood(f"its process died: {_short(error)}") from None
        except RayActorError as error:
            raise EnvironmentLost(f"its process crashed or hung: {_short(error)}") from None
        except TimeoutError:
            ray.kill(actor, no_restart=False)
            raise EnvironmentLost(f"its process didn't answer for {limit_s:.0f} s and was replaced") from None
        if isinstance(answer, Failure):
            raise EnvironmentLost(answer.reason)
        return answer


@dataclass(frozen=True)
class Session:
    """One game in the pool. Each method raises ``EnvironmentLost`` where the game can't go on."""

    pool: EnvironmentPool
    actor: Any
    key: str

    async def reset(self) -> Observation:
        """Load the game."""
        return await self.pool._ask(self.actor, "reset", self.key)

    async def step(self, action: str | None) -> Transition:
        """Do an action; None for an answer in the wrong format."""
        return await self.pool._ask(self.actor, "step", self.key, action)

    async def close(self) -> None:
        """Free the place; of a game that is lost already too."""
        try:
            await self.pool._ask(self.actor, "close", self.key)
        except EnvironmentLost:
            return  # its place went with it


def _names(config: EnvConfig) -> list[str]:
    """Of the pool's actors; two pools of a job differ in their settings."""
    digest = hashlib.sha256(repr(config).encode()).hexdigest()[:12]
    return [f"environment/{config.name}/{digest}/{number}" for number in range(config.pool.num_actors)]


def _exists(name: str) -> bool:
    try:
        ray.get_actor(name)
    except ValueError:
        return False
    return True


def _short(error: Exception) -> str:
    """The error's last line: what a process that can't start raised."""
    return str(error).strip().splitlines()[-1].strip()[:300]
