"""Built games, and a chat that plays them from a script."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import recipes
from evaluation.benchmarks import Reply

SHARED = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared"))
GAMES = SHARED / "data" / "alfworld_games"
needs_games = pytest.mark.skipif(not GAMES.is_dir(), reason=f"no built games in {GAMES}")


def options(**changes: Any) -> dict[str, Any]:
    """The recipe's, with two processes."""
    recipe: Any = OmegaConf.to_container(
        OmegaConf.load(f"{recipes.__path__[0]}/benchmark/alfworld.yaml"), resolve=True
    )
    return recipe["options"] | {"num_processes": 2} | changes


def plan(sample_id: str) -> list[str]:
    """The winning plan beside a game."""
    return json.loads((GAMES / sample_id / "plan.json").read_text())["actions"]


class Scripted:
    """Says one action after another, in the formats given in turn."""

    seed = 0

    def __init__(self, actions, formats=("<think>Next.</think><action>{}</action>",)):
        self.actions, self.formats = actions, formats
        self.prompts: list[str] = []

    async def ask(self, messages, *, role="agent", tools=None, stop=None):
        (message,) = messages
        number = len(self.prompts)
        self.prompts.append(message["content"])
        return Reply(self.formats[number % len(self.formats)].format(self.actions[number]))
