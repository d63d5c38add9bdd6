"""The paper's stages (section 3.3) as the interface of the three subtasks.

1. ``construct``: the problem's entities from the database.
2. ``fix_goal``: optionally, a solution first.
3. ``constrain``: constraints from the parameters, derived from the goal where there is one.
4. ``contradiction`` and ``solve``: verification; anything but exactly one solution is filtered out.
5. Integration into language is ``language.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Solved:
    """What an exact enumerator proved.

    Attributes:
        num_solutions: solutions, or optima where there is an objective; never counted beyond 2.
        objective: value of the objective by name, empty where any solution will do.
        solver: which enumerator.
        nodes: search nodes, states or candidates it visited.
        plan: the solution in the subtask's own terms; None unless there is exactly one.
    """

    num_solutions: int
    objective: dict[str, int]
    solver: str
    nodes: int
    plan: Any


class Instance(Protocol):
    """A puzzle of one subtask: frozen, numbers only; names are indices into the entity database."""

    @property
    def size(self) -> int:
        """People, friends or cities."""

    def contradiction(self) -> str | None:
        """A contradiction that shows without solving, in words; None if there is none."""

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the name-free structure."""

    def solve(self) -> Solved:
        """Prove how many solutions there are."""
