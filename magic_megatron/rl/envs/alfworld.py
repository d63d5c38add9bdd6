"""ALFWorld (arXiv 2010.03768): household tasks in TextWorld, official games or built ones.

Rewards and limits of the recipe follow EPO (arXiv 2509.22576): 10 for success, −0.1 for an invalid action, 50 steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.rl.envs.alfworld_engine import make_engine, winning_plan
from magic_megatron.rl.envs.base import Environment, Instance, Observation, register
from recipes.command import InputError

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
GAME, TRAJECTORY, PLAN = "game.tw-pddl", "traj_data.json", "plan.json"
"""Files of a game's folder. Built games have a plan beside them, official ones don't."""
HIDDEN_ACTIONS = ("help",)
GOAL_MARK = "Your task is to:"


@register("alfworld")
class Alfworld(Environment):
    """A game of ALFWorld. Instances name the game's file, its task type and whether it was built here."""

    introduction = "You are a robot in a house. You see and act through text."

    def __init__(self, config: EnvConfig) -> None:
        super().__init__(config)
        self._engine = make_engine()
        self._goal = ""

    @classmethod
    def instances(cls, config: EnvConfig, split: str) -> list[Instance]:
        """Games below ``games/split``: ``train``, ``valid_seen`` (IID) and ``valid_unseen`` (OOD) officially.

        Raises:
            InputError: no such folder, or no game of the six task types in it.
        """
        if config.games is None:
            raise InputError(
                "env.games=null: missing; give ALFWorld's json_2.1.1, or build games:"
                " python -m magic_megatron.rl.envs.make_games"
            )
        folder = Path(config.games).resolve() / split
        if not folder.is_dir():
            raise InputError(f"env.games={config.games}: has no folder {split}; see docs/alfworld.md")
        wanted = config.options["task_types"] or TASK_TYPES
        if unknown := set(wanted) - set(TASK_TYPES):
            raise InputError(
                f"env.options.task_types={sorted(unknown)}: unknown; known: {', '.join(TASK_TYPES)}"
            )
        found = [instance for instance in _games(folder) if instance["task_type"] in wanted]
        if not found:
            raise InputError(
                f"env.games={config.games}: no game of these task types in {split}; see docs/alfworld.md"
            )
        return found

    @classmethod
    def plan(cls, instance: Instance) -> list[str]:
        """The plan written beside a built game; the planner's for an official one.

        Raises:
            InputError: the planner finds none.
        """
        path = Path(instance["game"])
        if (path.parent / PLAN).exists():
            return list(json.loads((path.parent / PLAN).read_text())["actions"])
        plan = winning_plan(str(path))
        if plan is None:
            raise InputError(f"env.games={path}: the planner finds no plan that wins it; leave the game out")
        return plan

    def _start(self, instance: Instance) -> Observation:
        self._engine.load(instance["game"])
        state = self._engine.reset()
        scene, _, goal = state.feedback.partition(GOAL_MARK)
        self._goal = goal.strip()
        return self._observe(scene.partition("=-")[2].strip() or scene.strip(), state)

    def _act(self, action: str) -> tuple[Observation, bool]:
        state, _, _ = self._engine.step(action)
        return self._observe(state.feedback.strip(), state), bool(state["won"])

    def _observe(self, text: str, state: Any) -> Observation:
        admissible = tuple(action for action in state["admissible_commands"] if action not in HIDDEN_ACTIONS)
        return Observation(text, admissible, self._goal)


def _games(folder: Path) -> Iterator[Instance]:
    """Games whose file says that they can be won, as ALFWorld collects them; movable and sliced ones are left out."""
    for path in sorted(folder.rglob(GAME)):
        name = str(path.parent.relative_to(folder))
        trajectory = path.parent / TRAJECTORY
        if "movable" in name or "Sliced" in name or not trajectory.exists():
            continue
        built = (path.parent / PLAN).exists()
        if not built and not json.loads(path.read_text())["solvable"]:
            continue
        yield {
            "id": f"{folder.name}/{name}",
            "environment": "alfworld",
            "split": folder.name,
            "task_type": json.loads(trajectory.read_text())["task_type"],
            "game": str(path),
            "built": built,
        }
