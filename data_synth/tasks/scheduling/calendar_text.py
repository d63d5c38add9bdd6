"""Calendar puzzles in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from random import Random
from typing import Any

from data_synth.tasks.scheduling.calendar import Calendar, Goal
from data_synth.tasks.scheduling.entities import PEOPLE, WEEKDAYS
from data_synth.tasks.scheduling.phrases import Phrases
from data_synth.tasks.scheduling.recipe import DAY_ENDS, DAY_STARTS

NUM_SHORT_VERBS = 3


@dataclass(frozen=True)
class CalendarStatement:
    """Says one calendar puzzle."""

    puzzle: Calendar
    plan: Goal
    phrases: Phrases
    short: bool

    def task(self, rng: Random) -> str:
        """Participants, length, everyone's calendar, preferences."""
        forms, phrases = self.phrases.calendar, self.phrases
        days = self._days
        when = forms.one_day.format(day=days[0])
        if len(days) > 1:
            when = forms.several_days.format(days=phrases.one_of(days))
        opening = (forms.tasks[0] if self.short else rng.choice(forms.tasks)).format(
            people=phrases.listed(self._people),
            length=phrases.length(self.puzzle.problem.length * self.puzzle.problem.slot_minutes),
            starts=phrases.clock(DAY_STARTS),
            ends=phrases.clock(DAY_ENDS),
            days=when,
        )
        header = forms.schedules[0] if self.short else rng.choice(forms.schedules)
        lines = [header[len(days) > 1], *(self._calendar(p, rng) for p in range(len(self.puzzle.busy)))]
        if self.short:
            return "\n".join([opening, *lines])
        wishes = [self._wish(i, rng) for i in range(len(self.puzzle.preferences))]
        if self.puzzle.earliest:
            wishes.append(rng.choice(forms.earliest))
        wishes.append(rng.choice(forms.closings))
        return f"{opening}\n\n" + "\n".join(lines) + "\n\n" + phrases.sentence_gap.join(wishes)

    def steps(self) -> list[str]:
        """The proposed time."""
        starts, ends = self._span()
        day = self._days[self.plan.day]
        clock = self.phrases.clock
        return [self.phrases.calendar.answer.format(day=day, starts=clock(starts), ends=clock(ends))]

    def derivation(self) -> str:
        """The times that are free for all, by day, and the one that is long enough."""
        forms, phrases = self.phrases.calendar, self.phrases
        problem = self.puzzle.problem
        sentences = []
        for day, name in enumerate(self._days):
            taken = 0
            for calendar in self.puzzle.busy:
                taken |= calendar[day]
            for preference in self.puzzle.preferences:
                if preference.day == day:
                    taken |= preference.blocks(problem.num_slots)
            free = ~taken & (1 << problem.num_slots) - 1
            form = forms.derived_day if free else forms.derived_none
            sentences.append(form.format(day=name, times=self._times(free)))
        starts, ends = (phrases.clock(minute) for minute in self._span())
        length = phrases.length(problem.length * problem.slot_minutes)
        sentences.append(
            forms.derived.format(length=length, day=self._days[self.plan.day], starts=starts, ends=ends)
        )
        return phrases.sentence_gap.join(sentences)

    def gold(self) -> dict[str, Any]:
        """Busy intervals and preferences in minutes after midnight, by name."""
        problem, people, days = self.puzzle.problem, self._people, self._days
        return {
            "people": people,
            "days": days,
            "work_hours": [DAY_STARTS, DAY_ENDS],
            "slot_minutes": problem.slot_minutes,
            "meeting_minutes": problem.length * problem.slot_minutes,
            "busy": {
                name: {days[d]: self._intervals(mask) for d, mask in enumerate(self.puzzle.busy[p]) if mask}
                for p, name in enumerate(people)
            },
            "preferences": [
                {
                    "person": people[p.person],
                    "day": days[p.day],
                    "kind": p.kind,
                    "minute": DAY_STARTS + p.slot * problem.slot_minutes,
                }
                for p in self.puzzle.preferences
            ],
            "earliest": self.puzzle.earliest,
        }

    def official(self) -> dict[str, Any]:
        """``duration`` is in hours."""
        problem = self.puzzle.problem
        return {
            "num_people": len(problem.people),
            "num_days": len(problem.days),
            "duration": problem.length * problem.slot_minutes / 60,
        }

    @cached_property
    def _people(self) -> list[str]:
        return [PEOPLE[person][self.phrases.code] for person in self.puzzle.problem.people]

    @cached_property
    def _days(self) -> list[str]:
        return [WEEKDAYS[day][self.phrases.code] for day in self.puzzle.problem.days]

    def _span(self) -> tuple[int, int]:
        problem = self.puzzle.problem
        starts = DAY_STARTS + self.plan.slot * problem.slot_minutes
        return starts, starts + problem.length * problem.slot_minutes

    def _calendar(self, person: int, rng: Random) -> str:
        forms, name = self.phrases.calendar, self._people[person]
        busy = self.puzzle.busy[person]
        if not any(busy):
            return (forms.free[0] if self.short else rng.choice(forms.free))[len(busy) > 1].format(
                person=name
            )
        days = [
            forms.busy_day.format(day=day, times=self._times(mask))
            for day, mask in zip(self._days, busy, strict=True)
            if mask
        ]
        verbs = forms.busy[:NUM_SHORT_VERBS] if self.short else forms.busy
        return rng.choice(verbs).format(person=name, times=self.phrases.semicolon.join(days))

    def _wish(self, index: int, rng: Random) -> str:
        preference = self.puzzle.preferences[index]
        time = self.phrases.clock(DAY_STARTS + preference.slot * self.puzzle.problem.slot_minutes)
        return rng.choice(getattr(self.phrases.calendar, preference.kind)).format(
            person=self._people[preference.person], day=self._days[preference.day], time=time
        )

    def _intervals(self, mask: int) -> list[list[int]]:
        return [list(span) for span in intervals(mask, self.puzzle.problem.slot_minutes)]

    def _times(self, mask: int) -> str:
        return times(mask, self.puzzle.problem.slot_minutes, self.phrases)


@cache
def times(mask: int, slot_minutes: int, phrases: Phrases) -> str:
    """The runs of a mask of slots in words."""
    spans = [(phrases.clock(start), phrases.clock(end)) for start, end in intervals(mask, slot_minutes)]
    return phrases.comma.join(phrases.until.format(starts=start, ends=end) for start, end in spans)


@cache
def intervals(mask: int, slot_minutes: int) -> tuple[tuple[int, int], ...]:
    """The runs of a mask of slots as (start, end) in minutes after midnight."""
    spans: list[tuple[int, int]] = []
    slot = 0
    while mask:
        skipped = (mask & -mask).bit_length() - 1
        mask >>= skipped
        length = (~mask & mask + 1).bit_length() - 1
        mask >>= length
        start = DAY_STARTS + (slot + skipped) * slot_minutes
        spans.append((start, start + length * slot_minutes))
        slot += skipped + length
    return tuple(spans)
