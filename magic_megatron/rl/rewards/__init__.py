"""The unified reward of Eq. 3: one file a task, found by its name; see ``base`` for what a file holds.

settings = open_settings(config)              # a RewardConfig of recipes/rl/reward
gold = check_ground_truth(task, ground_truth)  # when rows are loaded
reward = score(task, response, gold, settings)  # never raises, whatever the response
"""

from __future__ import annotations

import importlib
import pkgutil

from magic_megatron.rl.rewards.base import (
    PARTS,
    REWARDS,
    Parts,
    Reward,
    RewardSettings,
    check_ground_truth,
    known_task,
    open_settings,
    register,
    score,
)

__all__ = [
    "PARTS",
    "REWARDS",
    "Parts",
    "Reward",
    "RewardSettings",
    "check_ground_truth",
    "known_task",
    "open_settings",
    "register",
    "score",
]

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "verl_reward":  # which imports this package
        importlib.import_module(f"{__name__}.{_module.name}")
