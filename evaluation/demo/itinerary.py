"""Does an itinerary keep every constraint of its trip? Read in NaturalPlan's forms, checked line by line.

Stricter than NaturalPlan's scorer, which compares cities and days with the gold plan and nothing else: here each
flight must exist, each stated length be true and each event lie within its stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, model_validator

from evaluation.jsonl import quote

_STEP = re.compile(r"Day ([0-9]{1,4})(?:-([0-9]{1,4}))?: (.{1,200})")
_VISIT = re.compile(r"(?:Arriving in (\w++) and visit|Visit) (\w++) for ([0-9]{1,4}) days?\.?")
_FLIGHT = re.compile(r"Fly from (\w++) to (\w++)\.?")


class EventInCity(BaseModel):
    """Something that takes all days from ``first_day`` to ``last_day`` in ``city``."""

    city: str
    first_day: int
    last_day: int


class TripConstraints(BaseModel):
    """``gold.instance`` of a trip: days in each city, and which direct flights there are."""

    stays: dict[str, int]
    total_days: int
    flights: list[tuple[str, str]]
    events: list[EventInCity]

    @model_validator(mode="after")
    def _events_have_stays(self) -> TripConstraints:
        for event in self.events:
            if event.city not in self.stays:
                raise ValueError(f"an event in {event.city}, where there is no stay")
        return self


@dataclass(frozen=True)
class Visit:
    """A stay from ``first`` to ``last`` that the itinerary says has ``days`` days."""

    city: str
    first: int
    last: int
    days: int


@dataclass(frozen=True)
class Flight:
    """A flight on ``day``."""

    start: str
    end: str
    day: int


type Step = Visit | Flight


def has_steps(text: str) -> bool:
    """Whether any line of ``text`` looks like a step of an itinerary."""
    return any(_STEP.fullmatch(line) for line in _lines(text))


def broken_constraint(trip: TripConstraints, text: str) -> str | None:
    """The first thing that is wrong with the itinerary in ``text``; None if all is right."""
    steps: list[Step] = []
    for line in _lines(text):
        if not (match := _STEP.fullmatch(line)):
            continue
        step = _read(match)
        if step is None:
            return f"not a step: {quote(line)}"
        steps.append(step)
    if not steps:
        return "no itinerary: no line of the form 'Day 1-3: Visit CITY for 3 days.'"
    return _broken_order(trip, steps) or _broken_stays(trip, [s for s in steps if isinstance(s, Visit)])


def _lines(text: str) -> list[str]:
    """Lines without the marks of Markdown around and within them."""
    return [line.replace("*", "").strip(" \t\r-•") for line in text.split("\n")]


def _read(match: re.Match[str]) -> Step | None:
    first, last, what = int(match[1]), match[2], match[3]
    if last and (visit := _VISIT.fullmatch(what)):
        if visit[1] and visit[1] != visit[2]:
            return None
        return Visit(visit[2], first, int(last), int(visit[3]))
    if not last and (flight := _FLIGHT.fullmatch(what)):
        return Flight(flight[1], flight[2], first)
    return None


def _broken_order(trip: TripConstraints, steps: Sequence[Step]) -> str | None:
    """Visits and flights take turns; each flight exists, and is on the day on which the stays around it meet."""
    for number, step in enumerate(steps):
        if isinstance(step, Visit) != (number % 2 == 0):
            return f"step {number + 1} is a {'flight' if number % 2 == 0 else 'visit'}; visits and flights take turns"
    if len(steps) % 2 == 0:
        return "the itinerary ends with a flight"
    direct = set(trip.flights)
    for before, flight, after in zip(steps[::2], steps[1::2], steps[2::2], strict=False):
        if not (isinstance(before, Visit) and isinstance(flight, Flight) and isinstance(after, Visit)):
            raise AssertionError("visits and flights take turns")
        if (flight.start, flight.end) != (before.city, after.city):
            return f"the flight on day {flight.day} isn't from {before.city} to {after.city}"
        if (flight.start, flight.end) not in direct:
            return f"there is no direct flight from {flight.start} to {flight.end}"
        if not before.last == flight.day == after.first:
            return f"the stays in {before.city} and {after.city} must meet on the day of the flight, {flight.day}"
    return None


def _broken_stays(trip: TripConstraints, visits: Sequence[Visit]) -> str | None:
    """Every city once for the days asked for, all days of the trip, every event within its stay."""
    by_city: dict[str, Visit] = {}
    for visit in visits:
        if visit.city not in trip.stays:
            return f"{quote(visit.city)} isn't part of the trip"
        if visit.city in by_city:
            return f"{visit.city} is visited twice"
        by_city[visit.city] = visit
    for city, days in trip.stays.items():
        if city not in by_city:
            return f"{city} is missing"
        visit = by_city[city]
        if visit.last - visit.first + 1 != days or visit.days != days:
            return f"the stay in {city} is from day {visit.first} to {visit.last}; {days} days are asked for"
    if visits[0].first != 1:
        return f"the trip begins on day {visits[0].first}"
    if visits[-1].last != trip.total_days:
        return f"the trip ends on day {visits[-1].last}; it has {trip.total_days} days"
    for event in trip.events:
        visit = by_city[event.city]
        if not visit.first <= event.first_day <= event.last_day <= visit.last:
            return f"{event.city}: days {event.first_day} to {event.last_day} must lie within the stay there"
    return None
