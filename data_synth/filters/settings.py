"""The settings of ``filters=…``."""

from __future__ import annotations

from dataclasses import dataclass

from data_synth.filters.simhash import NUM_BITS
from recipes.command import InputError


@dataclass(frozen=True)
class FilterSettings:
    """``recipes/filters``."""

    simhash_distance: int | None
    judge: bool

    def __post_init__(self) -> None:
        """Raise InputError for a distance that no two hashes have."""
        if self.simhash_distance is not None and not 0 <= self.simhash_distance < NUM_BITS:
            raise InputError(
                f"filters.simhash_distance={self.simhash_distance}: use 0 to {NUM_BITS - 1} bits, or null"
            )
