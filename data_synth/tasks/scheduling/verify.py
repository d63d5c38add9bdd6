"""Does a text solve a scheduling puzzle? Checked against the puzzle's constraints, not against the gold text.

``verify`` is pure and raises nothing, whatever the text; rewards may call it as it is. It reads the plain
answer and the tagged one, English and Chinese. It is stricter than NaturalPlan's scorer: every time, day and
length a plan states must be true.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

ANSWER_OPENS, ANSWER_CLOSES, THOUGHT_CLOSES = "<answer>", "</answer>", "</think>"
PREFIXES = ("SOLUTION:", "答案：")

# Possessive runs behind a look-behind match what `[A-Za-z]+\s*,` matches first, without rescans.
CALENDAR_TIME = re.compile(
    r"((?<![A-Za-z])[A-Za-z]++|星期[一二三四五六日])\s*+[,，]\s*+"
    r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})(?![0-9])"
)
CLOCK = r"[0-9]{1,2}:[0-9]{2}(?:AM|PM)?"
TIME = rf"(?P<time>{CLOCK})"
MEETING_STEPS = {
    "start": (rf"You start at (?P<place>.+) at {TIME}", rf"你{TIME}从(?P<place>.+)出发"),
    "travel": (
        rf"You travel to (?P<place>.+) in (?P<minutes>[0-9]{{1,4}}) minutes and arrive at {TIME}",
        rf"你前往(?P<place>.+)，用时(?P<minutes>[0-9]{{1,4}})分钟，{TIME}到达",
    ),
    "wait": (rf"You wait until {TIME}", rf"你等到{TIME}"),
    "meet": (
        rf"You meet (?P<person>.+) for (?P<minutes>[0-9]{{1,4}}) minutes from {TIME} to (?P<ends>{CLOCK})",
        rf"你与(?P<person>.+)会面(?P<minutes>[0-9]{{1,4}})分钟，从{TIME}到(?P<ends>{CLOCK})",
    ),
}
TRIP_VISITS = (
    r"Day (?P<first>[0-9]{1,4})-(?P<last>[0-9]{1,4}): (?:Arriving in \w+ and visit|Visit) "
    r"(?P<city>\w+) for (?P<days>[0-9]{1,4}) days\.?",
    r"第(?P<first>[0-9]{1,4})-(?P<last>[0-9]{1,4})天：(?:抵达[^，]+，)?"
    r"游览(?P<city>[^0-9]+)(?P<days>[0-9]{1,4})天。?",
)
TRIP_FLIGHTS = (
    r"Day (?P<day>[0-9]{1,4}): Fly from (?P<start>\w+) to (?P<end>\w+)\.?",
    r"第(?P<day>[0-9]{1,4})天：从(?P<start>.+)飞往(?P<end>[^。]{1,80})。?",
)


def verify(gold: dict[str, Any], text: str) -> tuple[bool, str]:
    """Whether ``text`` solves the puzzle of a row.

    Args:
        gold: the row's ``gold``.
        text: what a model said, without the prompt.

    Returns:
        the verdict, and the first thing that is wrong ("ok" if nothing is).
    """
    answer = _answer_of(text)
    if answer is None:
        return False, f"{ANSWER_OPENS} without {ANSWER_CLOSES}"
    check = {"calendar": _check_calendar, "meeting": _check_meeting, "trip": _check_trip}[gold["subtask"]]
    wrong = check(gold["instance"], answer)
    return wrong is None, wrong or "ok"


def verify_row(row: dict[str, Any]) -> tuple[bool, str]:
    """Whether the assistant's message of a row solves the row's own puzzle; the verdict and what is wrong."""
    answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    if len(answers) != 1:
        return False, f"{len(answers)} assistant messages"
    return verify(row["gold"], answers[0])


def _answer_of(text: str) -> str | None:
    if ANSWER_OPENS in text:
        answer, closed, _ = text.rpartition(ANSWER_OPENS)[2].partition(ANSWER_CLOSES)
        return answer if closed else None
    answer = text.rpartition(THOUGHT_CLOSES)[2].strip()
    for prefix in PREFIXES:
        answer = answer.removeprefix(prefix)
    return answer


def _check_calendar(instance: dict[str, Any], answer: str) -> str | None:
    found = CALENDAR_TIME.search(answer)
    if found is None:
        return "no time of the form DAY, H:MM - H:MM"
    day = found[1]
    starts, ends = int(found[2]) * 60 + int(found[3]), int(found[4]) * 60 + int(found[5])
    if day not in instance["days"]:
        return f"{day} is not among the days"
    if ends - starts != instance["meeting_minutes"]:
        return f"the meeting takes {instance['meeting_minutes']} minutes"
    wrong = _conflict(instance, day, starts)
    if wrong is not None or not instance["earliest"]:
        return wrong
    opens, closes = instance["work_hours"]
    for earlier_day in instance["days"]:
        for minute in range(opens, closes, instance["slot_minutes"]):
            if (earlier_day, minute) == (day, starts):
                return None
            if _conflict(instance, earlier_day, minute) is None:
                return "an earlier time suits everyone"
    return "not on the grid of slots"


def _conflict(instance: dict[str, Any], day: str, starts: int) -> str | None:
    """What rules out a meeting at ``starts`` minutes after midnight."""
    ends = starts + instance["meeting_minutes"]
    if starts < instance["work_hours"][0] or ends > instance["work_hours"][1]:
        return "outside the work hours"
    for person, days in instance["busy"].items():
        if any(starts < busy_ends and busy_starts < ends for busy_starts, busy_ends in days.get(day, ())):
            return f"{person} is busy then"
    for wish in instance["preferences"]:
        violated = {
            "before": starts < wish["minute"],
            "after": ends > wish["minute"],
            "all_day": True,
        }[wish["kind"]]
        if day == wish["day"] and violated:
            return f"{wish['person']} does not want to meet then"
    return None


def _check_meeting(instance: dict[str, Any], answer: str) -> str | None:
    steps = [step.strip() for step in re.split(r"[.。]", answer)]
    walk = _Walk(instance)
    for step in filter(None, steps):
        wrong = walk.take(step)
        if wrong is not None:
            return f"{wrong}: {step[:80]}"
    if len(walk.met) < instance["num_met"]:
        return f"meets {len(walk.met)} friends where {instance['num_met']} are possible"
    return None


class _Walk:
    """Follows a meeting plan step by step."""

    def __init__(self, instance: dict[str, Any]) -> None:
        self.travel: dict[str, dict[str, int]] = instance["travel"]
        self.start: dict[str, Any] = instance["start"]
        self.friends = {friend["name"]: friend for friend in instance["friends"]}
        self.met: set[str] = set()
        self.place: str | None = None
        self.minute = 0

    def take(self, step: str) -> str | None:
        """Take a step; what is wrong with it, None if nothing is."""
        for kind, patterns in MEETING_STEPS.items():
            for pattern in patterns:
                found = re.fullmatch(pattern, step)
                if found is not None:
                    return self._take(kind, found)
        return "unknown step"

    def _take(self, kind: str, found: re.Match[str]) -> str | None:
        said = found.groupdict()
        minute = _minute(said["time"])
        if (self.place is None) != (kind == "start"):
            return "a plan starts once, first of all"
        if kind == "start":
            self.place, self.minute = said["place"], minute
            right = {"place": self.place, "minute": minute} == self.start
            return None if right else "not where and when the day starts"
        if kind == "wait":
            if minute <= self.minute:
                return "waits for a time that has passed"
            self.minute = minute
            return None
        if kind == "travel":
            return self._go(said["place"], int(said["minutes"]), minute)
        return self._meet(said["person"], int(said["minutes"]), minute, _minute(said["ends"]))

    def _go(self, place: str, minutes: int, arrives: int) -> str | None:
        legs = self.travel.get(self.place or "", {})
        if legs.get(place) != minutes:
            return "no such way, or it takes another time"
        self.place, self.minute = place, self.minute + minutes
        return None if arrives == self.minute else "arrives at another time"

    def _meet(self, person: str, minutes: int, starts: int, ends: int) -> str | None:
        friend = self.friends.get(person)
        if friend is None or person in self.met:
            return "nobody to meet, or met before"
        if self.place != friend["place"] or starts != self.minute or ends != starts + minutes:
            return "not there, or not at that time"
        if starts < friend["opens"] or ends > friend["closes"] or minutes < friend["minutes"]:
            return "outside the friend's time, or too short"
        self.met.add(person)
        self.minute = ends
        return None


def _minute(time: str) -> int:
    """Minutes after midnight of 14:30 or 2:30PM; -1 if there is no such time."""
    hours, minutes = int(time.partition(":")[0]), int(time.partition(":")[2][:2])
    if time[-1] == "M":
        if not 1 <= hours <= 12:
            return -1
        hours = hours % 12 + (12 if time.endswith("PM") else 0)
    return hours * 60 + minutes if hours < 24 and minutes < 60 else -1


def _check_trip(instance: dict[str, Any], answer: str) -> str | None:
    stays: list[tuple[str, int, int]] = []
    flights: list[tuple[int, str, str]] = []
    for line in answer.replace("*", "").splitlines():
        visit, flight = _first_match(TRIP_VISITS, line), _first_match(TRIP_FLIGHTS, line)
        if visit is not None:
            first, last, days = (int(visit[key]) for key in ("first", "last", "days"))
            if last - first + 1 != days:
                return f"the days do not add up: {line[:80]}"
            stays.append((visit["city"], first, last))
        elif flight is not None:
            flights.append((int(flight["day"]), flight["start"], flight["end"]))
        elif re.match(r"\s*(Day|第)\s*[0-9]", line):
            return f"unknown step: {line[:80]}"
    return _wrong_stays(instance, stays) or _wrong_flights(instance, stays, flights)


def _first_match(patterns: tuple[str, ...], line: str) -> re.Match[str] | None:
    return next((found for p in patterns if (found := re.fullmatch(p, line.strip()))), None)


def _wrong_stays(instance: dict[str, Any], stays: list[tuple[str, int, int]]) -> str | None:
    if sorted(city for city, _, _ in stays) != sorted(instance["stays"]):
        return "not every city once"
    day = 1
    for city, first, last in stays:
        if first != day:
            return f"the stay in {city} must begin on day {day}"
        if last - first + 1 != instance["stays"][city]:
            return f"{city} wants {instance['stays'][city]} days"
        day = last
    for event in instance["events"]:
        for city, first, last in stays:
            if city == event["city"] and (first > event["first_day"] or last < event["last_day"]):
                return f"misses the event in {city}"
    return None


def _wrong_flights(
    instance: dict[str, Any], stays: list[tuple[str, int, int]], flights: list[tuple[int, str, str]]
) -> str | None:
    needed = [(last, city, following) for (city, _, last), (following, _, _) in pairwise(stays)]
    if flights != needed:
        return "the flights do not connect the stays"
    for _, start, end in flights:
        if [start, end] not in instance["flights"]:
            return f"no direct flight from {start} to {end}"
    return None
