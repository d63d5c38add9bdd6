"""JSON as its standard has it, for what models write: Python's reader takes more."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str) -> Any:
    """The value that ``text`` is.

    Raises:
        ValueError: it is no JSON, has NaN or an infinity, or an object with a key twice.
        RecursionError: it is nested too deep.
    """
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} isn't JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
