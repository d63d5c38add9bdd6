"""NaturalPlan's verdicts against a literal restatement of the official rules, and on hostile text."""

import re
import time
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.benchmarks._meeting_walk import MeetingGold, score_meeting
from evaluation.benchmarks.natural_plan import CalendarGold, TripGold, score_calendar, score_trip


def naive_calendar(gold, answer):
    def read(text):
        found = re.findall("[A-Za-z]+, [0-9]+:[0-9]+ - [0-9]+:[0-9]+", text)
        if not found:
            return ("", -1, -1)
        day, hours = found[0].split(", ")
        return (day, *(float(t.split(":")[0]) + (t.split(":")[1] == "30") / 2 for t in hours.split(" - ")))

    return int(read(answer) == read(gold["golden_plan"]))


def naive_trip(gold, answer):
    total, visits, flights = None, [], []
    try:
        for line in answer.split("\n"):
            for number in re.findall(r"European cities for (\d+) days", line)[:1]:
                total = int(number)
            here = re.findall(r"\d+-\d+", line)
            if here:
                visits.append(here[0].split("-")[1])
                if int(visits[-1]) == total:
                    break
            flights += re.findall(r".*Day (\d+).*from (\w+) to (\w+)", line)[:1]
        if not visits or not flights:
            return 0
        cities = [flights[0][1]] + [f[2] for f in flights]
        borders = [1] + [int(f[0]) for f in flights] + [int(visits[-1])]
    except ValueError:
        return 0
    plan = [(c, b - a + 1) for c, a, b in zip(cities, borders[:-1], borders[1:], strict=True)]
    names = [c for c in gold["cities"].split("**") if c]
    wanted = list(zip(names, (int(d) for d in gold["durations"].split("**") if d), strict=True))
    return int(plan[: len(wanted)] == wanted)


def naive_meeting(gold, answer):
    def clock(text):
        return datetime.strptime(text, "%I:%M%p")

    def met(steps):
        place, now = gold["constraints"][0][0], clock(gold["constraints"][0][1])
        people = {name: rest for name, *rest in gold["constraints"][1:]}
        seen = []
        score = 0
        for step in steps:
            try:
                if step.startswith("You start"):
                    pass
                elif step.startswith("You travel"):
                    target = step.split("travel to ")[1].split(" in")[0].strip()
                    now += timedelta(minutes=gold["dist_matrix"][place][target])
                    place = target
                elif step.startswith("You wait"):
                    until = clock(step.split("wait until ")[1].split(".")[0].strip())
                    if until <= now:
                        return score
                    now = until
                elif step.startswith("You meet"):
                    name = step.split("meet ")[1].split(" for")[0].strip()
                    if name in seen:
                        return score
                    seen.append(name)
                    where, times, minutes = people[name]
                    opens, closes = (clock(part.strip()) for part in times.split("to")[:2])
                    end = now + timedelta(minutes=minutes)
                    if not (place == where and now >= opens and end <= closes):
                        return score
                    now, score = end, score + 1
                else:
                    return score
            except ValueError:
                return score
        return score

    text = answer.split("SOLUTION:", 1)[-1]
    try:
        return int(met([s.strip() for s in text.split(".") if s.strip()]) == met(gold["golden_plan"]))
    except (KeyError, IndexError, OverflowError):
        return 0


CALENDAR = {
    "golden_plan": "Here is the proposed time: Monday, 14:30 - 15:30 ",
    "num_people": 2,
    "num_days": 1,
}
TRIP = {"cities": "Oslo**Riga**Rome", "durations": "3**4**2**"}
TRIP_ANSWER = """Here is the trip plan for visiting the 3 European cities for 7 days:

**Day 1-3:** Arriving in Oslo and visit Oslo for 3 days.
**Day 3:** Fly from Oslo to Riga.
**Day 3-6:** Visit Riga for 4 days.
**Day 6:** Fly from Riga to Rome.
**Day 6-7:** Visit Rome for 2 days."""
MEETING = {
    "constraints": [
        ["Old Pier", "9:00AM"],
        ["Ann", "North Hill", "9:30AM to 11:00AM", 60],
        ["Bo", "Inn Lane", "11:15AM to 1:00PM", 45],
    ],
    "dist_matrix": {
        "Old Pier": {"North Hill": 20, "Inn Lane": 5},
        "North Hill": {"Inn Lane": 15, "Old Pier": 20},
        "Inn Lane": {"North Hill": 16, "Old Pier": 6},
    },
    "golden_plan": [
        "You start at Old Pier at 9:00AM.",
        "You travel to North Hill in 20 minutes and arrive at 9:20AM.",
        "You wait until 9:30AM.",
        "You meet Ann for 60 minutes from 9:30AM to 10:30AM.",
        "You travel to Inn Lane in 15 minutes and arrive at 10:45AM.",
        "You wait until 11:15AM.",
        "You meet Bo for 45 minutes from 11:15AM to 12:00PM.",
    ],
}
MEETING_ANSWER = "SOLUTION:" + " ".join(MEETING["golden_plan"])

RULES = {
    "calendar": (CALENDAR, CalendarGold, score_calendar, naive_calendar, CALENDAR["golden_plan"]),
    "trip": (TRIP, TripGold, score_trip, naive_trip, TRIP_ANSWER),
    "meeting": (MEETING, MeetingGold, score_meeting, naive_meeting, MEETING_ANSWER),
}


def verdict(subtask, answer):
    fields, schema, score, naive, _ = RULES[subtask]
    ours = score(schema.model_validate(fields), answer)
    assert ours.reason and "\n" not in ours.reason and len(ours.reason) < 500
    assert ours.score == naive(fields, answer), (answer, ours)
    return ours


def lines(*kept):
    return "\n".join(line for i, line in enumerate(TRIP_ANSWER.split("\n")) if i in kept)


MONDAY = "Monday, 14:30 - 15:30"
CASES = [
    ("calendar", MONDAY, 1, "as in the gold"),
    ("calendar", f"I think {MONDAY} or Tuesday, 9:00 - 10:00", 1, "as in the gold"),
    ("calendar", f"Tuesday, 9:00 - 10:00, no: {MONDAY}", 0, "Tuesday, 9:00 - 10:00"),
    ("calendar", "Monday, 014:30 - 0015:30", 1, "as in the gold"),
    ("calendar", "Monday, 14:3 - 15:30", 0, "14:3 "),
    ("calendar", "Monday, 14:30 - 15:300", 0, "15:300"),
    ("calendar", "xMonday, 14:30 - 15:30", 0, "xMonday"),
    ("calendar", "Monday,14:30 - 15:30", 0, "no 'Day, H:MM - H:MM'"),
    ("calendar", "Monday, 14:30-15:30", 0, "no 'Day, H:MM - H:MM'"),
    ("calendar", "monday, 14:30 - 15:30", 0, "monday"),
    ("calendar", "", 0, "no 'Day, H:MM - H:MM'"),
    ("trip", TRIP_ANSWER, 1, "all 3 stays"),
    ("trip", TRIP_ANSWER + "\n**Day 7:** Fly from Rome to Bonn.\n**Day 7-9:** Bonn", 1, "all 3 stays"),
    ("trip", TRIP_ANSWER.replace("Rome", "Bonn"), 0, '"Bonn" for 2 days'),
    ("trip", TRIP_ANSWER.replace("Day 6:", "Day 5:"), 0, "for 3 days"),
    ("trip", TRIP_ANSWER.replace("Rome", "New Rome"), 0, '"New" for 2 days'),
    ("trip", lines(0, 2, 3, 4), 0, "ends after 2 of 3"),
    ("trip", lines(0, 2, 3, 4, 5), 0, '"Rome" for 1 days'),
    ("trip", lines(3, 5), 0, "no visit"),
    ("trip", lines(2, 4, 6), 0, "no visit"),
    ("trip", TRIP_ANSWER.replace("7 days", "8 days") + "\nDay 7: from Rome to Bonn\nDay 7-8", 1, "all 3"),
    ("trip", TRIP_ANSWER.replace("Day 3:", "Day 9 or Day 3:"), 1, "all 3 stays"),
    ("trip", TRIP_ANSWER.replace("Day 3:", "Day " + "3" * 5000), 0, "too many digits"),
    ("trip", TRIP_ANSWER.replace("3-6", "3-6 1-" + "9" * 5000), 1, "all 3 stays"),
    ("trip", "", 0, "no visit"),
    ("meeting", MEETING_ANSWER, 1, "meets 2, the gold 2"),
    ("meeting", "reasons. SOLUTION:" + MEETING_ANSWER, 0, "no known kind of step"),
    ("meeting", MEETING_ANSWER + " That is all. You meet Ann.", 1, "no known kind of step"),
    ("meeting", MEETING_ANSWER.replace("You wait until 9:30AM. ", ""), 0, "09:20 to 10:20"),
    ("meeting", MEETING_ANSWER.replace("9:30AM.", "9:20AM."), 0, "it is 09:20 already"),
    ("meeting", MEETING_ANSWER.replace("9:30AM.", "noon."), 0, "no time of day"),
    ("meeting", MEETING_ANSWER.replace("in 20 minutes", "in no time"), 1, "meets 2"),
    ("meeting", MEETING_ANSWER.replace("Inn Lane in", "Bakery in"), 0, 'unknown place or person "Bakery"'),
    ("meeting", MEETING_ANSWER.replace("meet Bo", "meet Cy"), 0, 'unknown place or person "Cy"'),
    ("meeting", MEETING_ANSWER + " You meet Cy.", 0, "unknown place or person"),
    ("meeting", MEETING_ANSWER + " You meet", 0, "no place, time or person"),
    ("meeting", MEETING_ANSWER + " You travel onwards", 0, "no place, time or person"),
    ("meeting", MEETING_ANSWER + " You meet Ann for 5 minutes", 1, "met before"),
    ("meeting", MEETING_ANSWER.replace("You travel to North Hill", "You start at North Hill"), 0, "is at"),
    ("meeting", "", 0, "meets 0, the gold 2"),
]


@pytest.mark.parametrize(("subtask", "answer", "score", "reason"), CASES)
def test_verdicts_and_reasons(subtask, answer, score, reason):
    got = verdict(subtask, answer)
    assert got.score == score
    assert reason in got.reason


def test_meeting_fewer_people_than_exist_is_right_when_the_gold_meets_as_many():
    gold = {**MEETING, "golden_plan": MEETING["golden_plan"][:4]}
    assert score_meeting(MeetingGold.model_validate(gold), " ".join(MEETING["golden_plan"][:4])).score == 1
    assert score_meeting(MeetingGold.model_validate(gold), MEETING_ANSWER).score == 0


def test_meeting_gold_that_cannot_be_walked_scores_zero():
    gold = MeetingGold.model_validate({**MEETING, "golden_plan": ["You meet Cy"]})
    assert score_meeting(gold, "").reason.startswith("the gold plan can't be walked at step 1")


def test_meeting_gold_may_be_one_text():
    gold = MeetingGold.model_validate({**MEETING, "golden_plan": MEETING_ANSWER})
    assert score_meeting(gold, MEETING_ANSWER).score == 1


SHREDS = [
    *"0123 -:.,\n*",
    "30",
    "Day ",
    "Day 3",
    "-",
    "3-6",
    "from ",
    " to ",
    "from Riga to Rome",
    "to",
    "Monday, ",
    ", 14:30 - 15:30",
    "European cities for 7 days",
    "SOLUTION:",
    "You meet ",
    "You wait until ",
    "You travel to ",
    "You start",
    "11:15AM",
    "12:61PM",
    "Ann",
    "Bo",
    " for",
    " in",
    "North Hill",
    "Old Pier",
    "meet ",
    "٣",
    "é",
    "\r",
    "\u2028",
    "\ud800",
]


@st.composite
def mutated(draw, answer):
    """The right answer after some insertions, deletions, duplications and swaps of pieces."""
    pieces = re.split(r"(?<=[\n. :])", answer)
    for _ in range(draw(st.integers(0, 6))):
        at, to = (draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
        action = draw(st.sampled_from(["insert", "drop", "copy", "swap", "cut"]))
        if action == "insert":
            pieces.insert(at, draw(st.sampled_from(SHREDS)))
        elif action == "drop" and len(pieces) > 1:
            pieces.pop(at)
        elif action == "copy":
            pieces.insert(to, pieces[at])
        elif action == "swap":
            pieces[at], pieces[to] = pieces[to], pieces[at]
        else:
            pieces[at] = pieces[at][: draw(st.integers(0, len(pieces[at])))]
    return "".join(pieces)


ANY_TEXT = st.one_of(st.text(), st.lists(st.sampled_from(SHREDS), max_size=30).map("".join))


@pytest.mark.parametrize("subtask", RULES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_same_verdict_as_the_official_rules(subtask, data):
    verdict(subtask, data.draw(st.one_of(ANY_TEXT, mutated(RULES[subtask][-1]))))


HOSTILE = [
    "a",
    "1",
    "1-",
    "Day 1",
    "Day 1 from ",
    "from a",
    "from a to ",
    "Day 1 from a to",
    "from from to ",
    "Monday, ",
    "a, 1",
    "a, 1:1 - 1",
    "European cities for 1",
    "You start.",
    "You wait until 1",
    "You meet ",
    "You travel to Old Pier.",
    "\n",
    ".",
    " ",
    "\ud800",
    "[" * 10,
]


@pytest.mark.parametrize("shred", HOSTILE)
@pytest.mark.parametrize("subtask", RULES)
def test_a_hundred_kilobytes_of_anything_take_under_two_seconds(subtask, shred):
    fields, schema, score, *_ = RULES[subtask]
    gold = schema.model_validate(fields)
    started = time.process_time()
    for answer in (shred * (100_000 // len(shred)), MEETING_ANSWER + shred * (100_000 // len(shred))):
        assert score(gold, answer).reason
    assert time.process_time() - started < 2
