"""Meeting puzzles in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from data_synth.tasks.scheduling.entities import PEOPLE, TOWNS
from data_synth.tasks.scheduling.meeting import Meeting, Route
from data_synth.tasks.scheduling.phrases import Phrases
from data_synth.tasks.scheduling.recipe import DAY_STARTS


@dataclass(frozen=True, slots=True)
class _Stop:
    friend: int
    travel: int
    arrives: int
    starts: int
    ends: int


@dataclass(frozen=True)
class MeetingStatement:
    """Says one meeting puzzle."""

    puzzle: Meeting
    plan: Route
    phrases: Phrases
    short: bool

    def task(self, rng: Random) -> str:
        """Travel times, then where, when and how long each friend can be met."""
        forms, town = self.phrases.meeting, TOWNS[self.puzzle.problem.town].names[self.phrases.code]
        opening = (forms.tasks[0] if self.short else rng.choice(forms.tasks)).format(town=town)
        places = self._places
        legs = [(a, b) for a in range(len(places)) for b in range(len(places)) if a != b]
        if self.short:
            legs = [(a, b) for a, b in legs if a < b]
        header = forms.distances[0] if self.short else rng.choice(forms.distances)
        table = [
            forms.distance.format(start=places[a], end=places[b], minutes=self.puzzle.problem.travel[a][b])
            for a, b in legs
        ]
        constraints = forms.constraints.format(sentences=self._constraints(rng))
        if self.short:
            return "\n".join([opening, header, *table, constraints])
        gap = self.phrases.sentence_gap
        closing = rng.choice(forms.closings) + gap + forms.tie_break
        return f"{opening}\n\n{header}\n" + "\n".join(table) + f"\n\n{constraints}\n\n{closing}"

    def steps(self) -> list[str]:
        """The day, in the sentences that NaturalPlan's scorer walks through."""
        forms, watch = self.phrases.meeting, self.phrases.watch
        places, people = self._places, self._people
        sentences = [forms.start.format(place=places[0], time=watch(DAY_STARTS))]
        for stop in self._walk():
            place, friend = places[stop.friend + 1], self.puzzle.friends[stop.friend]
            sentences.append(forms.travel.format(place=place, minutes=stop.travel, time=watch(stop.arrives)))
            if stop.arrives < stop.starts:
                sentences.append(forms.wait.format(time=watch(stop.starts)))
            starts, ends = watch(stop.starts), watch(stop.ends)
            sentences.append(
                forms.meet.format(
                    person=people[stop.friend], minutes=friend.minutes, starts=starts, ends=ends
                )
            )
        return sentences

    def derivation(self) -> str:
        """How many friends can be met, in which order, and who is left out."""
        forms, people = self.phrases.meeting, self._people
        order = [people[j] for j in self.plan.order]
        ends = self.phrases.watch(self._walk()[-1].ends)
        sentences = [
            forms.derived.format(
                met=len(order), num=len(people), order=self.phrases.comma.join(order), time=ends
            )
        ]
        left_out = [name for name in people if name not in order]
        if left_out:
            sentences.append(forms.derived_skip.format(people=self.phrases.listed(left_out)))
        return self.phrases.sentence_gap.join(sentences)

    def gold(self) -> dict[str, Any]:
        """Travel times in minutes, windows in minutes after midnight, by name."""
        places, people = self._places, self._people
        return {
            "start": {"place": places[0], "minute": DAY_STARTS},
            "travel": self._dist_matrix,
            "friends": [
                {
                    "name": people[j],
                    "place": places[j + 1],
                    "opens": friend.opens,
                    "closes": friend.closes,
                    "minutes": friend.minutes,
                }
                for j, friend in enumerate(self.puzzle.friends)
            ],
            "num_met": len(self.plan.order),
        }

    def official(self) -> dict[str, Any]:
        """``constraints``: the start, then (person, place, window, minutes)."""
        gold, watch = self.gold(), self.phrases.watch
        constraints: list[list[Any]] = [[gold["start"]["place"], watch(DAY_STARTS)]]
        for friend in gold["friends"]:
            window = f"{watch(friend['opens'])} to {watch(friend['closes'])}"
            constraints.append([friend["name"], friend["place"], window, friend["minutes"]])
        return {
            "num_people": len(gold["friends"]),
            "constraints": constraints,
            "dist_matrix": gold["travel"],
        }

    def _walk(self) -> list[_Stop]:
        """The plan's stops, each meeting as early as the walk allows."""
        stops: list[_Stop] = []
        here, time = 0, DAY_STARTS
        for j in self.plan.order:
            friend, travel = self.puzzle.friends[j], self.puzzle.problem.travel[here][j + 1]
            starts = max(time + travel, friend.opens)
            stops.append(_Stop(j, travel, time + travel, starts, starts + friend.minutes))
            here, time = j + 1, starts + friend.minutes
        return stops

    @cached_property
    def _places(self) -> list[str]:
        problem = self.puzzle.problem
        return [TOWNS[problem.town].places[place].names[self.phrases.code] for place in problem.places]

    @cached_property
    def _people(self) -> list[str]:
        return [PEOPLE[person][self.phrases.code] for person in self.puzzle.problem.people]

    @cached_property
    def _dist_matrix(self) -> dict[str, dict[str, int]]:
        places, travel = self._places, self.puzzle.problem.travel
        return {a: {b: travel[i][j] for j, b in enumerate(places) if i != j} for i, a in enumerate(places)}

    def _constraints(self, rng: Random) -> str:
        forms, watch = self.phrases.meeting, self.phrases.watch
        places, people = self._places, self._people
        window, minimum = forms.windows[0], forms.minimums[0]
        if not self.short:
            window, minimum = rng.choice(forms.windows), rng.choice(forms.minimums)
        sentences = [forms.arrive.format(place=places[0], time=watch(DAY_STARTS))]
        for j, friend in enumerate(self.puzzle.friends):
            opens, closes = watch(friend.opens), watch(friend.closes)
            sentences.append(window.format(person=people[j], place=places[j + 1], opens=opens, closes=closes))
            sentences.append(minimum.format(person=people[j], minutes=friend.minutes))
        return self.phrases.sentence_gap.join(sentences)
