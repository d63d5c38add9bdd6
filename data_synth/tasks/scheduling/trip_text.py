"""Trip puzzles in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from data_synth.tasks.scheduling.entities import CITIES
from data_synth.tasks.scheduling.phrases import Phrases
from data_synth.tasks.scheduling.trip import Route, Trip


@dataclass(frozen=True)
class TripStatement:
    """Says one trip puzzle."""

    puzzle: Trip
    plan: Route
    phrases: Phrases
    short: bool

    def task(self, rng: Random) -> str:
        """Stays and events city by city, then the flights."""
        forms, gap = self.phrases.trip, self.phrases.sentence_gap
        cities, total = self._cities, self.puzzle.problem.total_days
        opening = forms.tasks[0] if self.short else rng.choice(forms.tasks)
        sentences = [opening.format(num=len(cities), days=total)]
        events = {event.city: event for event in self.puzzle.events}
        for city, days in enumerate(self.puzzle.problem.stays):
            stay = forms.stays[0] if self.short else rng.choice(forms.stays)
            sentences.append(stay.format(city=cities[city], days=days))
            if city in events:
                event = forms.events[0] if self.short else rng.choice(forms.events)
                first, last = events[city].first_day, events[city].last_day
                sentences.append(event.format(city=cities[city], first=first, last=last))
        header = forms.flights[0] if self.short else rng.choice(forms.flights)
        legs = self._legs()
        if not self.short:
            rng.shuffle(legs)
        flights = self.phrases.comma.join(legs) + self.phrases.full_stop
        if self.short:
            return f"{gap.join(sentences)}\n{header}\n{flights}"
        closing = rng.choice(forms.closings).format(days=total)
        return f"{gap.join(sentences)}\n\n{header}\n{flights}\n\n{closing}"

    def steps(self) -> list[str]:
        """The trip, a line a stay and a flight, as NaturalPlan's scorer reads it."""
        forms, cities = self.phrases.trip, self._cities
        lines = []
        if not self.short:
            lines.append(forms.header.format(num=len(cities), days=self.puzzle.problem.total_days))
        day = 1
        for place, city in enumerate(self.plan.order):
            days = self.puzzle.problem.stays[city]
            if place:
                before = cities[self.plan.order[place - 1]]
                lines.append(forms.fly.format(day=day, start=before, end=cities[city]))
            form = forms.visit if place or self.short else forms.arrive
            lines.append(form.format(first=day, last=day + days - 1, city=cities[city], days=days))
            day += days - 1
        return lines

    def derivation(self) -> str:
        """The fixed stays, and the one route."""
        forms, cities = self.phrases.trip, self._cities
        sentences = [
            forms.derived_event.format(city=cities[event.city], first=event.first_day, last=event.last_day)
            for event in sorted(self.puzzle.events, key=lambda event: event.first_day)
        ]
        sentences.append(
            forms.derived_route.format(
                route=" → ".join(cities[city] for city in self.plan.order),
                sum=sum(self.puzzle.problem.stays),
                hops=len(cities) - 1,
                days=self.puzzle.problem.total_days,
            )
        )
        return self.phrases.sentence_gap.join(sentences)

    def gold(self) -> dict[str, Any]:
        """Stays, directed flights and events, by name."""
        cities = self._cities
        return {
            "stays": dict(zip(cities, self.puzzle.problem.stays, strict=True)),
            "total_days": self.puzzle.problem.total_days,
            "flights": [
                [cities[a], cities[b]]
                for a, mask in enumerate(self.puzzle.legs)
                for b in range(len(cities))
                if mask >> b & 1
            ],
            "events": [
                {"city": cities[event.city], "first_day": event.first_day, "last_day": event.last_day}
                for event in self.puzzle.events
            ],
        }

    def official(self) -> dict[str, Any]:
        """``cities`` and ``durations`` in the order of the plan, joined by **."""
        cities, stays = self._cities, self.puzzle.problem.stays
        return {
            "cities": "**".join(cities[city] for city in self.plan.order),
            "durations": "**".join(str(stays[city]) for city in self.plan.order),
            "num_cities": len(cities),
        }

    @cached_property
    def _cities(self) -> list[str]:
        return [CITIES[city].names[self.phrases.code] for city in self.puzzle.problem.cities]

    def _legs(self) -> list[str]:
        forms, cities, legs = self.phrases.trip, self._cities, self.puzzle.legs
        said = []
        for a in range(len(cities)):
            for b in range(a + 1, len(cities)):
                there, back = legs[a] >> b & 1, legs[b] >> a & 1
                if there and back:
                    said.append(forms.both_ways.format(start=cities[a], end=cities[b]))
                elif there:
                    said.append(forms.one_way.format(start=cities[a], end=cities[b]))
                elif back:
                    said.append(forms.one_way.format(start=cities[b], end=cities[a]))
        return said
