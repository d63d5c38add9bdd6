"""The roles of section 3.2: the reasoning agent, and the agent's words to the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from data_synth.llm.model import TEXT_SCHEMA, AnswerError, Model, ask, object_schema, one_line
from data_synth.tasks.tool_augmented import grammar_replies, grammar_thoughts
from data_synth.tasks.tool_augmented.consistency import contradiction
from data_synth.tasks.tool_augmented.situation import Situation, prompt_view

GRAMMARS = (grammar_thoughts, grammar_replies)
"""Imported for the grammars that they register."""
MARKS = re.compile(r"</?(?:think|action|observation)>|ToolList:", re.IGNORECASE)
"""What a text must not hold, or the answer's format couldn't be read back."""

type Asking = tuple[Model, str, int]
"""Model, language, seed."""


def write_thought(asking: Asking, facts: Situation, history: Sequence[Mapping[str, str]]) -> str:
    """Hindsight reasoning for what the agent is about to do.

    Raises:
        AnswerError: the answer couldn't be used, or speaks of another action.
    """
    thought = _text(asking, "reasoning", "thought", facts, history)
    if problem := contradiction(thought, facts, asking[1]):
        raise AnswerError("inconsistent_reasoning", problem)
    return thought


def write_clarification(asking: Asking, facts: Situation, history: Sequence[Mapping[str, str]]) -> str:
    """The question for the values that are missing.

    Raises:
        AnswerError: the answer couldn't be used, or asks nothing.
    """
    text = _text(asking, "clarify", "reply", facts, history)
    if not re.search(r"[?？]", text):
        raise AnswerError("no_question", text[:200])
    return text


def write_summary(asking: Asking, facts: Situation, history: Sequence[Mapping[str, str]]) -> str:
    """What the turn came to, in words for the user.

    Raises:
        AnswerError: the answer couldn't be used.
    """
    return _text(asking, "summary", "reply", facts, history)


def _text(asking: Asking, role: str, key: str, facts: Situation, history: Sequence[Mapping[str, str]]) -> str:
    model, language, seed = asking
    schema = object_schema({key: TEXT_SCHEMA})
    answer = ask(
        model, role, schema, seed, language, facts=facts, view=prompt_view(facts), history=tuple(history)
    )
    return one_line(answer[key], MARKS)
