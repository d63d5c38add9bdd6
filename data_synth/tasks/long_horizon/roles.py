"""The roles of section 3.5 beside those of tool-augmented planning: the setting, the agent's recoveries, the user's
corrections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.filters.grounding import mentions
from data_synth.llm.model import TEXT_SCHEMA, AnswerError, Model, ask, object_schema, one_line
from data_synth.tasks.decomposition.wording import label, step_phrase
from data_synth.tasks.long_horizon import grammar
from data_synth.tasks.long_horizon.construct import LongTask
from data_synth.tasks.tool_augmented.consistency import names
from data_synth.tools.tool import Tool

GRAMMARS = (grammar,)
"""Imported for the grammars that it registers."""
MARKS = re.compile(r"</?(?:think|tool_call|observation)>", re.IGNORECASE)
"""What a text must not hold, or the answer's format couldn't be read back."""
TERMINATION = ("all requests are fulfilled", "more than {share:.0%} of the candidate tools have been used")

type Asking = tuple[Model, str, int]
"""Model, language, seed."""
type History = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Setup:
    """The initial setting of a task: the user's problem, rules, first words."""

    problem: str
    rules: tuple[str, ...]
    request: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed, and the value that is to blame, if one is."""

    tool: Tool
    error: str
    parameter: str = ""
    value: Any = None


def write_setup(asking: Asking, task: LongTask, tools: Mapping[str, Tool], tool_share: float) -> Setup:
    """What the dialogue begins with.

    Raises:
        AnswerError: the answer couldn't be used, or the first request says a value.
    """
    model, language, seed = asking
    schema = object_schema(
        {
            "problem": TEXT_SCHEMA,
            "rules": {"type": "array", "items": TEXT_SCHEMA, "minItems": 2, "maxItems": 4},
            "request": TEXT_SCHEMA,
        }
    )
    requests = []
    for turn in task.plan.turns:
        used = [tools[task.plan.step(number).tool] for number in sorted(turn.steps)]
        domains = list(dict.fromkeys(tool.domain for tool in used if tool.domain))
        requests.append({"domains": domains, "goals": [step_phrase(tool, language) for tool in used]})
    termination = [text.format(share=tool_share) for text in TERMINATION]
    known = task.plan.slots()
    answer = ask(
        model, "task_setup", schema, seed, language, requests=requests, known=known, termination=termination
    )
    texts = [one_line(text, MARKS) for text in (answer["problem"], *answer["rules"], answer["request"])]
    for slot, value in known.items():
        if isinstance(value, str) and _definite(value) and mentions(texts[-1], value, language):
            raise AnswerError("request_not_vague", f"{slot}={value}")
    return Setup(texts[0], tuple(texts[1:-1]), texts[-1])


def _definite(value: str) -> bool:
    """Whether a value is more than a word that may stand in any request, such as ``music``."""
    return len(value) > 3 and (value.lower() != value or not value.isalpha() or not value.isascii())


Kind = Literal["opening", "retry", "ask_other", "give_up", "farewell"]


def write_response(
    asking: Asking, kind: Kind, history: History, failure: Failure | None = None
) -> tuple[str, str]:
    """Thought and words of the agent where no golden call follows from the plan; no words where it calls again.

    Raises:
        AnswerError: the answer couldn't be used, the thought doesn't name the tool, or a question asks nothing.
    """
    model, language, seed = asking
    schema = object_schema({"thought": TEXT_SCHEMA, "content": {"type": "string", "maxLength": 4000}})
    shared: dict[str, Any] = {"tool": "", "error": "", "label": "", "value": None}
    if failure is not None:
        shared["tool"], shared["error"] = failure.tool.name, failure.error
        if failure.parameter:
            shared["label"] = label(failure.tool, failure.parameter, language)
            shared["value"] = failure.value
    answer = ask(model, "respond", schema, seed, language, kind=kind, history=tuple(history), **shared)
    thought, content = one_line(answer["thought"], MARKS), answer["content"].strip()
    if failure is not None and not names(thought, failure.tool.name):
        raise AnswerError("inconsistent_reasoning", f"{failure.tool.name} isn't named")
    if kind == "retry":
        return thought, ""
    if kind in ("opening", "ask_other") and not re.search("[?？]", content):
        raise AnswerError("no_question", content[:200])
    return thought, one_line(content, MARKS)


def write_correction(asking: Asking, history: History, tool: Tool, parameter: str, value: Any) -> str:
    """What the user says when a value didn't work.

    Raises:
        AnswerError: the answer couldn't be used, or doesn't say the value.
    """
    model, language, seed = asking
    named = label(tool, parameter, language)
    schema = tool.properties.get(parameter, {})
    answer = ask(
        model,
        "follow_up",
        object_schema({"message": TEXT_SCHEMA}),
        seed,
        language,
        kind="alternative",
        history=tuple(history),
        label=named,
        value=value,
        value_schema=schema,
    )
    text = one_line(answer["message"], MARKS)
    if not mentions(text, value, language):
        raise AnswerError("value_not_said", f"{parameter}={value}")
    return text


def write_farewell(asking: Asking, history: History) -> str:
    """The user's last words.

    Raises:
        AnswerError: the answer couldn't be used.
    """
    model, language, seed = asking
    schema = object_schema({"message": TEXT_SCHEMA})
    shared: dict[str, Any] = {"label": "", "value": None, "value_schema": {}}
    answer = ask(
        model, "follow_up", schema, seed, language, kind="farewell", history=tuple(history), **shared
    )
    return one_line(answer["message"], MARKS)
