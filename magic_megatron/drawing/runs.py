"""Run folders beside one another: names that tell them apart, and what their recipes differ in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recipes.command import InputError, make_folder


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


def report_file(runs: Sequence[str], output: str | None) -> Path:
    """Where the page about ``runs`` goes: ``output``, or ``report.html`` in the folder of the only one.

    Raises:
        InputError: several runs and no file, or a folder in its place.
    """
    if output is not None:
        return file_to_write("output", output, "report.html")
    if len(runs) > 1:
        raise InputError(
            f"output=null: {len(runs)} runs have no folder in common; give a file, such as"
            " output=runs/compared.html"
        )
    return Path(runs[0]) / "report.html"


def file_to_write(key: str, given: str, example: str) -> Path:
    """``given`` of the recipe's ``key``, in a folder that is there; ``example`` is a file's name for people.

    Raises:
        InputError: a folder, or no folder can be made for it.
    """
    path = Path(given)
    make_folder(key, path.parent)
    if path.is_dir():
        raise InputError(f"{key}={path}: is a folder; give a file, such as {path / example}")
    return path


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
