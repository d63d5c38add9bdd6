"""The settings of ``llm=…``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LlmSettings:
    """``recipes/llm``."""

    name: Literal["scripted"]
