"""Calendar scheduling: one time for a meeting that suits everyone's calendar.

Slots are numbered from the start of the work day; a set of slots of one day is a bit mask.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from data_synth.tasks.scheduling.entities import PEOPLE, WEEKDAYS
from data_synth.tasks.scheduling.fingerprint import structure_hash
from data_synth.tasks.scheduling.puzzle import Solved
from data_synth.tasks.scheduling.recipe import DAY_ENDS, DAY_STARTS, CalendarLevel

EXISTING_LENGTHS = (1, 1, 1, 2, 2, 3)
"""Slots of an existing meeting, each entry as likely as another."""
LONGEST_REPAIR_SLOTS = 4
"""Of a meeting that is added to block a second solution."""


@dataclass(frozen=True, slots=True)
class Preference:
    """``person`` (position) accepts on ``day`` no slot before or after ``slot``, or none at all."""

    person: int
    day: int
    kind: Literal["before", "after", "all_day"]
    slot: int

    def blocks(self, num_slots: int) -> int:
        """The mask of the slots it rules out."""
        whole = (1 << num_slots) - 1
        early = (1 << self.slot) - 1
        return {"before": early, "after": whole & ~early, "all_day": whole}[self.kind]


@dataclass(frozen=True, slots=True)
class Problem:
    """Stage 1: who, when, how long."""

    people: tuple[int, ...]
    days: tuple[int, ...]
    slot_minutes: int
    length: int

    @property
    def num_slots(self) -> int:
        """Slots of a day."""
        return (DAY_ENDS - DAY_STARTS) // self.slot_minutes


@dataclass(frozen=True, slots=True)
class Goal:
    """Stage 2: the solution, fixed first."""

    day: int
    slot: int

    def mask(self, problem: Problem, day: int) -> int:
        """The slots of ``day`` that the solution needs."""
        return ((1 << problem.length) - 1) << self.slot if day == self.day else 0


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar puzzle; ``busy[person][day]`` is a mask of slots."""

    problem: Problem
    goal: Goal
    busy: tuple[tuple[int, ...], ...]
    preferences: tuple[Preference, ...]
    earliest: bool

    @property
    def size(self) -> int:
        """People who meet."""
        return len(self.problem.people)

    def contradiction(self) -> str | None:
        """The fixed solution must survive the preferences, which are drawn without regard to it."""
        if self.earliest:
            return None
        for preference in self.preferences:
            blocked = preference.blocks(self.problem.num_slots)
            if preference.day == self.goal.day and blocked & self.goal.mask(self.problem, self.goal.day):
                return "a preference excludes the fixed solution"
        return None

    def fingerprint(self) -> str:
        """Everybody's busy pattern and preferences, without names, weekdays and order of people."""
        people = [
            (busy, sorted((p.day, p.kind, p.slot) for p in self.preferences if p.person == person))
            for person, busy in enumerate(self.busy)
        ]
        problem = self.problem
        common = [problem.slot_minutes, problem.length, len(problem.days), self.earliest]
        return structure_hash("calendar", common, people)

    def solve(self) -> Solved:
        """Enumerate every start by bit masks: a start is free iff ``length`` slots from it are."""
        problem = self.problem
        starts = free_starts(problem, self.busy, self.preferences)
        nodes = len(problem.days) * (problem.num_slots - problem.length + 1)
        found = min(len(starts), 1) if self.earliest else min(len(starts), 2)
        plan = Goal(*starts[0]) if found == 1 else None
        objective = {"start_slot": plan.day * problem.num_slots + plan.slot} if plan and self.earliest else {}
        return Solved(found, objective, "bit_masks", nodes, plan)


class CalendarPuzzle:
    """Draws calendar puzzles of one difficulty."""

    def __init__(self, level: CalendarLevel) -> None:
        self.level = level

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most people."""
        return self.level.num_people

    def construct(self, size: int, rng: Random) -> Problem:
        """Stage 1: people, neighbouring weekdays, length."""
        level = self.level
        num_days = rng.randint(*level.num_days)
        first = rng.randrange(len(WEEKDAYS) - num_days + 1)
        return Problem(
            people=tuple(rng.sample(range(len(PEOPLE)), size)),
            days=tuple(range(first, first + num_days)),
            slot_minutes=level.slot_minutes,
            length=rng.choice(level.meeting_minutes) // level.slot_minutes,
        )

    def fix_goal(self, problem: Problem, rng: Random) -> Goal:
        """Stage 2: the solution first."""
        slots = problem.num_slots - problem.length + 1
        return Goal(rng.randrange(len(problem.days)), rng.randrange(slots))

    def constrain(self, problem: Problem, goal: Goal, rng: Random) -> Calendar:
        """Stage 3: calendars that leave the goal free and little else, and preferences."""
        if self.level.uniform_patterns:
            busy = _uniform_patterns(problem, goal, rng)
            return Calendar(problem, goal, _freeze(busy), (), earliest=False)
        earliest = rng.random() < self.level.earliest_share
        busy = self._existing_meetings(problem, goal, rng)
        preferences = self._preferences(problem, rng)
        if not earliest:
            self._repair(problem, goal, busy, preferences, rng)
        return Calendar(problem, goal, _freeze(busy), preferences, earliest)

    def _existing_meetings(self, problem: Problem, goal: Goal, rng: Random) -> list[list[int]]:
        """Meetings at random; where they would take the goal's slots, they leave these out."""
        whole = (1 << problem.num_slots) - 1
        free = [whole & ~goal.mask(problem, day) for day in range(len(problem.days))]
        meetings = _every_meeting(problem.num_slots)
        fewest, most = self.level.meetings_per_day
        spread, num_meetings, random = most - fewest + 1, len(meetings), rng.random
        busy = []
        for _ in problem.people:
            calendar = []
            for day_free in free:
                taken = 0
                for _ in range(fewest + int(random() * spread)):
                    taken |= meetings[int(random() * num_meetings)]
                calendar.append(taken & day_free)
            busy.append(calendar)
        return busy

    def _preferences(self, problem: Problem, rng: Random) -> tuple[Preference, ...]:
        num_preferences = min(rng.randint(*self.level.num_preferences), len(problem.people))
        people = rng.sample(range(len(problem.people)), num_preferences)
        kinds: tuple[Literal["before", "after", "all_day"], ...]
        kinds = ("before", "after", "all_day") if len(problem.days) > 1 else ("before", "after")
        preferences = []
        for person in people:
            day, kind = rng.randrange(len(problem.days)), rng.choice(kinds)
            slot = 0 if kind == "all_day" else rng.randrange(2, problem.num_slots - 1)
            preferences.append(Preference(person, day, kind, slot))
        return tuple(preferences)

    def _repair(
        self,
        problem: Problem,
        goal: Goal,
        busy: list[list[int]],
        preferences: tuple[Preference, ...],
        rng: Random,
    ) -> None:
        """Block other free starts, one meeting at a time, until the goal is alone or the budget is spent."""
        window = (1 << problem.length) - 1
        starts = free_starts(problem, busy, preferences)
        others = [start for start in starts if start != (goal.day, goal.slot)]
        for _ in range(self.level.max_repairs):
            if not others:
                return
            day, slot = rng.choice(others)
            blocked = slot + rng.randrange(problem.length)
            mask = (1 << rng.randint(1, LONGEST_REPAIR_SLOTS)) - 1 << blocked
            mask &= ~goal.mask(problem, day) & (1 << problem.num_slots) - 1
            rng.choice(busy)[day] |= mask
            others = [start for start in others if start[0] != day or not mask & window << start[1]]


@functools.cache
def _every_meeting(num_slots: int) -> tuple[int, ...]:
    """The mask of an existing meeting for each start and entry of ``EXISTING_LENGTHS``."""
    return tuple((1 << length) - 1 << slot for slot in range(num_slots) for length in EXISTING_LENGTHS)


def _uniform_patterns(problem: Problem, goal: Goal, rng: Random) -> list[list[int]]:
    """Every slot but the goal's is taken by a non-empty set of people, all sets equally likely."""
    busy = [[0] * len(problem.days) for _ in problem.people]
    for day in range(len(problem.days)):
        for slot in range(problem.num_slots):
            if goal.mask(problem, day) >> slot & 1:
                continue
            taken_by = rng.randrange(1, 1 << len(busy))
            for person, calendar in enumerate(busy):
                calendar[day] |= (taken_by >> person & 1) << slot
    return busy


def free_starts(
    problem: Problem, busy: Sequence[Sequence[int]], preferences: Sequence[Preference]
) -> list[tuple[int, int]]:
    """All (day, slot) from which ``length`` slots suit everyone, in order of time."""
    starts = []
    for day in range(len(problem.days)):
        free = (1 << problem.num_slots) - 1
        for calendar in busy:
            free &= ~calendar[day]
        for preference in preferences:
            if preference.day == day:
                free &= ~preference.blocks(problem.num_slots)
        for _ in range(1, problem.length):
            free &= free >> 1
        starts += [(day, slot) for slot in range(problem.num_slots) if free >> slot & 1]
    return starts


def _freeze(busy: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(days) for days in busy)
