"""``python -m magic_megatron.rl.envs.demonstrate env=rl/env/…``: the experts' episodes as data rows, one per turn.

Prompts are those that the policy will see in training; answers name the goal and the next step. The plans of ALFWorld
know where everything lies, so that no search is shown.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tqdm import tqdm

from data_synth.output_folder import staged
from magic_megatron.config.rl_env import EnvConfig, check_env
from magic_megatron.rl.arguments import full_names
from magic_megatron.rl.envs.base import Environment, Instance, Turn
from magic_megatron.rl.envs.registry import environment
from recipes.command import InputError, run, typed

DATA = "data.jsonl"


@dataclass(frozen=True)
class DemonstrateConfig:
    """``recipes/demonstrate.yaml``, composed."""

    env: EnvConfig
    num_episodes: int
    split: str
    seed: int
    output_dir: str


def main(config: DictConfig) -> None:
    """Write ``output_dir/data.jsonl``."""
    settings = typed(DemonstrateConfig, config)
    check_env(settings.env)
    if settings.num_episodes < 1:
        raise InputError(f"num_episodes={settings.num_episodes}: must be at least 1; try num_episodes=100")
    kind = environment(settings.env.name)
    instances = kind.instances(settings.env, settings.split)
    if len(instances) < settings.num_episodes:
        raise InputError(
            f"num_episodes={settings.num_episodes}: {settings.split} has {len(instances)} games;"
            f" try num_episodes={len(instances)}"
        )
    random.Random(settings.seed).shuffle(instances)
    output_dir = Path(settings.output_dir)

    def publish(folder: Path) -> None:
        (folder / DATA).replace(output_dir / DATA)

    num_rows = 0
    with (
        staged(output_dir, ".lock", ".new", publish) as folder,
        (folder / DATA).open("w", encoding="utf-8") as file,
    ):
        player = kind(settings.env)
        for instance in tqdm(instances[: settings.num_episodes], "episodes"):
            for row in rows(player, instance):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                num_rows += 1
    print(f"{num_rows} rows of {settings.num_episodes} episodes in {output_dir / DATA}")


def rows(player: Environment, instance: Instance) -> Iterator[dict[str, Any]]:
    """An episode of the expert as data rows, in the order of its turns.

    Raises:
        InputError: its plan doesn't win under the rules of ``env``.
    """
    kind, config = type(player), player.config
    observation = player.reset(instance)
    history: list[Turn] = []
    done = won = False
    for action in kind.plan(instance):
        if done:
            break
        answer = f"<think>{kind.thought(observation, action)}</think><action>{action}</action>"
        prompt = kind.messages(observation, history, config.history_length)
        yield {
            "id": f"{instance['id']}/{len(history)}",
            "task": kind.name,
            "subtask": str(instance.get("task_type", instance.get("split", kind.name))),
            "messages": [*prompt, {"role": "assistant", "content": answer}],
            "tools": [],
            "gold": {"action": action},
            "meta": {
                "generator": "magic_megatron.rl.envs.demonstrate",
                "operators": [],
                "certificate": {"won_by_plan": True},
                "instance": instance,
                "turn": len(history),
            },
        }
        history.append(Turn(observation.text, action))
        transition = player.step(action)
        observation, done, won = transition.observation, transition.done, transition.won
    if not won:
        raise InputError(
            f"env.max_steps={config.max_steps}: the plan of {instance['id']} doesn't win; allow more steps"
            " or leave the game out"
        )


if __name__ == "__main__":
    sys.argv[1:] = full_names(sys.argv[1:])
    run("demonstrate", main)
