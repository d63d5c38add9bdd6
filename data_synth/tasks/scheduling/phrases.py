"""What a language must say to state a scheduling puzzle and its solution.

Templates are filled with ``str.format``. Where there are several, one is drawn for each row; the short style
uses the first, and the first three of ``busy``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CalendarPhrases:
    """Templates of the calendar puzzles."""

    preambles: tuple[str, ...]
    answer_form: str
    tasks: tuple[str, ...]
    one_day: str
    several_days: str
    schedules: tuple[tuple[str, str], ...]
    busy: tuple[str, ...]
    busy_day: str
    free: tuple[tuple[str, str], ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    all_day: tuple[str, ...]
    earliest: tuple[str, ...]
    closings: tuple[str, ...]
    answer: str
    derived_day: str
    derived_none: str
    derived: str


@dataclass(frozen=True)
class MeetingPhrases:
    """Templates of the meeting puzzles."""

    preambles: tuple[str, ...]
    answer_form: str
    tasks: tuple[str, ...]
    tie_break: str
    distances: tuple[str, ...]
    distance: str
    constraints: str
    arrive: str
    windows: tuple[str, ...]
    minimums: tuple[str, ...]
    closings: tuple[str, ...]
    start: str
    travel: str
    wait: str
    meet: str
    derived: str
    derived_skip: str


@dataclass(frozen=True)
class TripPhrases:
    """Templates of the trip puzzles."""

    preambles: tuple[str, ...]
    answer_form: str
    tasks: tuple[str, ...]
    stays: tuple[str, ...]
    events: tuple[str, ...]
    flights: tuple[str, ...]
    both_ways: str
    one_way: str
    closings: tuple[str, ...]
    header: str
    arrive: str
    fly: str
    visit: str
    derived_event: str
    derived_route: str


@dataclass(frozen=True, eq=False)
class Phrases:
    """A language; compared by identity."""

    code: str
    twelve_hours: bool
    comma: str
    semicolon: str
    full_stop: str
    sentence_gap: str
    conjunction: str
    disjunction: str
    lengths: dict[int, str]
    minutes: str
    until: str
    examples: str
    task: str
    solution: str
    calendar: CalendarPhrases
    meeting: MeetingPhrases
    trip: TripPhrases

    def clock(self, minute: int) -> str:
        """A time of day, such as 14:30."""
        return f"{minute // 60}:{minute % 60:02d}"

    def watch(self, minute: int) -> str:
        """A time of day as the meeting puzzles write it, such as 2:30PM."""
        if not self.twelve_hours:
            return self.clock(minute)
        return f"{(minute // 60 - 1) % 12 + 1}:{minute % 60:02d}{'AM' if minute < 720 else 'PM'}"

    def length(self, minutes: int) -> str:
        """A length of time in words."""
        return self.lengths.get(minutes) or self.minutes.format(minutes=minutes)

    def listed(self, names: Sequence[str]) -> str:
        """All of several names."""
        return self._joined(names, self.conjunction)

    def one_of(self, names: Sequence[str]) -> str:
        """One of several names."""
        return self._joined(names, self.disjunction)

    def _joined(self, names: Sequence[str], last: str) -> str:
        if len(names) == 1:
            return names[0]
        return self.comma.join(names[:-1]) + last + names[-1]
