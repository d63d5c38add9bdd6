"""``python -m magic_megatron.rl``: reinforcement learning with verl, vLLM and Ray."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from magic_megatron import platform
from magic_megatron.config.rl import RlConfig
from recipes.command import run, typed

# What a user says in a word is a group of its own under rl/, since verl has groups of these names too.
GROUPS = {"algorithm": "rl/algorithm", "engine": "rl/engine", "env": "rl/env", "schedule": "rl/schedule"}


def main(config: DictConfig) -> None:
    from magic_megatron.rl.run import run_rl

    run_rl(typed(RlConfig, config))


def rewrite(arguments: list[str]) -> list[str]:
    """``algorithm=xxpo`` as Hydra wants it, ``rl/algorithm=xxpo``."""

    def one(argument: str) -> str:
        key, equals, value = argument.partition("=")
        return f"{GROUPS[key]}{equals}{value}" if key in GROUPS and equals else argument

    return [one(argument) for argument in arguments]


if __name__ == "__main__":
    sys.argv[1:] = rewrite(sys.argv[1:])
    run("rl", main, defaults={"platform": platform.detect()})
