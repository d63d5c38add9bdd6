"""What a source gives (a task with its gold plan), and the workflow that is made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Subtask = Literal["qa", "tools"]
SUBTASKS: tuple[Subtask, ...] = ("qa", "tools")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
"""Tells the language of a task that comes without."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An action or a tool that a planner may choose.

    Attributes:
        name: unique among a row's candidates.
        description: in words; empty where the name says everything.
        parameters: JSON schema of type ``object``; empty where the source has none.
        domain: what it is about; distractors of the same domain are near in meaning.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A subtask of a workflow, and the candidates that carry it out."""

    text: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoldPlan:
    """A task and its gold plan, as parsed from a source.

    Attributes:
        kind: ``qa`` plans choose from actions, ``tools`` plans from tools.
        task: the description that the planner reads.
        nodes: the gold sequence.
        edges: pairs of node numbers (from 1), ``START`` and ``END`` as strings; None where the source has the
            sequence alone.
        own: candidates that the source lists with this task.
        structure: what the row's fingerprint is taken from; names no entity where the source knows them.
        record: more of the source that a checker can use, as JSON.
        operators: provenance of a plan that we composed.
    """

    kind: Subtask
    task: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...] | None
    own: tuple[Candidate, ...]
    language: str
    source: str
    licence: str
    structure: str
    record: Mapping[str, Any] = field(default_factory=dict)
    operators: tuple[str, ...] = ()

    def actions(self) -> tuple[str, ...]:
        """Names of the candidates that the plan uses, each once, in its order."""
        return tuple(dict.fromkeys(name for node in self.nodes for name in node.actions))


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph over numbered nodes, between ``START`` and ``END``, and the candidates offered for it."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    candidates: tuple[Candidate, ...]
