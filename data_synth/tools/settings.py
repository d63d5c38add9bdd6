"""The settings of ``tools=…`` and of the graphs between tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_synth.package_data import read_yaml
from recipes.command import InputError


@dataclass(frozen=True)
class GraphSettings:
    """``recipes/tools/graph``, which explains the keys."""

    producers_per_parameter: int
    links_per_tool: int
    shared_per_tool: int
    min_score: float
    min_shared: float
    name_similarity: float
    embedding_similarity: float

    @classmethod
    def default(cls) -> GraphSettings:
        """The recipe's values, for callers without a recipe."""
        return cls(**read_yaml("recipes", "tools", "graph", "default.yaml"))

    def check(self, prefix: str) -> None:
        """Raise InputError for what no graph can be built with; ``prefix`` is the group's: ``tools.graph.``."""
        for key in ("producers_per_parameter", "links_per_tool", "shared_per_tool"):
            if getattr(self, key) < 1:
                raise InputError(f"{prefix}{key}={getattr(self, key)}: must be at least 1; leave it out")
        for key in ("min_score", "min_shared", "name_similarity", "embedding_similarity"):
            if not 0 < getattr(self, key) <= 1:
                raise InputError(
                    f"{prefix}{key}={getattr(self, key)}: must be above 0 and at most 1; try 0.5"
                )


@dataclass(frozen=True)
class ToolsSettings:
    """``recipes/tools``, which explains the keys."""

    path: Path | None
    embedding: str | None
    embedding_cache: Path | None
    graph: GraphSettings
