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
    """Dynamic programme over (friends met as a bit mask, place), with the earliest end of each state.

    Backwards it keeps the latest end from which the rest can still be met; the two together walk over all
    optimal orders and no others.
    """

    name = "subset_dynamic_programme"

    def __init__(self, puzzle: Meeting) -> None:
        self.friends = puzzle.friends
        self.travel = puzzle.problem.travel
        self.nodes = 0
        self._detours = _shortest_ways(self.travel)
        self._earliest: dict[tuple[int, int], int] = {}
        self._latest: dict[tuple[int, int], int] = {}
        self._target = 0
        self._deadline = 0

    def best_sets(self) -> list[int]:
        """All sets (bit masks) of the largest size that can be met.

        Sizes are tried from all friends downwards: a state that cannot reach the size is cut, so that large
        sizes are cheap to refute.
        """
        for size in range(len(self.friends), 0, -1):
            layer = {(0, 0): DAY_STARTS}
            self._earliest = {}
            for missing in range(size, 0, -1):
                layer = self._advance(layer, missing)
                self._earliest.update(layer)
            if layer:
                return sorted({met for met, _ in layer})
        return [0]

    def _advance(self, layer: dict[tuple[int, int], int], missing: int) -> dict[tuple[int, int], int]:
        """One more friend for every state from which ``missing`` of them may be met."""
        following: dict[tuple[int, int], int] = {}
        for (met, place), time in layer.items():
            self.nodes += 1
            ahead = [(j, f) for j, f in enumerate(self.friends) if not met >> j & 1]
            ways, legs = self._detours[place], self.travel[place]
            if sum(time + ways[j + 1] + f.minutes <= f.closes for j, f in ahead) < missing:
                continue
            for j, friend in ahead:
                start = time + legs[j + 1]
                end = (start if start > friend.opens else friend.opens) + friend.minutes
                key = (met | 1 << j, j + 1)
                if end <= friend.closes and end < following.get(key, end + 1):
                    following[key] = end
        return following

    def has_one_order(self, target: int, deadline: int) -> bool:
        """Whether just one order meets ``target`` by ``deadline``."""
        self._aim(target, deadline)
        orders = self._orders((), 0, DAY_STARTS)
        next(orders)
        return next(orders, None) is None

    def canonical_order(self, target: int) -> tuple[tuple[int, ...], int]:
        """The lexicographically first of the orders with the earliest end, and that end."""
        ends = min(end for (met, _), end in self._earliest.items() if met == target)
        self._aim(target, ends)
        return next(self._orders((), 0, DAY_STARTS)), ends

    def _aim(self, target: int, deadline: int) -> None:
        self._target, self._deadline = target, deadline
        self._latest.clear()

    def _orders(self, order: tuple[int, ...], met: int, time: int) -> Iterator[tuple[int, ...]]:
        if met == self._target:
            yield order
            return
        legs = self.travel[order[-1] + 1 if order else 0]
        for j in self._missing(met):
            friend = self.friends[j]
            end = max(time + legs[j + 1], friend.opens) + friend.minutes
            if end <= self._latest_end(met | 1 << j, j + 1):
                yield from self._orders((*order, j), met | 1 << j, end)

    def _latest_end(self, met: int, place: int) -> int:
        """The latest end of the meeting at ``place`` from which the rest of the target can be met."""
        key = (met, place)
        if key not in self._latest:
            self.nodes += 1
            if key not in self._earliest or self._earliest[key] > self._deadline:
                self._latest[key] = NEVER
            elif met == self._target:
                self._latest[key] = min(self.friends[place - 1].closes, self._deadline)
            else:
                reach = max(self._latest_departure(met, place, j) for j in self._missing(met))
                self._latest[key] = min(self.friends[place - 1].closes, reach)
        return self._latest[key]

    def _latest_departure(self, met: int, place: int, j: int) -> int:
        friend = self.friends[j]
        start = self._latest_end(met | 1 << j, j + 1) - friend.minutes
        return start - self.travel[place][j + 1] if start >= friend.opens else NEVER

    def _missing(self, met: int) -> list[int]:
        return [j for j in range(len(self.friends)) if (self._target & ~met) >> j & 1]


def _shortest_ways(travel: tuple[tuple[int, ...], ...]) -> list[list[int]]:
    """Shortest times over any places on the way: rounded times may break the triangle inequality."""
    ways = [list(row) for row in travel]
    for via, onward in enumerate(ways):
        for row in ways:
            first = row[via]
            for end, rest in enumerate(onward):
                if first + rest < row[end]:
                    row[end] = first + rest
    return ways


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
