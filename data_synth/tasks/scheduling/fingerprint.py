"""Hashes of a puzzle's structure without its names.

Two instances that differ in names or in the order of people, friends or cities alone hash alike: by colour
refinement (Weisfeiler and Leman 1968), a node's colour becomes its own and the sorted colours around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Any

from data_synth.tasks.base import text_digest

ROUNDS = 2
MAX_LABEL, MAX_NODES = 4096, 256
"""Bounds under which a pair of edge labels and a colour pack into one integer."""


def structure_hash(
    subtask: str, common: Any, nodes: Sequence[Any], edges: Sequence[Sequence[int]] | None = None
) -> str:
    """SHA-256 (hex) of a structure, the same for every renumbering of its nodes.

    Args:
        subtask: keeps the subtasks apart.
        common: what belongs to no node.
        nodes: a label per node; labels and ``common`` are told apart by their ``repr``.
        edges: ``edges[i][j]`` from 0 to 4095 is the label from node i to node j; None if there are none.
    """
    labels = [repr(label) for label in nodes]
    said: list[Any] = [subtask, common, sorted(labels)]
    if edges is not None:
        assert len(labels) < MAX_NODES
        columns = list(zip(*edges, strict=True))
        pairs = [
            [(there * MAX_LABEL + back) * MAX_NODES for there, back in zip(row, column, strict=True)]
            for row, column in zip(edges, columns, strict=True)
        ]
        colours = _ranks(labels)
        for _ in range(ROUNDS):
            signatures = [
                (own, *sorted(map(add, around, colours))) for own, around in zip(colours, pairs, strict=True)
            ]
            said.append(sorted(signatures))
            colours = _ranks(signatures)
    return text_digest(repr(said))


def _ranks(values: list[Any]) -> list[int]:
    """Each value's place among the distinct ones: the same for every order of the values."""
    places = {value: place for place, value in enumerate(sorted(set(values)))}
    return [places[value] for value in values]
