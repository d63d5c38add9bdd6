"""Naive twins of the scheduling solvers, written from the rules, on the named instance in a row's gold."""

from functools import partial
from itertools import pairwise, permutations

import task_rows

make_task = partial(task_rows.make_task, "scheduling")


def calendar_solutions(instance: dict) -> list[tuple[str, int]]:
    """Every (day, start) at which all are free, minute by minute."""
    opens, closes = instance["work_hours"]
    found = []
    for day in instance["days"]:
        for start in range(opens, closes - instance["meeting_minutes"] + 1, instance["slot_minutes"]):
            minutes = range(start, start + instance["meeting_minutes"])
            taken = any(
                minute in range(*interval)
                for days in instance["busy"].values()
                for interval in days.get(day, [])
                for minute in minutes
            )
            for wish in instance["preferences"]:
                if wish["day"] == day:
                    taken |= wish["kind"] == "all_day"
                    taken |= wish["kind"] == "before" and any(m < wish["minute"] for m in minutes)
                    taken |= wish["kind"] == "after" and any(m >= wish["minute"] for m in minutes)
            if not taken:
                found.append((day, start))
    return found[:1] if instance["earliest"] else found


def meeting_walk(start: int, travel: list, friends: list, order: tuple) -> int | None:
    """When the walk in this order ends; None if a friend is missed."""
    place, minute = 0, start
    for friend in order:
        opens, closes, length = friends[friend]
        minute = max(minute + travel[place][friend + 1], opens) + length
        if minute > closes:
            return None
        place = friend + 1
    return minute


def meeting_optima(start: int, travel: list, friends: list) -> list[tuple[int, tuple]]:
    """(end, order) of every walk that meets the most friends, the earliest end first."""
    for size in range(len(friends), 0, -1):
        walks = [
            (meeting_walk(start, travel, friends, o), o) for o in permutations(range(len(friends)), size)
        ]
        feasible = sorted((end, order) for end, order in walks if end is not None)
        if feasible:
            return feasible
    return []


def trip_solutions(stays: tuple, flights: set, events: list) -> list[tuple]:
    """Every order of cities along flights that keeps the events' days."""
    found = []
    for order in permutations(range(len(stays))):
        day, days = 1, {}
        for city in order:
            days[city] = range(day, day + stays[city])
            day += stays[city] - 1
        along = all(leg in flights for leg in pairwise(order))
        kept = all(d in days[city] for city, first, last in events for d in range(first, last + 1))
        if along and kept:
            found.append(order)
    return found
