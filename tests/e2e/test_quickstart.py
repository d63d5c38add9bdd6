"""The quickstart itself, shortened: every stage, its files, and that a second run does nothing again."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = {
    "QUICKSTART_STEPS": "30",
    "QUICKSTART_ROWS": "600",
    "QUICKSTART_HELDOUT": "8",
    "QUICKSTART_RL_STEPS": "2",
}
STAGES = [
    "synth",
    "heldout",
    "export",
    "sft",
    "convert_before",
    "convert_after",
    "eval_before",
    "eval_after",
    "rl",
]


def quickstart(run, **environment):
    command = [str(ROOT / "launch/quickstart.sh"), str(run)]
    return subprocess.run(
        command, env=os.environ | SHORT | environment, capture_output=True, text=True, timeout=800
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart") / "run"
    done = quickstart(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_stage_ran_once_and_is_timed(run):
    stages = [json.loads(line) for line in (run / "stages.jsonl").read_text().splitlines()]
    assert [stage["stage"] for stage in stages] == STAGES
    assert all(stage["wall_s"] > 0 for stage in stages)


def test_the_summary_tells_what_was_done(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["synth"]["num_rows"] == 820
    assert summary["sft"]["loss_last"] < summary["sft"]["loss_first"]
    assert summary["sft"].keys() >= {"max_vio_last", "num_tokens", "wall_s"}
    assert summary["eval"].keys() >= {"accuracy_before", "accuracy_after", "num_samples", "wall_s"}
    assert summary["eval"]["num_samples"] == 8
    assert summary["rl"].keys() >= {"reward_first", "reward_last", "num_steps", "wall_s"}
    assert summary["rl"]["num_steps"] == 2


def test_five_tasks_are_trained_on_and_held_out(run):
    summary = json.loads((run / "sft/data_summary.json").read_text())
    tasks = {"decomposition", "tool_augmented", "scheduling", "procedural", "long_horizon"}
    assert {name.split("/")[0] for name in summary["domains"]} == tasks
    (validation,) = [json.loads(line) for line in (run / "sft/validation.jsonl").open()]
    assert len({name.split("/")[0] for name in validation["domains"]}) >= 4


def test_training_changed_what_the_served_model_says(run):
    before, after = (
        [json.loads(line)["prediction"] for line in (run / f"eval_{when}/calendar/predictions.jsonl").open()]
        for when in ("before", "after")
    )
    assert len(before) == len(after) == 8
    assert all(after)
    assert before != after


def test_the_report_is_one_file_without_outside_assets(run):
    page = (run / "report.html").read_text()
    assert "<svg" in page
    for marker in ('src="http', "src='http", "<link", 'href="http', "@import"):
        assert marker not in page


def test_run_again_nothing_is_done_again(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("checkpoints/*/metadata.json")}
    done = quickstart(run)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("done before") == len(STAGES)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("checkpoints/*/metadata.json")} == before


def test_other_settings_want_another_folder(run):
    done = quickstart(run, QUICKSTART_STEPS="31")
    assert done.returncode == 2
    assert "QUICKSTART_STEPS=31" in done.stderr
