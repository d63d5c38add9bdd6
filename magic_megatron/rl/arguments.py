"""Short names for recipe groups on the command line.

verl has groups of the same names, so ours live under ``rl/`` and are placed by a package: ``algorithm=xxpo`` is
``rl/algorithm@algorithm=xxpo`` to Hydra.
"""

from __future__ import annotations

GROUPS = {name: f"rl/{name}@{name}" for name in ("algorithm", "engine", "env", "reward", "schedule")} | {
    f"engine.{name}": f"{name}@engine.{name}" for name in ("parallel", "moe")
}


def full_names(arguments: list[str]) -> list[str]:
    """``arguments`` as Hydra wants them."""

    def full_name(argument: str) -> str:
        key, equals, value = argument.partition("=")
        return f"{GROUPS[key]}={value}" if equals and key in GROUPS else argument

    return [full_name(argument) for argument in arguments]
