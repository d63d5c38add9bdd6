"""TextWorld's PDDL engine on ALFWorld's games, without the work that it repeats.

TextWorld 1.7.0 translates a game's PDDL four times per episode, and at every step parses and expands the template of
every possible command again. Both depend on the game alone: here they are remembered per game, within this process.
``tests/unit/test_rl_envs_alfworld.py`` compares every step with the engine as it comes.

The planner's library holds its state in global variables; ``fast_downward.load_lib`` therefore loads a copy of the
file per engine, so that games of one process don't meet. Loading a game redirects ``sys.stdout``: one thread only.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fast_downward
import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
from textworld.envs.pddl import PddlEnv
from textworld.envs.pddl.logic import GameLogic, PddlState
from textworld.envs.pddl.textgen import ContextSensitiveGrammar

GAMES_REMEMBERED = 64
"""Per process; a translation takes some hundreds of kilobytes."""

_translate = functools.lru_cache(2 * GAMES_REMEMBERED)(fast_downward.pddl2sas)


class CommandCache(ContextSensitiveGrammar):
    """Expands each command's template once per choice of objects.

    Templates of commands name objects and the places of receptacles, neither of which ever changes. Texts that
    describe the state are derived anew; they begin with ``#``.
    """

    def __init__(self, grammar: ContextSensitiveGrammar) -> None:
        super().__init__()
        self.update(grammar)
        self._expanded: dict[tuple[str, ...], str] = {}

    def derive(self, start: str, context: Any = None) -> str:
        if start.startswith("#"):
            return super().derive(start, context)
        key = (start, *(f"{slot.name}={value.name}" for slot, value in context["mapping"].items()))
        if key not in self._expanded:
            self._expanded[key] = super().derive(start, context)
        return self._expanded[key]


@functools.lru_cache(GAMES_REMEMBERED)
def _logic(domain: str, grammar: str) -> GameLogic:
    logic = GameLogic(domain=domain, grammar=grammar)
    logic.grammar = CommandCache(logic.grammar)
    return logic


@contextmanager
def _translations_remembered() -> Iterator[None]:
    original, arguments = fast_downward.pddl2sas, sys.argv
    fast_downward.pddl2sas = _translate
    try:
        yield
    finally:
        fast_downward.pddl2sas = original
        sys.argv = arguments  # the translator overwrites it


class GameEngine(PddlEnv):
    """``PddlEnv`` with memory."""

    def load(self, game: str | Mapping[str, Any]) -> None:
        """Take a game from its ``game.tw-pddl``, or from what such a file holds."""
        data = json.loads(Path(game).read_text("utf-8")) if isinstance(game, str) else game
        self._game_data = data
        self.walkthrough = data.get("walkthrough")
        self._logic = _logic(data["pddl_domain"], data["grammar"])
        with _translations_remembered():
            self._pddl_state = PddlState(self.downward_lib, data["pddl_problem"], self._logic)
        self._entity_infos = self._get_entity_infos()

    def reset(self) -> textworld.GameState:
        """The game's start."""
        with _translations_remembered():
            return super().reset()


def make_engine(policy_commands: bool = False) -> textworld.Environment:
    """An engine that names objects as ALFWorld does (``drawer 3``); ``load`` and ``reset`` it for each game.

    Every engine keeps 2 MB of library for the rest of the process: unloading two of them (``close_lib``) crashes the
    process at its end. Use one again rather than make another.

    Args:
        policy_commands: let the planner say at every step what would win.
    """
    infos = textworld.EnvInfos(admissible_commands=True, won=True, policy_commands=policy_commands)
    return AlfredDemangler(GameEngine(infos), shuffle=False)


@functools.cache
def _own_engine(policy_commands: bool) -> textworld.Environment:
    return make_engine(policy_commands)


def winning_plan(game: str | Mapping[str, Any]) -> list[str] | None:
    """The planner's actions for a game, replayed to its end.

    None if it finds none, if they don't win, or if the game is won at its start.
    """
    engine = _own_engine(policy_commands=True)
    engine.load(game)
    plan = list(engine.reset()["policy_commands"])
    return plan if replay(game, plan) else None


def with_names(game: str | Mapping[str, Any], actions: list[str]) -> list[str]:
    """``actions`` with ids of the problem replaced by the names that the game shows."""
    engine = _own_engine(policy_commands=False)
    engine.load(game)
    names = {key: info.name.strip() for key, info in engine.unwrapped._entity_infos.items()}
    return [" ".join(names.get(word, word) for word in action.split()) for action in actions]


def replay(game: str | Mapping[str, Any], actions: list[str]) -> bool:
    """Whether ``actions`` win the game at the last of them and not before, each being admissible in its turn."""
    engine = _own_engine(policy_commands=False)
    engine.load(game)
    state = engine.reset()
    for action in actions:
        if state["won"] or action not in state["admissible_commands"]:
            return False
        state, _, _ = engine.step(action)
    return bool(actions and state["won"])
