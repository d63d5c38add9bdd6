"""Meeting planning: walk through a town and meet as many friends as possible.

Times are minutes after midnight. Place 0 is where the day starts, friend j waits at place j + 1. Meetings
start as early as the walk allows: starting later never helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from data_synth.tasks.scheduling.entities import PEOPLE, TOWNS
from data_synth.tasks.scheduling.fingerprint import structure_hash
from data_synth.tasks.scheduling.puzzle import Solved
from data_synth.tasks.scheduling.recipe import DAY_STARTS, LAST_WINDOW_ENDS, MeetingLevel

NEVER = -1


@dataclass(frozen=True, slots=True)
class Friend:
    """A friend who can be met for ``minutes`` within ``opens`` to ``closes``."""

    opens: int
    closes: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Stage 1: the town, its places (the start first), the friends' names, the travel times."""

    town: int
    places: tuple[int, ...]
    people: tuple[int, ...]
    travel: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Friends in the order of meeting them."""

    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting puzzle."""

    problem: Problem
    friends: tuple[Friend, ...]
    meet_all: bool
    unique_order: bool

    @property
    def size(self) -> int:
        """Friends."""
        return len(self.friends)

    def contradiction(self) -> str | None:
        """Nobody can be met for longer than they are there."""
        for friend in self.friends:
            if friend.closes - friend.opens < friend.minutes:
                return "a friend's window is shorter than the meeting"
        return None

    def fingerprint(self) -> str:
        """Windows, lengths and travel times, without names and order of friends."""
        nodes: list[object] = ["start"]
        nodes += [(friend.opens, friend.closes, friend.minutes) for friend in self.friends]
        return structure_hash("meeting", [DAY_STARTS], nodes, self.problem.travel)

    def solve(self) -> Solved:
        """Prove the largest number of friends, and that one set of friends alone reaches it.

        The plan is that set's order with the earliest end, the first in lexicographic order among equals.
        With ``unique_order`` only one order may reach the number at all.
        """
        search = _Search(self)
        sets = search.best_sets()
        met = sets[0].bit_count()
        if met == 0 or (self.meet_all and met < len(self.friends)):
            return Solved(0, {}, search.name, search.nodes, None)
        if len(sets) > 1:
            return Solved(2, {"num_met": met}, search.name, search.nodes, None)
        if self.unique_order and not search.has_one_order(sets[0], LAST_WINDOW_ENDS):
            return Solved(2, {"num_met": met}, search.name, search.nodes, None)
        order, ends = search.canonical_order(sets[0])
        return Solved(1, {"num_met": met, "ends": ends}, search.name, search.nodes, Route(order))


class _Search:
    """Dynamic programme over (set of friends met, last friend).

    Forward it keeps the earliest end, backward the latest end from which the rest can still be met; the two
    together walk over all optimal orders and no others.
    """

    name = "subset_dynamic_programme"

    def __init__(self, puzzle: Meeting) -> None:
        self.friends = puzzle.friends
        self.travel = puzzle.problem.travel
        self.nodes = 0
        self._latest: dict[tuple[int, int], int] = {}
        self._target = 0
        self._deadline = 0
        self._ends: dict[tuple[int, int], int] = {}

    def best_sets(self) -> list[int]:
        """All sets (bit masks) of the largest size that can be met, found by earliest ends forward."""
        layer: dict[tuple[int, int], int] = {(0, -1): DAY_STARTS}
        while True:
            self.nodes += len(layer)
            following: dict[tuple[int, int], int] = {}
            for (met, last), time in layer.items():
                legs = self.travel[last + 1]
                for j, friend in enumerate(self.friends):
                    if met >> j & 1:
                        continue
                    end = max(time + legs[j + 1], friend.opens) + friend.minutes
                    key = (met | 1 << j, j)
                    if end <= friend.closes and end < following.get(key, end + 1):
                        following[key] = end
            if not following:
                self._ends = layer
                return sorted({met for met, _ in layer})
            layer = following

    def has_one_order(self, target: int, deadline: int) -> bool:
        """Whether just one order meets ``target`` by ``deadline``."""
        self._aim(target, deadline)
        orders = self._orders((), 0, DAY_STARTS)
        next(orders)
        return next(orders, None) is None

    def canonical_order(self, target: int) -> tuple[tuple[int, ...], int]:
        """The lexicographically first of the orders with the earliest end, and that end."""
        ends = min(end for (met, _), end in self._ends.items() if met == target)
        self._aim(target, ends)
        return next(self._orders((), 0, DAY_STARTS)), ends

    def _aim(self, target: int, deadline: int) -> None:
        self._target, self._deadline = target, deadline
        self._latest.clear()

    def _orders(self, order: tuple[int, ...], met: int, time: int) -> Iterator[tuple[int, ...]]:
        if met == self._target:
            yield order
            return
        last = order[-1] if order else -1
        for j, friend in enumerate(self.friends):
            if not (self._target & ~met) >> j & 1:
                continue
            end = max(time + self.travel[last + 1][j + 1], friend.opens) + friend.minutes
            if end <= self._latest_end(met | 1 << j, j):
                yield from self._orders((*order, j), met | 1 << j, end)

    def _latest_end(self, met: int, last: int) -> int:
        """The latest end of the meeting with ``last`` from which the rest of the target can be met."""
        key = (met, last)
        if key not in self._latest:
            self.nodes += 1
            closes = self.friends[last].closes
            if met == self._target:
                self._latest[key] = min(closes, self._deadline)
            else:
                reach = max(self._latest_departure(met, last, j) for j in self._missing(met))
                self._latest[key] = min(closes, reach)
        return self._latest[key]

    def _latest_departure(self, met: int, last: int, j: int) -> int:
        friend = self.friends[j]
        start = self._latest_end(met | 1 << j, j) - friend.minutes
        return start - self.travel[last + 1][j + 1] if start >= friend.opens else NEVER

    def _missing(self, met: int) -> Iterator[int]:
        return (j for j in range(len(self.friends)) if (self._target & ~met) >> j & 1)


class MeetingPuzzle:
    """Draws meeting puzzles of one difficulty."""

    def __init__(self, level: MeetingLevel) -> None:
        self.level = level

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most friends."""
        return self.level.num_friends

    def construct(self, size: int, rng: Random) -> Problem:
        """Stage 1: a town, a start, a place for every friend, the walking times between them."""
        town = rng.randrange(len(TOWNS))
        places = tuple(rng.sample(range(len(TOWNS[town].places)), size + 1))
        travel = tuple(tuple(self._minutes(town, a, b) for b in places) for a in places)
        return Problem(town, places, tuple(rng.sample(range(len(PEOPLE)), size)), travel)

    def fix_goal(self, problem: Problem, rng: Random) -> None:
        """Stage 2: none; the windows are drawn freely."""

    def constrain(self, problem: Problem, goal: None, rng: Random) -> Meeting:
        """Stage 3: a window and a length for every friend."""
        friends = tuple(self._friend(rng) for _ in problem.people)
        return Meeting(problem, friends, self.level.meet_all, self.level.unique_order)

    def _friend(self, rng: Random) -> Friend:
        step = self.level.step_minutes
        opens, window, minutes = (
            step * rng.randint(-(-low // step), high // step)
            for low, high in (self.level.window_opens, self.level.window_minutes, self.level.meeting_minutes)
        )
        return Friend(opens, min(opens + window, LAST_WINDOW_ENDS), minutes)

    def _minutes(self, town: int, a: int, b: int) -> int:
        there, back = TOWNS[town].walking_minutes(a, b), TOWNS[town].walking_minutes(b, a)
        minutes = max(there, back) if self.level.symmetric_travel else there
        step = self.level.travel_step_minutes
        return -(-minutes // step) * step
