"""Dependencies between the steps of a plan that its source gives as a sequence: role ``workflow_edges``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted

ROLE = "workflow_edges"
EDGES_SCHEMA = {
    "type": "object",
    "properties": {
        "edges": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        }
    },
    "required": ["edges"],
    "additionalProperties": False,
}
_REFERENCE = re.compile(r"\b(?:step|subgoal|result|R)s? ?([0-9]{1,3})|第([0-9]{1,3})步", re.IGNORECASE)


@scripted(ROLE)
def read_references(variables: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    """A step needs those that it names, and the one before it if it names none."""
    edges: list[list[int]] = []
    for number, text in enumerate(variables["steps"], 1):
        named = {int(a or b) for a, b in _REFERENCE.findall(text)}
        sources = sorted(n for n in named if n < number) or ([number - 1] if number > 1 else [])
        edges += [[source, number] for source in sources]
    return {"edges": edges}
