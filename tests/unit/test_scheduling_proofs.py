"""The exact enumerators agree with naive twins and with CP-SAT, on puzzles of every kind."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_twins import make_task, meeting_optima, trip_solutions

from data_synth.tasks.scheduling import certificate
from data_synth.tasks.scheduling.recipe import DAY_STARTS
from data_synth.tasks.scheduling.task import examine

SMALL = {
    "calendar": make_task("difficulty=natural_plan", "difficulty.calendar.max_repairs=4"),
    "meeting": make_task("difficulty=natural_plan", "difficulty.meeting.window_minutes=[30,240]"),
    "one_order": make_task("difficulty=natural_plan", "difficulty.meeting.unique_order=true"),
    "meet_all": make_task("difficulty=mini"),
    "trip": make_task("difficulty=easy", "difficulty.trip.free_event_share=0.4"),
    "open_trip": make_task("difficulty=hard", "difficulty.trip.num_events=[0,1]"),
}
SEEDS = st.integers(0, 2**32)


def draw(kind: str, subtask: str, size: int, seed: int):
    return SMALL[kind].draw(subtask, size, Random(seed))


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(2, 7))
def test_calendar_equals_trying_every_slot(seed, size):
    puzzle = draw("calendar", "calendar", size, seed)
    problem, starts = puzzle.problem, []
    for day in range(len(problem.days)):
        for start in range(problem.num_slots - problem.length + 1):
            slots = range(start, start + problem.length)
            busy = any(mask[day] >> slot & 1 for mask in puzzle.busy for slot in slots)
            for wish in puzzle.preferences:
                if wish.day == day:
                    busy |= wish.kind == "all_day"
                    busy |= wish.kind == "before" and start < wish.slot
                    busy |= wish.kind == "after" and slots[-1] >= wish.slot
            starts += [] if busy else [(day, start)]
    solved = puzzle.solve()
    expected = min(len(starts), 1 if puzzle.earliest else 2)
    assert solved.num_solutions == expected
    if expected == 1:
        assert (solved.plan.day, solved.plan.slot) == starts[0]


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from(["meeting", "one_order", "meet_all"]), st.integers(1, 6))
def test_meeting_equals_trying_every_order(seed, kind, size):
    puzzle = draw(kind, "meeting", size, seed)
    friends = [(f.opens, f.closes, f.minutes) for f in puzzle.friends]
    optima = meeting_optima(DAY_STARTS, puzzle.problem.travel, friends)
    sets = {frozenset(order) for _, order in optima}
    reachable = len(optima[0][1]) if optima else 0
    if reachable == 0 or (puzzle.meet_all and reachable < size):
        expected = 0
    elif puzzle.unique_order:
        expected = min(len(optima), 2)
    else:
        expected = min(len(sets), 2)
    solved = puzzle.solve()
    assert solved.num_solutions == expected
    if expected == 1:
        assert (solved.objective["ends"], solved.plan.order) == optima[0]
        assert solved.objective["num_met"] == reachable


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from(["trip", "open_trip"]), st.integers(2, 6))
def test_trip_equals_trying_every_order(seed, kind, size):
    puzzle = draw(kind, "trip", size, seed)
    flights = {(a, b) for a, mask in enumerate(puzzle.legs) for b in range(size) if mask >> b & 1}
    events = [(event.city, event.first_day, event.last_day) for event in puzzle.events]
    orders = trip_solutions(puzzle.problem.stays, flights, events)
    solved = puzzle.solve()
    assert solved.num_solutions == min(len(orders), 2)
    if len(orders) == 1:
        assert solved.plan.order == orders[0]


@pytest.mark.parametrize(
    ("kind", "subtask", "sizes"),
    [
        ("calendar", "calendar", (2, 7)),
        ("meeting", "meeting", (1, 7)),
        ("one_order", "meeting", (1, 4)),
        ("meet_all", "meeting", (2, 2)),
        ("trip", "trip", (3, 7)),
        ("open_trip", "trip", (3, 8)),
    ],
)
def test_cp_sat_agrees_on_solvable_ambiguous_and_unsolvable(kind, subtask, sizes):
    found = set()
    for seed in range(25):
        puzzle = draw(kind, subtask, sizes[0] + seed % (sizes[1] - sizes[0] + 1), seed)
        solved = puzzle.solve()
        objective = solved.objective if solved.num_solutions else {}
        assert certificate.prove(puzzle) == (solved.num_solutions, objective)
        found.add(solved.num_solutions)
    assert len(found) >= 2, f"only puzzles with {found} solutions were tried"


def test_a_wrong_claim_is_refused():
    puzzle = next(
        p for p in (draw("trip", "trip", 4, seed) for seed in range(50)) if p.solve().num_solutions == 2
    )
    claim = draw("trip", "trip", 3, 0).solve()
    assert claim.num_solutions == 1
    with pytest.raises(RuntimeError, match="CP-SAT proves"):
        certificate.confirm(puzzle, claim)


def test_every_reason_to_reject_occurs():
    kinds = (("meeting", "meeting", 4), ("meet_all", "meeting", 2), ("trip", "trip", 4))
    reasons = set()
    for seed in range(300):
        for kind, subtask, size in kinds:
            reasons.add((subtask, examine(draw(kind, subtask, size, seed))[1]))
    for subtask in ("meeting", "trip"):
        assert {(subtask, r) for r in (None, "inconsistent", "ambiguous", "unsolvable")} <= reasons
