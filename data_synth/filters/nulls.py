"""Null arguments are noise (section 3.2): a call says nothing of what it doesn't set."""

from __future__ import annotations

from typing import Any


def prune_nulls(value: Any) -> Any:
    """``value`` without the keys that are null, at any depth. A list keeps its nulls: places in it mean something."""
    if isinstance(value, dict):
        return {key: prune_nulls(inner) for key, inner in value.items() if inner is not None}
    return [prune_nulls(inner) for inner in value] if isinstance(value, list) else value


def holds_nulls(value: Any) -> bool:
    """Whether ``prune_nulls`` would change it."""
    if isinstance(value, dict):
        return any(inner is None or holds_nulls(inner) for inner in value.values())
    return isinstance(value, list) and any(holds_nulls(inner) for inner in value)
