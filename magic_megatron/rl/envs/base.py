"""What an environment is: text in, one of several admissible actions out, a reward at the end.

A new environment is one file: a subclass of ``Environment`` with ``@register(name)``, named in ``registry.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from magic_megatron.config.rl_env import EnvConfig

type Instance = dict[str, Any]
"""What an episode starts from, as JSON holds it: ``id``, ``environment`` and what the environment adds."""

NOTHING_HAPPENS = "Nothing happens."


class EnvironmentLost(Exception):  # noqa: N818  it is the event that the contract names
    """An episode can't go on: its environment crashed, hung or failed. The message is one line, for people."""


@dataclass(frozen=True)
class Observation:
    """What the agent sees. ``goal`` stays the same over an episode."""

    text: str
    admissible: tuple[str, ...]
    goal: str


@dataclass(frozen=True)
class Transition:
    """What one action led to. ``valid``: it was one of the admissible actions."""

    observation: Observation
    reward: float
    done: bool
    won: bool
    valid: bool


@dataclass(frozen=True)
class Turn:
    """A past turn: what was seen and what was done; an answer without the right format did nothing (None)."""

    observation: str
    action: str | None


class Environment(ABC):
    """One game at a time, ``reset`` after ``reset``. Not for two threads.

    Subclasses say how a game starts and what an admissible action does; steps, limits and rewards are counted here.
    """

    name: ClassVar[str]
    introduction: ClassVar[str]
    """First line of every prompt: where the agent is."""

    def __init__(self, config: EnvConfig) -> None:
        self.config = config
        self._observation: Observation | None = None
        self._num_steps = 0

    @classmethod
    @abstractmethod
    def instances(cls, config: EnvConfig, split: str) -> list[Instance]:
        """The games of a split, in a fixed order.

        Raises:
            InputError: there are none, or no such split; the message names the key of ``env``.
        """

    @classmethod
    @abstractmethod
    def plan(cls, instance: Instance) -> list[str]:
        """Actions that win the game, from its start."""

    @abstractmethod
    def _start(self, instance: Instance) -> Observation: ...

    @abstractmethod
    def _act(self, action: str) -> tuple[Observation, bool]:
        """What an admissible action leads to, and whether the game is won."""

    def reset(self, instance: Instance) -> Observation:
        """Start a game."""
        self._observation = self._start(instance)
        self._num_steps = 0
        return self._observation

    def step(self, action: str | None) -> Transition:
        """Do ``action``. One that isn't admissible, or None, changes nothing and counts as a step."""
        assert self._observation is not None, "reset comes before step"
        valid = action in self._observation.admissible
        won = False
        if valid:
            assert action is not None
            self._observation, won = self._act(action)
        else:
            self._observation = replace(self._observation, text=NOTHING_HAPPENS)
        self._num_steps += 1
        reward = self.config.won_reward * won + self.config.invalid_reward * (not valid)
        done = won or self._num_steps >= self.config.max_steps
        return Transition(self._observation, reward, done, won, valid)

    def close(self) -> None:  # noqa: B027  most environments hold nothing
        """Give back what the environment holds outside of Python."""

    @classmethod
    def messages(
        cls, observation: Observation, history: Sequence[Turn], history_length: int
    ) -> list[dict[str, str]]:
        """The chat prompt of one turn: goal, the last ``history_length`` turns, observation, admissible actions.

        The parts are those of EPO's prompts (arXiv 2509.22576, after GiGPO's), in other words. ``history`` holds all
        turns of the episode so far.
        """
        first = max(0, len(history) - history_length)
        lines = [cls.introduction, f"Goal: {observation.goal}"]
        if history[first:]:
            lines.append(f"Steps so far: {len(history)}. The latest:")
        for number, turn in enumerate(history[first:], first + 1):
            lines.append(f"{number}. {_one_line(turn.observation)} You did: {turn.action or 'nothing'}")
        lines += [
            f"Now: {_one_line(observation.text)}",
            f"Possible actions: {'; '.join(observation.admissible)}",
            "Think between <think> and </think>, then give one possible action between <action> and </action>.",
        ]
        return [{"role": "user", "content": "\n".join(lines)}]

    @classmethod
    def parse(cls, response: str) -> str | None:
        """The action of ``<think>…</think><action>…</action>``; None for any other form."""
        text = response.strip()
        if not (text.startswith("<think>") and text.endswith("</action>")):
            return None
        thought, closing, rest = text.removeprefix("<think>").partition("</think>")
        rest = rest.lstrip()
        if not closing or not rest.startswith("<action>"):
            return None
        action = rest.removeprefix("<action>").removesuffix("</action>").strip()
        tags = ("<think>", "</think>", "<action>", "</action>")
        return (
            None if not action or any(tag in part for part in (thought, action) for tag in tags) else action
        )

    @classmethod
    def thought(cls, observation: Observation, action: str) -> str:
        """A line of reasoning for a demonstration: the goal and the next step."""
        return f"The goal is to {observation.goal.rstrip('.')}. Next I {action}."


def _one_line(text: str) -> str:
    return " ".join(text.split())


ENVIRONMENTS: dict[str, type[Environment]] = {}


def register[E: type[Environment]](name: str) -> Callable[[E], E]:
    """Enter a class into ``ENVIRONMENTS``; ``name`` is what recipes and instances say."""

    def enter(kind: E) -> E:
        assert name not in ENVIRONMENTS, f"{name} is registered already"
        kind.name = name
        ENVIRONMENTS[name] = kind
        return kind

    return enter
