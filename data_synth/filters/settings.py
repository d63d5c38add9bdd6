"""The settings of ``filters=…``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FilterSettings:
    """``recipes/filters``."""

    simhash_distance: int | None
    judge: bool
