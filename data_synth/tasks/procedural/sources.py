"""Where tasks with gold plans come from: our questions, and files of Lumos- or WorfBench-style rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Protocol

from data_synth.llm.model import AnswerError, ask
from data_synth.tasks.procedural.dag import close
from data_synth.tasks.procedural.knowledge import LANGUAGES, Entity, Knowledge, load_knowledge
from data_synth.tasks.procedural.lumos import is_lumos, parse_lumos
from data_synth.tasks.procedural.question_text import describe
from data_synth.tasks.procedural.questions import Question, draw_question
from data_synth.tasks.procedural.worfbench import RowError, is_worfbench, parse_worfbench
from data_synth.tasks.procedural.workflow import Candidate, GoldPlan, Node, Subtask
from data_synth.tasks.toolbox import Toolbox
from recipes.command import InputError

_NODE = {"type": "string", "minLength": 1, "maxLength": 600, "pattern": r"^\S[^\r\n]*$"}
"""A node is one line."""


class Source(Protocol):
    """Draws gold plans of some kinds in some languages."""

    def offers(self, kind: Subtask, language: str) -> bool:
        """Whether ``draw`` can be asked for this."""

    def pool(self, kind: Subtask, language: str) -> Sequence[Candidate]:
        """Every action or tool that its plans of this kind use."""

    def draw(self, kind: Subtask, language: str, size: int, position: int, stream: str) -> GoldPlan:
        """The plan of the random ``stream``; of ``size`` nodes and with the tool at ``position`` if it can choose.

        Raises:
            AnswerError: this draw came to nothing; another may not.
        """


class Questions:
    """Questions built on a typed schema, put into words by the model."""

    def __init__(self, toolbox: Toolbox) -> None:
        self.toolbox = toolbox

    @cached_property
    def knowledge(self) -> Knowledge:
        """What the questions are about."""
        return load_knowledge()

    def offers(self, kind: Subtask, language: str) -> bool:
        """Question answering in both languages."""
        return kind == "qa"

    def pool(self, kind: Subtask, language: str) -> Sequence[Candidate]:
        """The operations, and actions that no question needs."""
        return self.knowledge.candidates(language) if kind == "qa" else ()

    def draw(self, kind: Subtask, language: str, size: int, position: int, stream: str) -> GoldPlan:
        """A question of ``size`` operations."""
        rng = Random(stream)
        question = draw_question(self.knowledge, size, rng)
        variables = describe(question, self.knowledge, language)
        schema = _question_schema(len(question.operations))
        seed = rng.getrandbits(32)
        said = ask(self.toolbox.model, "workflow_question", schema, seed, language, **variables)
        _check_words(question, said, LANGUAGES.index(language))
        actions = [self.knowledge.actions[op.action]["name"] for op in question.operations]
        nodes = [Node(text, (name,)) for text, name in zip(said["steps"], actions, strict=True)]
        return GoldPlan(
            kind="qa",
            task=said["question"],
            nodes=tuple(nodes),
            edges=close(len(nodes), question.edges()),
            own=(),
            language=language,
            source="questions",
            licence="Apache-2.0",
            structure=question.structure(),
            record={"operations": variables["operations"], "asked": variables["asked"]},
        )


def _question_schema(size: int) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 4000}
    steps = {"type": "array", "items": _NODE, "minItems": size, "maxItems": size, "uniqueItems": True}
    properties = {"question": text, "steps": steps}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _check_words(question: Question, said: dict[str, Any], column: int) -> None:
    """Names stand in the question and in the steps that take them.

    Raises:
        AnswerError: one doesn't.
    """
    for entity in question.entities():
        if entity.names[column] not in said["question"]:
            raise AnswerError("question_without_entity", entity.names[column])
    for operation, text in zip(question.operations, said["steps"], strict=True):
        for source in operation.inputs:
            if isinstance(source, Entity) and source.names[column] not in text:
                raise AnswerError("step_without_entity", source.names[column])


class Imported:
    """Rows of a file in Lumos's or WorfBench's format: JSON lines, or one JSON list."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def plans(self) -> dict[tuple[Subtask, str], list[GoldPlan]]:
        """What could be read, by kind and language.

        Raises:
            InputError: the file can't be read, or has no row that can be used.
        """
        found: dict[tuple[Subtask, str], list[GoldPlan]] = {}
        reasons: Counter[str] = Counter()
        for row in _rows(self.path):
            try:
                plan = _parse(row)
            except RowError as error:
                reasons[str(error)] += 1
                continue
            found.setdefault((plan.kind, plan.language), []).append(plan)
        if not found:
            counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "no rows"
            raise InputError(
                f"procedural.sources={self.path}: no row can be used ({counts}); give another file"
            )
        return found

    def offers(self, kind: Subtask, language: str) -> bool:
        """Whether the file has such rows."""
        return (kind, language) in self.plans

    def pool(self, kind: Subtask, language: str) -> Sequence[Candidate]:
        """What the rows list."""
        found = {c.name: c for plan in self.plans.get((kind, language), ()) for c in plan.own}
        return tuple(found.values())

    def draw(self, kind: Subtask, language: str, size: int, position: int, stream: str) -> GoldPlan:
        """Any of the rows; they have the sizes they have."""
        return Random(stream).choice(self.plans[kind, language])


def _parse(row: Any) -> GoldPlan:
    if not isinstance(row, dict):
        raise RowError("not_an_object")
    for suits, parse in ((is_worfbench, parse_worfbench), (is_lumos, parse_lumos)):
        if suits(row):
            try:
                return parse(row)
            except (AttributeError, KeyError, TypeError):
                raise RowError("broken_row") from None
    raise RowError("unknown_format")


def _rows(path: Path) -> list[Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(
            f"procedural.sources={path}: {reason}; give decomposition, questions or a file"
        ) from None
    try:
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"procedural.sources={path}: not JSON ({error}); give JSON lines or a list"
        ) from None
