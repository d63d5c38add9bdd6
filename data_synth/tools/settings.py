"""The settings of ``tools=…``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ToolsSettings:
    """``recipes/tools``."""

    path: Path | None
