"""The environments by name, each imported when it is asked for: ALFWorld's engine takes two seconds."""

from __future__ import annotations

import importlib
from pathlib import Path

import recipes
from magic_megatron.rl.envs.base import ENVIRONMENTS, Environment
from recipes.command import InputError


def environment(name: str) -> type[Environment]:
    """The class registered as ``name``, from this folder's module of that name.

    One that lies elsewhere is named ``package.module:name``.

    Raises:
        InputError: there is none.
    """
    module, _, registered = name.rpartition(":")
    module = module or f"{__package__}.{name}"
    if registered not in ENVIRONMENTS:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
    if registered not in ENVIRONMENTS:
        known = sorted(path.stem for path in (Path(recipes.__path__[0]) / "rl" / "env").glob("*.yaml"))
        raise InputError(
            f"env.name={name}: no such environment; choose one of {', '.join(known)}, or package.module:name"
        )
    return ENVIRONMENTS[registered]
