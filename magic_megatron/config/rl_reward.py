"""What the unified reward of Eq. 3 weighs and from where on it calls texts alike. No default is here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Literal

from recipes.command import InputError


@dataclass(frozen=True)
class RewardWeights:
    """λ of Eq. 3. A task's reward has the term ``format`` and one of the others."""

    format: float
    plan: float
    tool: float
    schedule: float
    flow: float


@dataclass(frozen=True)
class RewardThresholds:
    """Cosines: ``step`` and ``reply`` must be reached; nodes are matched where theirs is above ``node``."""

    step: float
    reply: float
    node: float


@dataclass(frozen=True)
class FlowConfig:
    """The flow term is ``chain``·(chain F1) + ``graph``·(graph F1), in WorfBench's ``mode``."""

    chain: float
    graph: float
    mode: Literal["fixed", "official"]
    max_nodes: int


@dataclass(frozen=True)
class EmbeddingConfig:
    """The model of all cosines, and what a process keeps of its vectors.

    Attributes:
        model: ``minilm``, or a folder of a sentence-transformers model.
        device: as torch names it.
        cache_size: vectors kept, of the texts used last.
        max_characters: a longer text isn't embedded and is like no other.
    """

    model: str
    device: str
    cache_size: int
    max_characters: int


@dataclass(frozen=True)
class RewardConfig:
    """One entry of ``recipes/rl/reward``."""

    name: str
    weights: RewardWeights
    thresholds: RewardThresholds
    flow: FlowConfig
    scheduling_format: Literal["tagged", "natural_plan"]
    embedding: EmbeddingConfig

    def __post_init__(self) -> None:
        for field in fields(self.weights):
            value = getattr(self.weights, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"reward.weights.{field.name}={value}: must not be negative; try 1.0")
        for field in fields(self.thresholds):
            value = getattr(self.thresholds, field.name)
            if not 0 <= value <= 1:
                raise InputError(f"reward.thresholds.{field.name}={value}: a cosine; give one from 0 to 1")
        shares = (self.flow.chain, self.flow.graph)
        if min(shares) < 0 or not math.isclose(sum(shares), 1):
            raise InputError(
                f"reward.flow.chain={shares[0]}: it and flow.graph={shares[1]} must sum to 1; try 0.5 and 0.5"
            )
        for key, value in {
            "flow.max_nodes": self.flow.max_nodes,
            "embedding.cache_size": self.embedding.cache_size,
            "embedding.max_characters": self.embedding.max_characters,
        }.items():
            if value < 1:
                raise InputError(f"reward.{key}={value}: must be 1 or more")
        if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", self.embedding.device):
            raise InputError(f"reward.embedding.device={self.embedding.device}: give cpu, cuda or cuda:N")
