"""The difficulty parameters of the scheduling puzzles, and which of them are impossible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from data_synth.tasks.scheduling.entities import CITIES, PEOPLE, TOWNS, WEEKDAYS
from recipes.command import InputError

DAY_STARTS, DAY_ENDS = 9 * 60, 17 * 60
"""Work hours of the calendar puzzles, in minutes after midnight."""
LAST_WINDOW_ENDS = 23 * 60
"""When the last friend goes home."""


@dataclass(frozen=True)
class CalendarLevel:
    """``recipes/difficulty/mini.yaml`` explains the keys; ranges are (lowest, highest)."""

    num_people: tuple[int, int]
    num_days: tuple[int, int]
    slot_minutes: int
    meeting_minutes: tuple[int, ...]
    uniform_patterns: bool
    meetings_per_day: tuple[int, int]
    num_preferences: tuple[int, int]
    earliest_share: float
    max_repairs: int

    def check(self) -> None:
        """Raise InputError for parameters no puzzle can have."""
        hours = DAY_ENDS - DAY_STARTS
        _check_range("calendar.num_people", self.num_people, 1, len(PEOPLE))
        _check_range("calendar.num_days", self.num_days, 1, len(WEEKDAYS))
        if self.slot_minutes not in (30, 60):
            raise InputError(
                f"difficulty.calendar.slot_minutes={self.slot_minutes}: not a grid of ours; use 30 or 60"
            )
        slots = hours // self.slot_minutes
        key = f"difficulty.calendar.meeting_minutes={list(self.meeting_minutes)}"
        if not self.meeting_minutes:
            raise InputError(f"{key}: empty; give at least one length, such as [30]")
        for minutes in self.meeting_minutes:
            if minutes <= 0 or minutes % self.slot_minutes:
                raise InputError(f"{key}: not in slots; use multiples of slot_minutes={self.slot_minutes}")
            if minutes > hours:
                raise InputError(f"{key}: the work day has {hours} minutes; use at most that")
        if self.uniform_patterns and set(self.meeting_minutes) != {self.slot_minutes}:
            raise InputError(f"{key}: uniform_patterns=true needs meetings of one slot; use one slot_minutes")
        free = slots - max(self.meeting_minutes) // self.slot_minutes
        _check_range("calendar.meetings_per_day", self.meetings_per_day, 0, free)
        _check_range("calendar.num_preferences", self.num_preferences, 0, self.num_people[1])
        _check_share("calendar.earliest_share", self.earliest_share)
        _check_number("calendar.max_repairs", self.max_repairs, 0, 10_000)


@dataclass(frozen=True)
class MeetingLevel:
    """``recipes/difficulty/mini.yaml`` explains the keys; times in minutes after midnight."""

    num_friends: tuple[int, int]
    meeting_minutes: tuple[int, int]
    window_minutes: tuple[int, int]
    window_opens: tuple[int, int]
    step_minutes: int
    travel_step_minutes: int
    symmetric_travel: bool
    meet_all: bool
    unique_order: bool

    def check(self) -> None:
        """Raise InputError for parameters no puzzle can have."""
        places = min(len(town.places) for town in TOWNS)
        _check_range("meeting.num_friends", self.num_friends, 1, places - 1)
        _check_number("meeting.step_minutes", self.step_minutes, 1, 60)
        _check_number("meeting.travel_step_minutes", self.travel_step_minutes, 1, 60)
        _check_range("meeting.window_opens", self.window_opens, 0, LAST_WINDOW_ENDS)
        _check_range("meeting.meeting_minutes", self.meeting_minutes, self.step_minutes, 24 * 60)
        _check_range("meeting.window_minutes", self.window_minutes, self.step_minutes, 24 * 60)
        shortest, longest = self.meeting_minutes[0], self.window_minutes[1]
        if shortest > longest:
            raise InputError(
                f"difficulty.meeting.meeting_minutes={list(self.meeting_minutes)}: no window is longer than "
                f"{longest} minutes; raise difficulty.meeting.window_minutes"
            )
        hours = LAST_WINDOW_ENDS - DAY_STARTS
        if self.num_friends[1] * shortest > hours:
            raise InputError(
                f"difficulty.meeting.num_friends={list(self.num_friends)}: {self.num_friends[1]} meetings of "
                f"{shortest} minutes don't fit into the day's {hours} minutes; use fewer or shorter ones"
            )


@dataclass(frozen=True)
class TripLevel:
    """``recipes/difficulty/mini.yaml`` explains the keys."""

    num_cities: tuple[int, int]
    stay_days: tuple[int, int]
    num_events: tuple[int, int]
    flight_share: float
    one_way_share: float
    free_event_share: float

    def check(self) -> None:
        """Raise InputError for parameters no puzzle can have."""
        _check_range("trip.num_cities", self.num_cities, 2, min(16, len(CITIES)))
        _check_range("trip.stay_days", self.stay_days, 2, 30)
        _check_range("trip.num_events", self.num_events, 0, self.num_cities[1])
        for name in ("flight_share", "one_way_share", "free_event_share"):
            _check_share(f"trip.{name}", getattr(self, name))


@dataclass(frozen=True)
class Difficulty:
    """One file of ``recipes/difficulty``."""

    name: Literal["mini", "easy", "natural_plan", "hard"]
    style: Literal["short", "natural_plan"]
    calendar: CalendarLevel
    meeting: MeetingLevel
    trip: TripLevel

    def check(self, subtasks: Iterable[str]) -> None:
        """Raise InputError for the first impossible parameter of ``subtasks``."""
        levels: dict[str, CalendarLevel | MeetingLevel | TripLevel]
        levels = {"calendar": self.calendar, "meeting": self.meeting, "trip": self.trip}
        for subtask in subtasks:
            levels[subtask].check()


def _check_range(key: str, given: tuple[int, int], lowest: int, highest: int) -> None:
    low, high = given
    if low > high:
        raise InputError(f"difficulty.{key}={list(given)}: lowest first; try [{high},{low}]")
    if low < lowest or high > highest:
        near = [min(max(bound, lowest), highest) for bound in given]
        raise InputError(
            f"difficulty.{key}={list(given)}: must lie in {lowest} to {highest}; try [{near[0]},{near[1]}]"
        )


def _check_number(key: str, given: int, lowest: int, highest: int) -> None:
    if not lowest <= given <= highest:
        near = min(max(given, lowest), highest)
        raise InputError(f"difficulty.{key}={given}: must lie in {lowest} to {highest}; try {near}")


def _check_share(key: str, given: float) -> None:
    if not 0 <= given <= 1:
        raise InputError(f"difficulty.{key}={given}: a share; use a value from 0 to 1")
