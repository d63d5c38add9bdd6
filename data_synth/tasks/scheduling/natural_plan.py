"""NaturalPlan's dataset fields and its prompt style, with five solved examples of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data_synth.tasks.scheduling.language import PHRASES, Statement, Text

NUM_EXAMPLES = 5


def short_prompt(text: Text, language: str) -> str:
    """The statement alone."""
    return f"{text.task}\n{PHRASES[language].solution}"


def prompt_without_examples(text: Text, language: str) -> str:
    """Preamble, how to answer, the task."""
    phrases = PHRASES[language]
    return f"{text.preamble}\n{text.answer_form}\n\n{phrases.task}{text.task}\n{phrases.solution}"


def prompt_with_examples(text: Text, examples: Sequence[Text], language: str) -> str:
    """Preamble, solved examples, the task."""
    phrases = PHRASES[language]
    solved = "".join(
        f"{phrases.task}{example.task}\n{phrases.solution} {example.answer}\n\n\n" for example in examples
    )
    return f"{text.preamble} {phrases.examples}\n\n{solved}{phrases.task}{text.task}\n{phrases.solution}"


def official_fields(said: Statement, subtask: str, text: Text, prompts: dict[str, str]) -> dict[str, Any]:
    """The fields of NaturalPlan's JSON; meeting's golden plan is a list of sentences."""
    golden = text.steps if subtask == "meeting" else text.answer
    return {**said.official(), **prompts, "golden_plan": golden}
