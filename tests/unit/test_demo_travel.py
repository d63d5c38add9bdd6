"""The travel planner: itineraries judged as data_synth judges them, and the loop around them."""

import json

import pytest
from demo_server import DemoServer, calls, says
from hypothesis import given
from hypothesis import strategies as st
from test_demo_agent import client, joined

from data_synth.tasks.scheduling.verify import verify
from evaluation.demo.agent import Loop
from evaluation.demo.itinerary import broken_constraint, has_steps
from evaluation.demo.travel import TravelAgent, find_trip, load_trips
from recipes.command import InputError

TRIPS = load_trips(None)
LOOP = Loop(6, 4, 2000)


def rows():
    from importlib import resources

    text = resources.files("evaluation.demo").joinpath("trips.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


ROWS = rows()


def test_the_shipped_trips_are_held_out_and_solved_by_their_gold():
    assert len(ROWS) == len(TRIPS.trips) == 5
    for row, trip in zip(ROWS, TRIPS.trips, strict=True):
        assert row["meta"]["split"] == "test" and row["meta"]["certificate"]["num_solutions"] == 1
        assert trip.question == row["gold"]["natural_plan"]["prompt_0shot"]
        assert broken_constraint(trip.constraints, row["gold"]["answer"]) is None
        assert TRIPS.benchmark.score(trip.id, row["gold"]["answer"]).score == 1


def test_all_rows_of_data_synth(synth_folder):
    trips = load_trips(str(synth_folder / "data.jsonl"))
    found = {json.loads(line)["id"]: json.loads(line) for line in (synth_folder / "data.jsonl").open()}
    assert len(trips.trips) > 50
    for trip in trips.trips:
        assert broken_constraint(trip.constraints, found[trip.id]["gold"]["answer"]) is None


@st.composite
def mutated(draw):
    """(number of the trip, its gold answer with lines and numbers changed)"""
    number = draw(st.integers(0, 4))
    lines = ROWS[number]["gold"]["answer"].split("\n")
    for _ in range(draw(st.integers(0, 3))):
        position = draw(st.integers(1, len(lines) - 1)) if len(lines) > 1 else 0
        match draw(st.sampled_from(["drop", "swap", "digit", "city", "repeat", "chat"])):
            case "drop":
                del lines[position]
            case "swap":
                lines[0], lines[position] = lines[position], lines[0]
            case "digit":
                digits = [i for i, c in enumerate(lines[position]) if c.isdigit()]
                if digits:
                    i = draw(st.sampled_from(digits))
                    lines[position] = (
                        lines[position][:i] + str(draw(st.integers(0, 9))) + lines[position][i + 1 :]
                    )
            case "city":
                a, b = draw(st.permutations(list(ROWS[number]["gold"]["instance"]["stays"])))[:2]
                lines[position] = lines[position].replace(a, b)
            case "repeat":
                lines.insert(position, lines[position])
            case "chat":
                lines.insert(position, draw(st.sampled_from(["", "Enjoy it!", "Then:"])))
        lines = lines or [""]
    return number, "\n".join(lines)


@given(mutated())
def test_the_verdict_is_that_of_data_synth(case):
    number, answer = case
    broken = broken_constraint(TRIPS.trips[number].constraints, answer)
    ok, reason = verify(ROWS[number]["gold"], answer)
    if broken and ("take turns" in broken or "ends with a flight" in broken):
        return  # data_synth reads visits and flights apart from each other
    assert (broken is None) == ok, (broken, reason)


@given(st.text(alphabet="Day 0123456789-:*VisitFlyfromtoPar.\n", max_size=200))
def test_nothing_raises(text):
    assert broken_constraint(TRIPS.trips[0].constraints, text)
    assert has_steps(text) in (True, False)


def test_a_hundred_thousand_steps_take_no_time():
    text = "Day 1-3: Visit Sofia for 3 days.\nDay 3: Fly from Sofia to Sofia.\n" * 50_000
    assert broken_constraint(TRIPS.trips[0].constraints, text)
    assert broken_constraint(TRIPS.trips[0].constraints, "Day 1: Visit " + "a" * 1_000_000)


def travel(answers, *questions):
    """The joined events of each question, and what the server was asked."""
    found = []
    history = []
    with DemoServer(answers) as server:
        agent = TravelAgent(client(server), TRIPS, "native", LOOP)
        for question in questions:
            history.append({"role": "user", "content": question})
            found.append(joined(agent.reply(history)))
    return found, server.bodies


def verdicts(events):
    return [(event.name, event.ok) for event in events if event.kind == "verdict"]


def test_the_puzzle_itself_is_verified():
    trip, gold = TRIPS.trips[1], ROWS[1]["gold"]["answer"]
    (events,), _ = travel([says(gold)], trip.question)
    assert verdicts(events) == [("constraints", True), ("NaturalPlan", True)]
    (events,), _ = travel([says("I don't know.")], trip.question)
    assert verdicts(events) == [("constraints", False), ("NaturalPlan", False)]


def test_a_trip_is_looked_up_mended_and_verified():
    wrong = "Day 1-2: Arriving in Sofia and visit Sofia for 2 days."
    answers = [
        calls(("list_trips", "")),
        calls(("read_trip", '{"trip": 1}'), ("direct_flights", '{"trip": 1, "city": "Sofia"}')),
        calls(("check_itinerary", json.dumps({"trip": 1, "itinerary": wrong}))),
        says(ROWS[0]["gold"]["answer"]),
        says("You are welcome."),
        says("**Day 1-9:** Visit Sofia for 9 days."),
    ]
    (first, second, third), bodies = travel(answers, "Plan the first one.", "Thanks!", "Only Sofia, please.")
    results = [event.text for event in first if event.kind == "result"]
    assert results[0].startswith("trip 1, 7 days: Sofia, Belgrade, Bucharest\ntrip 2,")
    assert json.loads(results[1])["stays"] == {"Sofia": 2, "Belgrade": 3, "Bucharest": 4}
    assert set(results[2].split(", ")) == {
        b for a, b in ROWS[0]["gold"]["instance"]["flights"] if a == "Sofia"
    }
    assert results[3] == "wrong: Belgrade is missing"
    assert verdicts(first) == [("constraints", True), ("NaturalPlan", True)]
    assert verdicts(second) == []
    assert verdicts(third) == [("constraints", False), ("NaturalPlan", False)]
    assert len(bodies[0]["tools"]) == 4


def test_wrong_calls_are_told():
    answers = [
        calls(
            ("read_trip", '{"trip": 6}'),
            ("read_trip", '{"trip": 0}'),
            ("read_trip", '{"trip": true}'),
            ("direct_flights", '{"trip": 1, "city": "Paris"}'),
        ),
        says("Day 1-2: Visit Paris for 2 days."),
    ]
    (events,), _ = travel(answers, "Plan something.")
    results = [event.text for event in events if event.kind == "result"]
    assert results[0] == "error: no trip 6; there are 1 to 5"
    assert all(r.startswith("error: trip: ") for r in results[1:3])
    assert results[3].startswith("error: Paris isn't part of trip 1; it has Sofia")


def test_an_itinerary_of_no_trip_cannot_be_verified():
    (events,), _ = travel([says("Day 1-2: Visit Paris for 2 days.")], "Plan something.")
    assert verdicts(events) == [("itinerary", False)]


@pytest.mark.parametrize("number", [0, -1, 6])
def test_no_such_trip(number):
    with pytest.raises(InputError, match="choose 1 to 5"):
        find_trip(TRIPS, number)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row["gold"].pop("instance"), "no 'instance'"),
        (lambda row: row["gold"]["instance"].pop("stays"), "stays|validation error"),
        (
            lambda row: row["gold"]["instance"]["events"].append(
                {"city": "X", "first_day": 1, "last_day": 1}
            ),
            "validation",
        ),
        (lambda row: row["meta"].update(language="zh"), "no English trip"),
        (lambda row: row.update(subtask="meeting"), "no trip puzzle"),
        (lambda row: row.update(messages=[]), "give rows of data_synth"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change, message):
    row = json.loads(json.dumps(ROWS[0]))
    change(row)
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(InputError, match=message):
        load_trips(str(path))
