"""Stage 5, integration: a puzzle and its solution as text.

A ``Statement`` is the same in every language and style; which phrasing is used is drawn from the row's own
random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from data_synth.tasks.scheduling import calendar, calendar_text, meeting, meeting_text, trip, trip_text
from data_synth.tasks.scheduling.phrases import Phrases
from data_synth.tasks.scheduling.phrases_en import ENGLISH
from data_synth.tasks.scheduling.phrases_zh import CHINESE
from data_synth.tasks.scheduling.puzzle import Solved

PHRASES: dict[str, Phrases] = {"en": ENGLISH, "zh": CHINESE}


@dataclass(frozen=True, slots=True)
class Text:
    """A puzzle in words.

    Attributes:
        task: the statement, without instructions.
        preamble: what comes before tasks and examples.
        answer_form: how to answer, for prompts without examples.
        answer: the canonical solution.
        steps: the solution's sentences or lines.
        derivation: a short way to the solution, empty unless asked for.
    """

    task: str
    preamble: str
    answer_form: str
    answer: str
    steps: list[str]
    derivation: str


class Statement(Protocol):
    """Says a puzzle of one subtask in one language; ``short`` for mini's style."""

    def task(self, rng: Random) -> str:
        """The puzzle itself."""

    def steps(self) -> list[str]:
        """The solution, a sentence or line each."""

    def derivation(self) -> str:
        """A short way to the solution."""

    def gold(self) -> dict[str, Any]:
        """All that a verifier needs, with names."""

    def official(self) -> dict[str, Any]:
        """NaturalPlan's fields of the subtask, without prompts and golden plan."""


def statement(puzzle: Any, solved: Solved, language: str, short: bool) -> Statement:
    """The statement of a solved puzzle."""
    phrases = PHRASES[language]
    if isinstance(puzzle, calendar.Calendar):
        return calendar_text.CalendarStatement(puzzle, solved.plan, phrases, short)
    if isinstance(puzzle, meeting.Meeting):
        return meeting_text.MeetingStatement(puzzle, solved.plan, phrases, short)
    assert isinstance(puzzle, trip.Trip)
    return trip_text.TripStatement(puzzle, solved.plan, phrases, short)


def put_into_words(said: Statement, subtask: str, language: str, rng: Random, derive: bool = False) -> Text:
    """All texts of a row; ``derive`` asks for the derivation."""
    phrases = PHRASES[language]
    forms: Any = getattr(phrases, subtask)
    steps = said.steps()
    separator = "\n" if subtask == "trip" else phrases.sentence_gap
    return Text(
        task=said.task(rng),
        preamble=rng.choice(forms.preambles),
        answer_form=forms.answer_form,
        answer=separator.join(steps),
        steps=steps,
        derivation=said.derivation() if derive else "",
    )
