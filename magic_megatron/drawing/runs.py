"""Run folders beside one another: names that tell them apart, and what their recipes differ in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recipes.command import InputError


def folder_names(paths: Sequence[str]) -> list[str]:
    """For each folder the shortest end of its path that no other has.

    Raises:
        InputError: a folder is named twice.
    """
    ends = [Path(path).resolve().parts for path in paths]
    if len(set(ends)) < len(ends):
        raise InputError(f"runs={','.join(paths)}: names a folder twice; give each once")
    length = 1
    while len({end[-length:] for end in ends}) < len(ends):
        length += 1
    return ["/".join(end[-length:]) for end in ends]


def differing_keys(recipes: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Of flat recipes: for each key that isn't alike a value a run, ``None`` where a recipe doesn't have it."""
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    values = {key: [recipe.get(key) for recipe in recipes] for key in keys if key != "output_dir"}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``("optim.lr", 1e-05)``, …"""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
