"""The verifier accepts the solution alone, and never raises."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_twins import calendar_solutions, make_task
from task_rows import accepted_rows

from data_synth.tasks.scheduling.verify import verify

ROWS = [
    row
    for difficulty in ("mini", "easy")
    for row in accepted_rows(make_task(f"difficulty={difficulty}", "language=both", "split=all"), 60)
]
GOLDS = [row["gold"] for row in ROWS]


def of(subtask: str) -> list[dict]:
    return [row for row in ROWS if row["subtask"] == subtask]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("subtask", ["calendar", "meeting", "trip"])
def test_gold_answers_pass_plain_and_tagged(subtask, language):
    rows = [row for row in of(subtask) if row["meta"]["language"] == language]
    assert len(rows) >= 15
    for row in rows:
        answer = row["gold"]["answer"]
        for text in (
            answer,
            f"SOLUTION: {answer}",
            f"<think>first {answer[:9]}…</think><answer>{answer}</answer>",
        ):
            assert verify(row["gold"], text) == (True, "ok"), text


def test_of_all_times_only_the_solution_passes():
    for row in of("calendar"):
        instance, solutions = row["gold"]["instance"], []
        for day in instance["days"]:
            for start in range(8 * 60, 18 * 60, 15):
                end = start + instance["meeting_minutes"]
                text = f"{day}, {start // 60}:{start % 60:02d} - {end // 60}:{end % 60:02d}"
                solutions += [(day, start)] if verify(row["gold"], text)[0] else []
        assert solutions == calendar_solutions(instance)
        assert len(solutions) == 1


def clock(minute: int) -> str:
    return f"{(minute // 60 - 1) % 12 + 1}:{minute % 60:02d}{'AM' if minute < 720 else 'PM'}"


def walk(instance: dict, order: tuple) -> str:
    """A plan in NaturalPlan's sentences that meets these friends in this order, in time or not."""
    place, minute = instance["start"]["place"], instance["start"]["minute"]
    said = [f"You start at {place} at {clock(minute)}."]
    for friend in order:
        minutes = instance["travel"][place][friend["place"]]
        place, minute = friend["place"], minute + minutes
        said.append(f"You travel to {place} in {minutes} minutes and arrive at {clock(minute)}.")
        if minute < friend["opens"]:
            minute = friend["opens"]
            said.append(f"You wait until {clock(minute)}.")
        end = minute + friend["minutes"]
        said.append(
            f"You meet {friend['name']} for {friend['minutes']} minutes from {clock(minute)} to {clock(end)}."
        )
        minute = end
    return " ".join(said)


def in_time(instance: dict, order: tuple) -> bool:
    place, minute = instance["start"]["place"], instance["start"]["minute"]
    for friend in order:
        minute = max(minute + instance["travel"][place][friend["place"]], friend["opens"]) + friend["minutes"]
        if minute > friend["closes"]:
            return False
        place = friend["place"]
    return True


def test_of_all_walks_those_that_meet_the_most_pass():
    for row in of("meeting"):
        instance = row["gold"]["instance"]
        for size in range(len(instance["friends"]) + 1):
            for order in permutations(instance["friends"], size):
                expected = in_time(instance, order) and size == instance["num_met"]
                assert verify(row["gold"], walk(instance, order))[0] == expected


def test_of_all_orders_of_cities_one_passes():
    for row in of("trip"):
        instance, passed = row["gold"]["instance"], 0
        for order in permutations(instance["stays"]):
            lines, day = [], 1
            for before, city in zip((None, *order), order, strict=False):
                lines += [f"**Day {day}:** Fly from {before} to {city}."] if before else []
                days = instance["stays"][city]
                lines.append(f"**Day {day}-{day + days - 1}:** Visit {city} for {days} days.")
                day += days - 1
            passed += verify(row["gold"], "\n".join(lines))[0]
        assert passed == 1


@pytest.mark.parametrize(
    ("subtask", "old", "new", "reason"),
    [
        ("calendar", ":00 - ", ":00 – ", "no time"),
        ("calendar", "day, ", "day,, ", "no time"),
        ("meeting", "You meet", "You greet", "unknown step"),
        ("meeting", "minutes and", "minutes, and", "unknown step"),
        ("meeting", "You start at", "You wait at", "unknown step"),
        ("trip", "Fly from", "Train from", "unknown step"),
        ("trip", "days.", "weeks.", "unknown step"),
    ],
)
def test_what_is_wrong_is_said(subtask, old, new, reason):
    row = next(row for row in of(subtask) if row["meta"]["language"] == "en")
    changed = row["gold"]["answer"].replace(old, new)
    assert changed != row["gold"]["answer"]
    passed, said = verify(row["gold"], changed)
    assert not passed
    assert reason in said


def test_an_open_answer_tag_fails():
    gold = GOLDS[0]
    assert verify(gold, f"<answer>{gold['answer']}") == (False, "<answer> without </answer>")


def test_meeting_the_same_friend_twice_fails():
    row = next(r for r in of("meeting") if r["meta"]["language"] == "en" and r["meta"]["size"] > 1)
    answer = row["gold"]["answer"]
    last = answer[answer.rindex("You meet") :]
    assert not verify(row["gold"], f"{answer} {last}")[0]


SAYINGS = (
    "You meet |Day 1-|**|9:00AM|99:99PM|星期一，|第3|天：|\n|.|。|<answer>|</answer>| from |Monday, 9:00"
)
PIECES = st.sampled_from([*SAYINGS.split("|"), "９:00", "٣", "0" * 5000, "\x00", "\ud800"])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(GOLDS), st.lists(st.one_of(st.text(max_size=20), PIECES), max_size=12))
def test_any_text_gets_a_verdict(gold, pieces):
    passed, reason = verify(gold, "".join(pieces))
    assert isinstance(passed, bool)
    assert reason


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(GOLDS), st.data())
def test_a_damaged_gold_answer_gets_a_verdict_and_no_number_may_change(gold, data):
    answer = gold["answer"]
    place = data.draw(st.integers(0, len(answer) - 1))
    piece = data.draw(st.one_of(PIECES, st.characters()))
    assert isinstance(verify(gold, answer[:place] + piece + answer[place:])[0], bool)
    header = answer.index("\n") if gold["subtask"] == "trip" and answer[0] in "H以" else 0
    if answer[place].isdigit() and place >= header:
        digit = data.draw(st.sampled_from([d for d in "0123456789" if d != answer[place]]))
        assert not verify(gold, answer[:place] + digit + answer[place + 1 :])[0]
