"""Games in processes of their own: one that crashes or hangs loses its game and nothing else.

The environment is whatever is installed under the name in the entry-point group ``magic.environments``: a class with
``instances(settings, split)``, ``reset(instance)``, ``step(action)``, ``messages(…)`` and ``parse(text)``, as
``magic_megatron.rl.envs.base`` describes. It is imported in these processes only. Run as a module, this file is such
a process: it does what comes over the connection whose number is its argument, until that closes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

from evaluation.benchmarks._alfworld_prompts import Scene
from recipes.command import InputError

GROUP = "magic.environments"


class GameLostError(Exception):
    """The game can't go on: its process crashed, hung or failed. The message is one line, for people."""


@dataclass(frozen=True)
class Rules:
    """What a process needs to play: the environment's name and settings, and how long to wait (seconds)."""

    environment: str
    games: str
    task_types: list[str] | None
    max_steps: int
    history_length: int
    load_timeout_s: float
    step_timeout_s: float


@dataclass(frozen=True)
class State:
    """Where a game stands. ``valid``: the action that led here was one of the admissible ones."""

    scene: Scene
    done: bool = False
    won: bool = False
    valid: bool = True


class Host:
    """A process that plays one game after another; the methods block and aren't for two threads at once."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._connection, theirs = Pipe()
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # TextWorld's games print
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the parent; this one ends when the connection closes
            )
        self._finalizer = weakref.finalize(self, _end, self.process, self._connection)
        self._connection.send(asdict(rules))

    def instances(self, split: str) -> list[dict[str, Any]]:
        """The games of a split.

        Raises:
            InputError: no such environment, or it refuses the games.
            GameLostError: it fails.
        """
        return self._ask(("instances", split), self._rules.load_timeout_s)

    def reset(self, instance: dict[str, Any]) -> State:
        """Start a game; raises GameLostError."""
        return _state(self._ask(("reset", instance), self._rules.load_timeout_s))

    def step(self, action: str | None) -> State:
        """Do an action; one that isn't admissible changes nothing and counts. Raises GameLostError."""
        return _state(self._ask(("step", action), self._rules.step_timeout_s))

    def parse(self, answer: str) -> str | None:
        """The action that the environment reads from an answer; raises GameLostError."""
        return self._ask(("parse", answer), self._rules.step_timeout_s)

    def end(self) -> None:
        """Kill the process, whatever it does."""
        self._finalizer()

    def _ask(self, message: Any, timeout_s: float) -> Any:
        try:
            self._connection.send(message)
            if not self._connection.poll(timeout_s):
                self.end()
                raise GameLostError(f"its process didn't answer for {timeout_s:g} s")
            kind, answer = self._connection.recv()
        except (EOFError, OSError):
            self.end()
            raise GameLostError(f"its process crashed (status {self.process.returncode})") from None
        if kind == "input":
            raise InputError(answer)
        if kind == "failure":
            raise GameLostError(answer)
        return answer


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()


def _state(told: dict[str, Any]) -> State:
    return State(Scene(**told.pop("scene")), **told)


class Hosts:
    """Hosts that are used again and started as they are needed; at most ``num_processes`` play at a time."""

    def __init__(self, rules: Rules, num_processes: int) -> None:
        self._rules = rules
        self._num_processes = num_processes
        self._threads = ThreadPoolExecutor(num_processes, "game")
        self._spare: list[Host] = []
        self._places: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    @contextmanager
    def host(self) -> Iterator[Host]:
        """A host to oneself. One that is left by an error isn't used again."""
        host = self._waiting() or Host(self._rules)
        try:
            yield host
        except BaseException:
            host.end()
            raise
        self._spare.append(host)

    def _waiting(self) -> Host | None:
        """A host that plays nothing, and didn't die meanwhile."""
        while self._spare:
            host = self._spare.pop()
            if host.process.poll() is None:
                return host
            host.end()
        return None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Host]:
        """The same, waited for where all are taken."""
        async with self._room():
            with self.host() as host:
                yield host

    async def do[T](self, call: Callable[..., T], *arguments: Any) -> T:
        """``call(*arguments)`` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _room(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if self._places is None or self._places[0] is not loop:  # a semaphore belongs to its loop
            self._places = loop, asyncio.Semaphore(self._num_processes)
        return self._places[1]


class _Player:
    """The other end: an environment and the game that it plays."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self._settings = SimpleNamespace(
            games=rules["games"],
            options={"task_types": rules["task_types"]},
            max_steps=rules["max_steps"],
            won_reward=1.0,
            invalid_reward=0.0,
        )
        self._history_length = rules["history_length"]
        self._kind = _environment(rules["environment"])
        self._environment: Any = None
        self._past: list[SimpleNamespace] = []
        self._seen = ""

    def instances(self, split: str) -> list[dict[str, Any]]:
        return self._kind.instances(self._settings, split)

    def parse(self, answer: str) -> str | None:
        return self._kind.parse(answer)

    def reset(self, instance: dict[str, Any]) -> dict[str, Any]:
        if self._environment is None:
            self._environment = self._kind(self._settings)
        self._past = []
        return {"scene": self._scene(self._environment.reset(instance))}

    def step(self, action: str | None) -> dict[str, Any]:
        self._past.append(SimpleNamespace(observation=self._seen, action=action))
        led = self._environment.step(action)
        return {
            "scene": self._scene(led.observation),
            "done": led.done,
            "won": led.won,
            "valid": led.valid,
        }

    def _scene(self, observation: Any) -> dict[str, Any]:
        self._seen = observation.text
        prompt = self._kind.messages(observation, self._past, self._history_length)
        return {
            "text": observation.text,
            "goal": observation.goal,
            "admissible": tuple(observation.admissible),
            "prompt": tuple(prompt),
        }


def _environment(name: str) -> Any:
    for point in entry_points(group=GROUP, name=name):
        try:
            return point.load()
        except ImportError as error:
            raise InputError(
                f"options.environment={name}: can't be imported ({error}); install what it needs, see docs/alfworld.md"
            ) from None
    raise InputError(
        f"options.environment={name}: no installed package has an entry point of this name in {GROUP};"
        " run ./launch/setup.sh, or install the package again"
    )


def _serve(connection: Connection) -> None:
    player: _Player | None = None
    rules = connection.recv()
    while True:
        method, argument = connection.recv()
        try:
            player = player or _Player(rules)
            answer = "done", getattr(player, method)(argument)
        except InputError as error:
            answer = "input", str(error)
        except Exception as error:
            answer = "failure", f"{type(error).__name__}: {' '.join(str(error).split())}"
        connection.send(answer)


if __name__ == "__main__":
    try:
        _serve(Connection(int(sys.argv[1])))
    except EOFError:
        sys.exit()  # the parent closed the connection, or is gone
