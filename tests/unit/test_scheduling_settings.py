"""Bad input is refused with the key, the value and what to do."""

import pytest
from scheduling_twins import make_task

from recipes.command import InputError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["num_samples=-5"], r"num_samples=-5: must be at least 1; try num_samples=1"),
        (["num_samples=many"], r"num_samples=many: "),
        (["num_workers=0"], r"num_workers=0: "),
        (["split=dev"], r"split=dev: "),
        (["split=test", "test_share=0"], r"test_share=0.*split=test"),
        (["certify=none"], r"certify=none: "),
        (["certify_share=1.5"], r"certify_share=1.5: a share"),
        (["language=fr"], r"language=fr: "),
        (["shots=3"], r"shots=3: "),
        (["difficulty=mini", "shots=5"], r"shots=5: difficulty=mini has no examples; use shots=0"),
        (["difficulty=extreme"], r"difficulty=extreme: no such choice; choose one of .*mini"),
        (["task=cooking"], r"task=cooking: no such choice"),
        (["num_sample=5"], r"num_sample=5: unknown key; did you mean num_samples"),
        (["difficulty.calendar.num_person=3"], r"num_person=3: unknown key"),
        (["difficulty.calendar.num_people=[5,3]"], r"num_people=\[5, 3\]: lowest first; try \[3,5\]"),
        (["difficulty.calendar.num_people=[0,3]"], r"num_people=\[0, 3\]: must lie in 1 to"),
        (["difficulty.calendar.num_days=[1,6]"], r"num_days=\[1, 6\]: must lie in 1 to 5"),
        (["difficulty.calendar.slot_minutes=45"], r"slot_minutes=45: .*; use 30 or 60"),
        (["difficulty.calendar.meeting_minutes=[540]"], r"meeting_minutes=\[540\]: .*480 minutes"),
        (
            ["difficulty.calendar.meeting_minutes=[45]"],
            r"meeting_minutes=\[45\]: .*multiples of slot_minutes",
        ),
        (["difficulty.calendar.meetings_per_day=[1,20]"], r"meetings_per_day=\[1, 20\]: .* 0 to 14"),
        (["difficulty.calendar.earliest_share=2"], r"earliest_share=2.*a share"),
        (["difficulty.meeting.num_friends=[1,40]"], r"num_friends=\[1, 40\]: must lie in 1 to 15"),
        (
            [
                "difficulty.meeting.num_friends=[2,15]",
                "difficulty.meeting.meeting_minutes=[60,90]",
            ],
            r"num_friends=\[2, 15\]: 15 meetings of 60 minutes don't fit into the day's 840 minutes",
        ),
        (
            ["difficulty.meeting.window_minutes=[15,30]", "difficulty.meeting.meeting_minutes=[45,60]"],
            r"raise",
        ),
        (["difficulty.trip.num_cities=[3,90]"], r"num_cities=\[3, 90\]: must lie in 2 to 16"),
        (["difficulty.trip.stay_days=[0,3]"], r"stay_days=\[0, 3\]: must lie in 2 to 30"),
        (["difficulty.trip.flight_share=-1"], r"flight_share=-1.*a share"),
    ],
)
def test_bad_input_names_key_value_and_fix(overrides, message):
    with pytest.raises(InputError, match=message):
        make_task(*overrides)


def test_ranges_name_the_nearest_possible():
    with pytest.raises(InputError, match=r"must lie in 2 to 16; try \[2,16\]"):
        make_task("difficulty.trip.num_cities=[1,90]")
    with pytest.raises(InputError, match=r"step_minutes=90: must lie in 1 to 60; try 60"):
        make_task("difficulty.meeting.step_minutes=90")


def test_only_the_chosen_subtask_is_checked():
    make_task("subtask=calendar", "difficulty.trip.stay_days=[0,3]")


def test_settings_that_change_no_byte_are_not_recorded():
    recorded = make_task("num_workers=3").settings.recorded()
    assert "num_workers" not in recorded
    assert "output_dir" not in recorded
    assert recorded["difficulty.calendar.num_people"] == [2, 7]
