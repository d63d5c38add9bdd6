"""The scripted model's grammar of the role ``steps``: each step in the imperative, with its values and references."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted
from data_synth.tasks.decomposition.references import condition_words, result_noun
from data_synth.tasks.decomposition.value_wording import Style, say_value
from data_synth.tasks.decomposition.views import ArgumentView, StepView
from data_synth.tasks.decomposition.wording import lowered, phrase, sentence, step_phrase, words_of


@scripted("steps")
def write_steps(variables: Mapping[str, Any], rng: Random) -> dict[str, list[str]]:
    """A sentence per planned step."""
    language = variables["language"]
    style = Style(language, 1 if language == "zh" else 0, 0)
    return {"steps": [step_text(step, style) for step in variables["steps"] if step.number is not None]}


def step_text(step: StepView, style: Style) -> str:
    """One step: its conditions, what it does, with which values."""
    text = step_clause(step, style, with_numbers=True)
    if style.language == "zh":
        conditions = "且".join(
            f"{_origin(c.source_number, 'zh')}{condition_words(c, style)}" for c in step.conditions
        )
        return (f"如果{conditions}，" if conditions else "") + text + "。"
    parts = [f"{condition_words(c, style)} {_origin(c.source_number, 'en')}" for c in step.conditions]
    return (f"If {' and '.join(parts)}, {lowered(text)}" if parts else sentence(text)) + "."


def _origin(number: int | None, language: str) -> str:
    if language == "zh":
        return f"第{number}步的结果显示" if number else "之前的结果显示"
    return f"according to Step {number}" if number else "according to the earlier result"


def step_clause(step: StepView, style: Style, with_numbers: bool) -> str:
    """What a step does, without its conditions."""
    language = style.language

    def say(argument: ArgumentView) -> str | None:
        if argument.origin == "masked":
            return None
        if argument.origin == "step":
            return _reference(step, argument, language, with_numbers)
        words = words_of(step.tool, argument.name, language)
        return say_value(argument.value, argument.schema, words, style)

    return phrase(step_phrase(step.tool, language), step, say, language)


def _reference(step: StepView, argument: ArgumentView, language: str, with_numbers: bool) -> str:
    assert argument.source_tool is not None
    found = result_noun(step, argument, argument.source_tool, language)
    number = argument.source_number
    if language == "zh":
        origin = f"第{number}步得到的" if number else "之前得到的"
        return origin + found if with_numbers else found
    found = found.replace("that ", "the ", 1)
    return f"{found} from {f'Step {number}' if number else 'earlier'}" if with_numbers else found
