"""What a benchmark ends with: a line of JSON, a list of such entries."""

from __future__ import annotations

from typing import Any


def entry(
    name: str, ratio: float, target: float, better: str, ours: float, baseline: float, unit: str
) -> dict[str, Any]:
    """A measured figure; ``ratio`` is what ``target`` is held against, ``better`` which way."""
    return {
        "name": name,
        "ratio": round(ratio, 4),
        "target": target,
        "better": better,
        "ours": round(ours, 4),
        "baseline": round(baseline, 4),
        "unit": unit,
    }
