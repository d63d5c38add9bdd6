"""Start evaluation's commands, whose keys ``model`` and ``data`` share their names with groups of recipes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig

from recipes.command import run

SHORT = {"model": "endpoint.model", "data": "gold.data"}


def start(recipe: str, main: Callable[[DictConfig], None], texts: frozenset[str] = frozenset()) -> NoReturn:
    """``recipes.command.run`` after ``model=`` and ``data=`` are written as the keys they are short for.

    Hydra (1.3) takes an override for the choice of a config file wherever a group of that name exists in
    ``recipes/``, also in a recipe that doesn't use the group.

    Args:
        recipe: as for ``run``.
        main: as for ``run``.
        texts: keys whose values are prose, in which Hydra's syntax means nothing.
    """
    for position, argument in enumerate(sys.argv):
        key, is_override, value = argument.partition("=")
        if is_override and key in SHORT:
            sys.argv[position] = f"{SHORT[key]}={value}"
        elif is_override and key in texts:
            sys.argv[position] = f"{key}={quoted(value)}"
    run(recipe, main)


def quoted(text: str) -> str:
    """``text`` so that Hydra reads it as it stands; what is quoted already and ``null`` stay."""
    if _is_quoted_or_null(text):
        return text
    return re.sub(r"(?<!\\)\$\{", r"\\${", QuotedString(text, Quote.double).with_quotes())


def _is_quoted_or_null(text: str) -> bool:
    try:
        given = OverridesParser.create().parse_override(f"key={text}")
    except HydraException:
        return False
    return given.value() is None or (text[:1] in ("'", '"') and not given.is_sweep_override())
