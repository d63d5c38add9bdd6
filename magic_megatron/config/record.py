"""The recipe of a run, kept with what the run writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

from magic_megatron.config.rl import RlConfig
from magic_megatron.config.sft import SftConfig


def write_recipe(config: SftConfig | RlConfig) -> None:
    """``recipe.yaml`` in the run's folder: every key as it was resolved."""
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "recipe.yaml.partial"
    partial.write_text(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))
    partial.replace(folder / "recipe.yaml")
