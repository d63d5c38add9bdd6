"""Trip planning: an order of cities along direct flights, with stays and events on given days.

Days are numbered from 1. A day of flight counts for both cities, so that a stay of ``d`` days that begins on
day ``s`` ends on ``s + d - 1``, when the next one begins. Every city is visited once, in one stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from data_synth.tasks.scheduling.entities import CITIES, flights
from data_synth.tasks.scheduling.fingerprint import structure_hash
from data_synth.tasks.scheduling.puzzle import Solved
from data_synth.tasks.scheduling.recipe import TripLevel

ROUTE_TRIES = 200


@dataclass(frozen=True, slots=True)
class Event:
    """A whole stay in ``city`` (position) is taken by an event from ``first_day`` to ``last_day``."""

    city: int
    first_day: int
    last_day: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Stage 1: the cities, the days in each; ``route`` is an order along existing flights."""

    cities: tuple[int, ...]
    stays: tuple[int, ...]
    route: tuple[int, ...]

    @property
    def total_days(self) -> int:
        """Days of the whole trip; days of flight count once."""
        return sum(self.stays) - len(self.stays) + 1


@dataclass(frozen=True, slots=True)
class Route:
    """Positions of the cities in the order of visiting them."""

    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trip:
    """A trip puzzle; ``legs[a]`` is the mask of the cities with a direct flight from a."""

    problem: Problem
    legs: tuple[int, ...]
    events: tuple[Event, ...]

    @property
    def size(self) -> int:
        """Cities."""
        return len(self.legs)

    def contradiction(self) -> str | None:
        """Events must lie within the trip, and no two may share more than a day of flight."""
        events = sorted(self.events, key=lambda event: event.first_day)
        for event in events:
            if event.last_day > self.problem.total_days:
                return "an event ends after the trip"
        for event, following in pairwise(events):
            if following.first_day < event.last_day:
                return "two events in different cities overlap"
        return None

    def fingerprint(self) -> str:
        """Stays, events and flights, without names and order of cities."""
        windows = {event.city: (event.first_day, event.last_day) for event in self.events}
        nodes = [(stay, windows.get(city)) for city, stay in enumerate(self.problem.stays)]
        edges = [[mask >> j & 1 for j in range(len(nodes))] for mask in self.legs]
        return structure_hash("trip", [], nodes, edges)

    def solve(self) -> Solved:
        """Search all Hamiltonian paths, cut where an event or a city without a way out is missed."""
        search = _Search(self)
        found = []
        for order in search.orders():
            found.append(order)
            if len(found) == 2:
                break
        plan = Route(found[0]) if len(found) == 1 else None
        return Solved(len(found), {}, "hamiltonian_path_search", search.nodes, plan)


class _Search:
    """Depth-first over orders of cities; the day follows from the cities visited so far."""

    def __init__(self, puzzle: Trip) -> None:
        self.stays, self.legs = puzzle.problem.stays, puzzle.legs
        self.num = len(self.stays)
        self.everything = (1 << self.num) - 1
        self.starts = {event.city: event.first_day for event in puzzle.events}
        self.ways_in = [sum((self.legs[a] >> b & 1) << a for a in range(self.num)) for b in range(self.num)]
        self.nodes = 0

    def orders(self) -> Iterator[tuple[int, ...]]:
        """Every solution, in lexicographic order."""
        for city in range(self.num):
            yield from self._extend((city,), 1 << city, 1)

    def _extend(self, order: tuple[int, ...], visited: int, day: int) -> Iterator[tuple[int, ...]]:
        self.nodes += 1
        city = order[-1]
        if self.starts.get(city, day) != day:
            return
        if visited == self.everything:
            yield order
            return
        ends = day + self.stays[city] - 1
        if not self._alive(city, visited, ends):
            return
        onward = self.legs[city] & ~visited
        while onward:
            lowest = onward & -onward
            onward ^= lowest
            following = lowest.bit_length() - 1
            yield from self._extend((*order, following), visited | lowest, ends)

    def _alive(self, city: int, visited: int, day: int) -> bool:
        """No event ahead is missed, and every city ahead can be entered from a city ahead or from here."""
        ahead = self.everything & ~visited
        sources = ahead | 1 << city
        for missed, start in self.starts.items():
            if ahead >> missed & 1 and start < day:
                return False
        return all(self.ways_in[b] & sources for b in range(self.num) if ahead >> b & 1)


class TripPuzzle:
    """Draws trip puzzles of one difficulty."""

    def __init__(self, level: TripLevel) -> None:
        self.level = level

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most cities."""
        return self.level.num_cities

    def construct(self, size: int, rng: Random) -> Problem:
        """Stage 1: cities along a random walk over the flight graph, then shuffled; days in each."""
        walk = _random_walk(size, rng)
        positions = rng.sample(range(size), size)
        cities = [0] * size
        for city, position in zip(walk, positions, strict=True):
            cities[position] = city
        stays = tuple(rng.randint(*self.level.stay_days) for _ in cities)
        return Problem(tuple(cities), stays, tuple(positions))

    def fix_goal(self, problem: Problem, rng: Random) -> Route:
        """Stage 2: the walk is a solution."""
        return Route(problem.route)

    def constrain(self, problem: Problem, goal: Route, rng: Random) -> Trip:
        """Stage 3: which other flights exist, and events on the days of the goal, some on any days."""
        return Trip(problem, self._flights(problem, goal, rng), self._events(problem, goal, rng))

    def _flights(self, problem: Problem, goal: Route, rng: Random) -> tuple[int, ...]:
        legs = [0] * len(problem.cities)
        hops = set(pairwise(goal.order))
        for a, city in enumerate(problem.cities):
            for b in range(a + 1, len(problem.cities)):
                hop = (a, b) if (a, b) in hops else (b, a) if (b, a) in hops else None
                linked = problem.cities[b] in flights()[city] and rng.random() < self.level.flight_share
                if hop is None and not linked:
                    continue
                one_way = rng.random() < self.level.one_way_share
                start, end = hop or ((a, b) if rng.random() < 0.5 else (b, a))
                legs[start] |= 1 << end
                if not one_way:
                    legs[end] |= 1 << start
        return tuple(legs)

    def _events(self, problem: Problem, goal: Route, rng: Random) -> tuple[Event, ...]:
        first_day, day = {}, 1
        for city in goal.order:
            first_day[city] = day
            day += problem.stays[city] - 1
        events = []
        num_events = min(rng.randint(*self.level.num_events), len(problem.cities))
        for city in rng.sample(range(len(problem.cities)), num_events):
            start = first_day[city]
            if rng.random() < self.level.free_event_share:
                start = rng.randint(1, problem.total_days)
            events.append(Event(city, start, start + problem.stays[city] - 1))
        return tuple(events)


def _random_walk(num_cities: int, rng: Random) -> list[int]:
    """Distinct cities, each with a flight to the next; dead ends start again."""
    for _ in range(ROUTE_TRIES):
        walk = [rng.randrange(len(CITIES))]
        while len(walk) < num_cities:
            onward = sorted(flights()[walk[-1]].difference(walk))
            if not onward:
                break
            walk.append(rng.choice(onward))
        else:
            return walk
    raise RuntimeError(f"no walk over {num_cities} cities in {ROUTE_TRIES} tries: the flight graph is broken")
