"""The travel planner: trips of the scheduling world, looked up with tools, the itinerary verified at the end.

A trip is a row of ``data_synth task=scheduling subtask=trip``. An itinerary gets two verdicts: whether it keeps every
constraint, and NaturalPlan's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pydantic import ValidationError

from evaluation import benchmarks
from evaluation.benchmarks import Benchmark, Message
from evaluation.demo.agent import Agent, Loop, ToolFormat
from evaluation.demo.events import Event, Events
from evaluation.demo.itinerary import TripConstraints, broken_constraint, has_steps
from evaluation.demo.stream import StreamClient
from evaluation.demo.toolbox import Tool, Toolbox, ToolError
from evaluation.jsonl import read_lines, read_text
from recipes.command import InputError

SYSTEM = """You are a travel planner. You plan trips between European cities that travel by direct flights only.

If the user's message doesn't have the whole trip, look it up: list_trips, then read_trip. Stay in every city once, \
for the days asked for; the day of a flight belongs to both cities, so that the next stay begins on the day on which \
the one before ends. Events lie within the stay in their city. When you have an itinerary, check it with \
check_itinerary, and mend it if something is wrong.

End with the itinerary, a line a step, in these forms:
**Day 1-3:** Arriving in CITY and visit CITY for 3 days.
**Day 3:** Fly from CITY to CITY.
**Day 3-5:** Visit CITY for 3 days."""


@dataclass(frozen=True)
class Trip:
    """One row: its id, the puzzle as the row asks it, and its constraints."""

    id: str
    question: str
    constraints: TripConstraints

    @property
    def summary(self) -> str:
        """Days and cities, for a list."""
        return f"{self.constraints.total_days} days: {', '.join(self.constraints.stays)}"


@dataclass(frozen=True)
class Trips:
    """The trips there are, by number from 1, and the benchmark that judges them."""

    trips: tuple[Trip, ...]
    benchmark: Benchmark

    @property
    def overview(self) -> str:
        """A line a trip."""
        return "\n".join(f"trip {number}, {trip.summary}" for number, trip in enumerate(self.trips, 1))


def load_trips(data: str | None) -> Trips:
    """The English trips among rows of ``data_synth``; without a file those that come with the demo.

    Raises:
        InputError: no such file, or no trip in it.
    """
    with resources.as_file(resources.files(__package__).joinpath("trips.jsonl")) as shipped:
        path = data or str(shipped)
        benchmark = benchmarks.load("natural_plan", benchmarks.Source(subtask="trip", data=path))
        rows = [row for _, row in read_lines("data", path, read_text("data", path))]
    trips = [_read_trip(path, row) for row in rows if row.get("subtask") == "trip" and _is_english(row)]
    if not trips:
        raise InputError(
            f"data={path}: no English trip of data_synth in it; give a data.jsonl with subtask=trip"
        )
    return Trips(tuple(trips), benchmark)


def _is_english(row: dict[str, Any]) -> bool:
    meta = row.get("meta")
    return not isinstance(meta, dict) or meta.get("language", "en") == "en"


def _read_trip(path: str, row: dict[str, Any]) -> Trip:
    try:
        questions = [message["content"] for message in row["messages"] if message["role"] == "user"]
        return Trip(row["id"], questions[0], TripConstraints.model_validate(row["gold"]["instance"]))
    except (LookupError, TypeError, ValidationError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise InputError(f"data={path}: {row.get('id')}: {reason}; give rows of data_synth") from None


class TravelAgent:
    """An agent whose itineraries are verified. It remembers which trip the chat is about."""

    def __init__(self, client: StreamClient, trips: Trips, tool_format: ToolFormat, loop: Loop) -> None:
        self._trips = trips
        self._current: int | None = None
        toolbox = Toolbox(self._tools(), loop.max_result_characters)
        self._agent = Agent(client, SYSTEM, toolbox, tool_format, loop)

    def reply(self, history: list[Message]) -> Events[str]:
        """See ``Answering.reply``. Two verdicts follow an itinerary, or what should be one."""
        question = history[-1]["content"]
        asked = [n for n, trip in enumerate(self._trips.trips, 1) if trip.question in question]
        self._current = asked[0] if asked else self._current
        answer = yield from self._agent.reply(history)
        if self._current is not None and (asked or has_steps(answer)):
            yield from self._verdicts(self._trips.trips[self._current - 1], answer)
        elif has_steps(answer):
            yield Event(
                "verdict", "no trip was looked up, so nothing says what it must keep", "itinerary", ok=False
            )
        return answer

    def _verdicts(self, trip: Trip, answer: str) -> Events[None]:
        broken = broken_constraint(trip.constraints, answer)
        yield Event("verdict", broken or "every constraint of the trip holds", "constraints", broken is None)
        verdict = self._trips.benchmark.score(trip.id, answer)
        yield Event("verdict", verdict.reason, "NaturalPlan", verdict.score == 1)

    def _tools(self) -> Sequence[Tool]:
        number = {"type": "integer", "description": "the trip's number, from 1", "minimum": 1}
        city = {"type": "string", "description": "a city of the trip"}
        plan = {"type": "string", "description": "the whole itinerary, a line a step"}
        return [
            Tool("list_trips", "The trips that customers ask for.", {}, lambda: self._trips.overview),
            Tool(
                "read_trip",
                "The cities with their days, and the events, of a trip.",
                {"trip": number},
                self._read,
            ),
            Tool(
                "direct_flights",
                "Where direct flights go to from a city.",
                {"trip": number, "city": city},
                self._flights,
            ),
            Tool(
                "check_itinerary",
                "Check an itinerary; tells the first constraint that it breaks.",
                {"trip": number, "itinerary": plan},
                self._check,
            ),
        ]

    def _open(self, trip: int) -> TripConstraints:
        if trip > len(self._trips.trips):
            raise ToolError(f"no trip {trip}; there are 1 to {len(self._trips.trips)}")
        self._current = trip
        return self._trips.trips[trip - 1].constraints

    def _read(self, trip: int) -> str:
        found = self._open(trip).model_dump(exclude={"flights"})
        return json.dumps(found, ensure_ascii=False)

    def _flights(self, trip: int, city: str) -> str:
        found = self._open(trip)
        if city not in found.stays:
            raise ToolError(f"{city[:80]} isn't part of trip {trip}; it has {', '.join(found.stays)}")
        return ", ".join(end for start, end in found.flights if start == city) or "nowhere"

    def _check(self, trip: int, itinerary: str) -> str:
        broken = broken_constraint(self._open(trip), itinerary)
        return f"wrong: {broken}" if broken else "right: every constraint of the trip holds"


def find_trip(trips: Trips, number: int) -> Trip:
    """The trip of this number.

    Raises:
        InputError: there is none.
    """
    if not 1 <= number <= len(trips.trips):
        raise InputError(f"trip={number}: no such trip; choose 1 to {len(trips.trips)}")
    return trips.trips[number - 1]
