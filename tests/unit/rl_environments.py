"""A tiny environment in one file, which crashes, hangs and fails on request; settings for tests."""

import ctypes
import os
import time
from dataclasses import replace

from omegaconf import OmegaConf

import recipes
from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.rl.envs.base import Environment, Observation, register
from recipes.command import typed

RECIPES = recipes.__path__[0]


def env_config(name: str, **changes: object) -> EnvConfig:
    """The recipe's entry for ``name``, or errand's under that name."""
    known = name if name in ("alfworld", "errand") else "errand"
    config = typed(EnvConfig, OmegaConf.load(f"{RECIPES}/rl/env/{known}.yaml"))
    return replace(config, name=name, **changes)


@register("counter")
class Counter(Environment):
    """Won by counting to the instance's target."""

    introduction = "You count."

    @classmethod
    def instances(cls, config, split):
        return [
            {"id": f"{split}/{target}", "environment": cls.name, "target": target} for target in (1, 2, 3)
        ]

    @classmethod
    def plan(cls, instance):
        return ["count"] * instance["target"]

    def _start(self, instance):
        if instance.get("says") == "broken":
            raise ValueError("no such floor")
        self.count, self.target = 0, instance["target"]
        return self._observe(str(os.getpid()) if instance.get("says") == "pid" else "Nothing is counted.")

    def _act(self, action):
        match action:
            case "crash":
                os._exit(3)
            case "hang":
                time.sleep(1000)
            case "hang holding the GIL":
                ctypes.PyDLL(None).sleep(1000)
            case "raise":
                _ = 1 // 0
        self.count += 1
        return self._observe(f"You are at {self.count}."), self.count == self.target

    def _observe(self, text):
        actions = ("count", "crash", "hang", "hang holding the GIL", "raise")
        return Observation(text, actions, f"count to {self.target}")


@register("unready")
class Unready(Counter):
    """Can't even be made."""

    def __init__(self, config):
        raise FileNotFoundError("the planner's library")
