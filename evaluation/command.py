"""Start evaluation's commands, whose keys ``model`` and ``data`` share their names with groups of recipes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from omegaconf import DictConfig

from recipes.command import run

SHORT = {"model": "endpoint.model", "data": "gold.data"}


def start(recipe: str, main: Callable[[DictConfig], None]) -> NoReturn:
    """``recipes.command.run`` after ``model=`` and ``data=`` are written as the keys they are short for.

    Hydra (1.3) takes an override for the choice of a config file wherever a group of that name exists in
    ``recipes/``, also in a recipe that doesn't use the group.
    """
    for position, argument in enumerate(sys.argv):
        key, is_override, value = argument.partition("=")
        if is_override and key in SHORT:
            sys.argv[position] = f"{SHORT[key]}={value}"
    run(recipe, main)
