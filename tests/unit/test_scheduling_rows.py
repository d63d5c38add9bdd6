"""Rows: the fields, the official scorer's reading of them, splits, turns, languages."""

import re
from collections import Counter
from datetime import datetime, timedelta
from random import Random

import pytest
from scheduling_twins import make_task
from task_rows import accepted_rows

from data_synth.tasks.base import split_of
from data_synth.tasks.scheduling.fingerprint import structure_hash


def rows_of(*overrides: str, count: int = 30) -> list[dict]:
    return accepted_rows(make_task(*overrides), count)


def test_a_row_has_the_contract_fields_in_order():
    row = rows_of("difficulty=natural_plan", count=1)[0]
    assert list(row) == ["id", "task", "subtask", "messages", "tools", "gold", "meta"]
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
    assert list(row["gold"]) == ["subtask", "instance", "answer", "natural_plan"]
    assert row["messages"][1]["content"] == row["gold"]["answer"]
    certificate = row["meta"]["certificate"]
    assert certificate["num_solutions"] == 1
    assert certificate["nodes"] > 0
    assert certificate["cp_sat_confirmed"] is True, "the first row of a subtask is always confirmed"
    assert re.fullmatch("[0-9a-f]{64}", row["meta"]["instance"])


# The official scorers, written again from google-deepmind/natural-plan ca76db3.


def official_calendar(text: str) -> tuple:
    found = re.findall(r"[A-Za-z]+, [0-9]+:[0-9]+ - [0-9]+:[0-9]+", text)
    if not found:
        return ("", -1, -1)
    day, hours = (part.strip() for part in found[0].split(","))
    times = []
    for hour in hours.split("-"):
        whole, minutes = hour.strip().split(":")
        times.append(float(whole) + (0.5 if minutes == "30" else 0.0))
    return (day, *times)


def official_meeting(steps: list[str], fields: dict) -> int:
    read = "%I:%M%p"
    place, time = fields["constraints"][0][0], datetime.strptime(fields["constraints"][0][1], read)
    friends = {name: (where, when, length) for name, where, when, length in fields["constraints"][1:]}
    score = 0
    for step in steps:
        if step.startswith("You start"):
            continue
        if step.startswith("You travel"):
            there = step.split("travel to ")[1].split(" in")[0].strip()
            time += timedelta(minutes=fields["dist_matrix"][place][there])
            place = there
        elif step.startswith("You wait"):
            time = datetime.strptime(step.split("wait until ")[1].split(".")[0].strip(), read)
        elif step.startswith("You meet"):
            where, when, length = friends[step.split("meet ")[1].split(" for")[0].strip()]
            opens, closes = (datetime.strptime(part.strip(), read) for part in when.split("to"))
            assert place == where
            assert opens <= time
            assert time + timedelta(minutes=length) <= closes
            time += timedelta(minutes=length)
            score += 1
        else:
            raise AssertionError(step)
    return score


def official_trip(text: str) -> list[tuple[str, int]]:
    days, flights, total = [], [], None
    for line in text.split("\n"):
        said = re.findall(r"European cities for (\d+) days", line)
        total = int(said[0]) if said else total
        visit = re.findall(r"\d+-\d+", line)
        if visit:
            days.append(visit[0])
            if int(visit[0].split("-")[1]) == total:
                break
        flights += re.findall(r".*Day (\d+).*from (\w+) to (\w+)", line)
    cities = [flights[0][1], *(end for _, _, end in flights)]
    borders = [1, *(int(day) for day, _, _ in flights), int(days[-1].split("-")[1])]
    return [(city, borders[i + 1] - borders[i] + 1) for i, city in enumerate(cities)]


@pytest.mark.parametrize("difficulty", ["mini", "easy", "natural_plan", "hard"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_official_scorer_reads_the_golden_plan(difficulty, language):
    for row in rows_of(
        f"difficulty={difficulty}", f"language={language}", count=9 if difficulty == "hard" else 18
    ):
        fields = row["gold"]["natural_plan"]
        golden = fields["golden_plan"]
        assert fields["prompt_0shot"].endswith("SOLUTION:")
        if row["subtask"] == "calendar":
            _, starts, ends = official_calendar(golden)
            assert ends - starts == fields["duration"]
            assert fields["num_people"] == row["meta"]["size"]
        elif row["subtask"] == "meeting":
            met = official_meeting(golden, fields)
            assert met == row["gold"]["instance"]["num_met"]
            assert fields["num_people"] == row["meta"]["size"]
            text = f"SOLUTION: {' '.join(golden)}".split("SOLUTION:")[1]
            assert official_meeting([s for part in text.split(".") if (s := part.strip())], fields) == met
        else:
            stays = [int(days) for days in fields["durations"].split("**")]
            expected = list(zip(fields["cities"].split("**"), stays, strict=True))
            assert official_trip(golden) == expected
            assert fields["num_cities"] == len(expected) == row["meta"]["size"]


def test_five_solved_examples_come_before_the_task():
    for row in rows_of("difficulty=natural_plan", "shots=5", count=6):
        fields = row["gold"]["natural_plan"]
        prompt = fields["prompt_5shot"]
        assert prompt.count("TASK:") == prompt.count("SOLUTION:") == 6
        assert row["messages"][0]["content"] == prompt
        task = fields["prompt_0shot"].split("TASK:")[1]
        assert prompt.endswith(task)
        assert task not in prompt[: -len(task)]
        examples = re.findall(r"SOLUTION: (\S.*?)\n\n\n", prompt, flags=re.DOTALL)
        assert len(examples) == 5


def test_every_mini_calendar_can_occur():
    task = make_task("difficulty=mini", "subtask=calendar")
    takers, goals = Counter(), Counter()
    for seed in range(3000):
        puzzle = task.draw("calendar", 3, Random(seed))
        goals[puzzle.goal.slot] += 1
        for slot in set(range(8)) - {puzzle.goal.slot}:
            takers[slot, sum((mask[0] >> slot & 1) << p for p, mask in enumerate(puzzle.busy))] += 1
    assert set(goals) == set(range(8))
    assert set(takers) == {(slot, people) for slot in range(8) for people in range(1, 8)}
    assert min(takers.values()) > 0.7 * 3000 * 7 / 8 / 7


def test_sizes_and_languages_take_turns():
    rows = rows_of("difficulty=natural_plan", "subtask=meeting", "language=both", count=40)
    sizes = Counter((row["meta"]["size"], row["meta"]["language"]) for row in rows)
    assert sizes == {(size, language): 2 for size in range(1, 11) for language in ("en", "zh")}


def test_train_and_test_never_share_a_structure():
    drawn = {}
    for split in ("train", "test"):
        drawn[split] = {
            row["meta"]["instance"]
            for seed in range(3)
            for row in rows_of("difficulty=mini", f"seed={seed}", f"split={split}", count=60)
        }
    assert not drawn["train"] & drawn["test"]
    rows = rows_of("difficulty=mini", "split=all", count=900)
    share = sum(row["meta"]["split"] == "test" for row in rows) / len(rows)
    assert 0.06 < share < 0.14
    for row in rows:
        assert row["meta"]["split"] == split_of(row["meta"]["instance"], 0.1)


@pytest.mark.parametrize("subtask", ["calendar", "meeting", "trip"])
def test_the_fingerprint_knows_no_names_and_no_order(subtask):
    """Renumbering people, friends or cities keeps it; another structure changes it."""
    rng = Random(4)
    nodes = [rng.randrange(3) for _ in range(6)]
    edges = [[rng.randrange(4) for _ in nodes] for _ in nodes]
    order = rng.sample(range(6), 6)
    shuffled = [nodes[i] for i in order], [[edges[i][j] for j in order] for i in order]
    first = structure_hash(subtask, [1], nodes, edges)
    assert structure_hash(subtask, [1], *shuffled) == first
    edges[0][1] += 1
    assert structure_hash(subtask, [1], nodes, edges) != first
    fingerprints = {row["meta"]["instance"] for row in rows_of(f"subtask={subtask}", count=40)}
    assert len(fingerprints) > 35


@pytest.mark.parametrize("language", ["en", "zh"])
def test_reasoning_and_tags(language):
    plain = rows_of("reasoning=steps", f"language={language}", count=9)
    tagged = rows_of("reasoning=steps", "answer_format=tagged", f"language={language}", count=9)
    bare = rows_of("answer_format=tagged", f"language={language}", count=3)
    for row, other in zip(plain, tagged, strict=True):
        thought, answer = row["messages"][1]["reasoning_content"], row["messages"][1]["content"]
        assert thought
        assert other["messages"][1] == {
            "role": "assistant",
            "content": f"<think>{thought}</think><answer>{answer}</answer>",
        }
    for row in bare:
        assert row["messages"][1]["content"] == f"<think></think><answer>{row['gold']['answer']}</answer>"


def test_chinese_rows_are_chinese():
    for row in rows_of("language=zh", "difficulty=easy", "reasoning=steps", count=9):
        for message in row["messages"]:
            assert not re.search("[A-Za-z]{2,}", message["content"].replace("MM", ""))
