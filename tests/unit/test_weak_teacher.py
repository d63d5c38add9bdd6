"""The slips of benchmarks/weak_teacher.py are wrong answers in the right format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from weak_teacher import SLIPS, weaken

CALENDAR = {"instance": {"slot_minutes": 60, "work_hours": [540, 1020]}}
PLAN = {"turns": [{"plan": ["Lock the door.", "Dim the lamp.", "Play some jazz."]}]}
WORKFLOW = {
    "nodes": ["Find a.", "Find b.", "Add them."],
    "edges": [["START", "1"], ["START", "2"], ["1", "3"], ["2", "3"], ["3", "END"]],
}


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "slip"),
    [
        (("scheduling", "calendar"), CALENDAR, "Time: Monday, 9:00 - 10:00", "Time: Monday, 10:00 - 11:00"),
        (("scheduling", "calendar"), CALENDAR, "Time: Monday, 16:00 - 17:00", "Time: Monday, 15:00 - 16:00"),
        (("scheduling", "calendar"), CALENDAR, "Time: Monday, 9:00 - 17:00", "Time: Monday, 9:00 - 17:00"),
        (
            ("decomposition", "general"),
            PLAN,
            "<Plan>Step1.Lock the door. Step2.Dim the lamp. Step3.Play some jazz.</Plan>"
            "<Reply>Sure. I'll lock the door, then dim the lamp, then play some jazz.</Reply>",
            "<Plan>Step1.Lock the door. Step2.Dim the lamp.</Plan>"
            "<Reply>Sure. I'll lock the door, then dim the lamp.</Reply>",
        ),
        (
            ("procedural", "qa"),
            WORKFLOW,
            "Node:\n1: Find a.\n2: Find b.\n3: Add them.\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)",
            "Node:\n1: Find a.\n2: Find b.\nEdge: (START,1) (START,2) (1,END) (2,END)",
        ),
    ],
)
def test_a_slip(kind, gold, answer, slip):
    assert SLIPS[kind](answer, gold) == slip


def test_as_many_rows_as_were_drawn_are_changed(tmp_path):
    row = {"id": "a", "task": "scheduling", "subtask": "calendar", "gold": CALENDAR}
    row["messages"] = [{"role": "assistant", "content": "Monday, 9:00 - 10:00"}]
    source = tmp_path / "calendar" / "data.jsonl"
    source.parent.mkdir()
    source.write_text((json.dumps(row) + "\n") * 200)
    num_rows, num_changed = weaken(source, tmp_path / "weak" / "data.jsonl", share=0.6, seed=0)
    answers = [
        json.loads(line)["messages"][0]["content"] for line in (tmp_path / "weak" / "data.jsonl").open()
    ]
    assert num_rows == len(answers) == 200
    assert num_changed == answers.count("Monday, 10:00 - 11:00")
    assert 0.5 < num_changed / num_rows < 0.7
