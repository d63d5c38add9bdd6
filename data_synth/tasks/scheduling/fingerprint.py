"""Hashes of a puzzle's structure without its names.

Two instances that differ in names or in the order of people, friends or cities alone hash alike: by colour
refinement (Weisfeiler and Leman 1968), a node's colour becomes its own and the sorted colours around it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

ROUNDS = 3


def structure_hash(
    subtask: str, common: Any, nodes: Sequence[Any], edges: Sequence[Sequence[Any]] | None = None
) -> str:
    """SHA-256 (hex) of a structure, the same for every renumbering of its nodes.

    Args:
        subtask: keeps the subtasks apart.
        common: what belongs to no node, as JSON.
        nodes: a label per node, as JSON.
        edges: ``edges[i][j]`` is the label from node i to node j; None if there are none.
    """
    colours = [_digest(label) for label in nodes]
    if edges is not None:
        num = len(nodes)
        for _ in range(min(ROUNDS, num - 1)):
            colours = [
                _digest(
                    [
                        colours[i],
                        sorted(
                            (str(edges[i][j]), str(edges[j][i]), colours[j]) for j in range(num) if j != i
                        ),
                    ]
                )
                for i in range(num)
            ]
    return hashlib.sha256(json.dumps([subtask, common, sorted(colours)]).encode()).hexdigest()


def _digest(label: Any) -> str:
    return hashlib.blake2b(repr(label).encode(), digest_size=12).hexdigest()
