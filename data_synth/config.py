"""The settings that every task shares, from ``recipes/synth.yaml``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_synth.filters.settings import FilterSettings
from data_synth.llm.settings import MACHINE_LLM_KEYS, LlmSettings
from data_synth.output_folder import input_digest
from data_synth.tools.embedding import model_digest
from data_synth.tools.settings import ToolsSettings
from recipes.command import InputError

MACHINE_KEYS = frozenset(
    {
        *("output_dir", "num_workers", "engine", "ray_address", "tools.embedding_cache"),
        *(f"llm.{key}" for key in MACHINE_LLM_KEYS),
    }
)
"""Keys that say where and how fast, and leave every byte of the output as it is."""


@dataclass(frozen=True)
class Settings:
    """A run; ``recipes/synth.yaml`` explains the keys. Tasks add theirs."""

    num_samples: int
    seed: int
    output_dir: Path
    split: Literal["train", "validation", "test", "all"]
    test_share: float
    validation_share: float
    language: Literal["en", "zh", "both"]
    num_workers: int
    engine: Literal["local", "ray"]
    ray_address: str | None
    max_redraws: int
    max_attempts: int
    llm: LlmSettings
    tools: ToolsSettings
    filters: FilterSettings

    @property
    def languages(self) -> tuple[str, ...]:
        """In the order in which rows take turns."""
        return ("en", "zh") if self.language == "both" else (self.language,)

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        for key, lowest in (("num_samples", 1), ("num_workers", 1), ("max_redraws", 0), ("max_attempts", 1)):
            if getattr(self, key) < lowest:
                raise InputError(f"{key}={getattr(self, key)}: must be at least {lowest}; try {key}={lowest}")
        for key in ("test_share", "validation_share"):
            check_share(key, getattr(self, key))
        if self.test_share + self.validation_share > 1:
            raise InputError(
                f"validation_share={self.validation_share}: together with test_share={self.test_share} more than"
                " 1; lower one"
            )
        shares = {"test": self.test_share, "validation": self.validation_share}
        shares |= {"train": 1 - sum(shares.values()), "all": 1.0}
        if shares[self.split] == 0:
            key = "test_share" if self.split == "train" else f"{self.split}_share"
            raise InputError(f"{key}={getattr(self, key)}: leaves nothing to split={self.split}; try 0.1")

    def recorded(self) -> dict[str, Any]:
        """What decides the bytes of the output, as flat JSON: dotted key to value. Files enter by their SHA-256.

        Raises:
            InputError: a file or a model that a key names can't be read.
        """
        flat: dict[str, Any] = {}
        for key, value in dataclasses.asdict(self).items():
            _flatten(key, value, flat)
        if self.tools.path is not None:
            flat["tools.sha256"] = input_digest("tools.path", self.tools.path)
        if self.tools.embedding is not None:
            flat["tools.embedding_sha256"] = model_digest(self.tools.embedding, "tools.embedding")
        return {key: value for key, value in flat.items() if key not in MACHINE_KEYS}


def check_share(key: str, value: float) -> None:
    """Raise InputError for what is no share."""
    if not 0 <= value <= 1:
        raise InputError(f"{key}={value}: a share; use a value from 0 to 1")


def _flatten(key: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(f"{key}.{name}", inner, into)
    elif isinstance(value, Path):
        into[key] = str(value)
    else:
        into[key] = list(value) if isinstance(value, tuple) else value
