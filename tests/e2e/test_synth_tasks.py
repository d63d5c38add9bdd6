"""``python -m data_synth task=all``: five tasks in one run, verified anew, killed, on Ray, on a disk that is full."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

COMMAND = [sys.executable, "-m", "data_synth", "task=all", "language=both", "seed=5", "difficulty=mini"]
OUTPUTS = ("data.jsonl", "rejected.jsonl", "manifest.json", "report.html", "README.md")
TASKS = ("decomposition", "tool_augmented", "scheduling", "procedural", "long_horizon")
NUM_ROWS = 60


def run(folder, *overrides, **options):
    command = [*COMMAND, f"num_samples={NUM_ROWS}", f"output_dir={folder}", *overrides]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def rows_of(folder):
    return [json.loads(line) for line in (folder / "data.jsonl").open()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run in two processes."""
    folder = tmp_path_factory.mktemp("all")
    done = run(folder, "num_workers=2")
    assert done.returncode == 0, done.stderr
    return folder


def verify(folder):
    command = [sys.executable, "-m", "data_synth.verify", f"input={folder / 'data.jsonl'}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_every_task_has_its_share_and_every_row_passes_its_verifier(whole):
    rows = rows_of(whole)
    assert Counter(row["task"] for row in rows) == dict.fromkeys(TASKS, NUM_ROWS // 5)
    assert len({row["id"] for row in rows}) == NUM_ROWS
    done = verify(whole)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{NUM_ROWS} rows, 0 bad"


def spoilt(row):
    """The row with another last answer."""
    changed = json.loads(json.dumps(row))
    answers = [message for message in changed["messages"] if message["role"] == "assistant"]
    answers[-1]["content"] = answers[-1]["content"].replace("1", "2").replace("一", "二") + "."
    return changed


@pytest.mark.parametrize("task", TASKS)
def test_a_changed_answer_is_found(whole, tmp_path, task):
    row = next(row for row in rows_of(whole) if row["task"] == task)
    (tmp_path / "data.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(spoilt(row)) + "\n")
    done = verify(tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 rows, 1 bad"
    assert f"data.jsonl:2: {row['id']}: " in done.stderr


def test_one_process_and_a_killed_run_give_the_same_bytes(whole, tmp_path):
    command = [*COMMAND, f"num_samples={NUM_ROWS}", f"output_dir={tmp_path}", "num_workers=2"]
    partial = tmp_path / "data.jsonl.partial"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not partial.exists() or partial.stat().st_size == 0:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_ray_gives_the_same_bytes(whole, tmp_path):
    done = run(tmp_path, "engine=ray")
    assert done.returncode == 0, done.stderr[-3000:]
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_weights_leave_a_task_out(tmp_path):
    done = run(
        tmp_path,
        "num_samples=12",
        "weights.long_horizon=0",
        "weights.tool_augmented=0",
        "weights.scheduling=0",
        "weights.procedural=2",
    )
    assert done.returncode == 0, done.stderr
    assert Counter(row["task"] for row in rows_of(tmp_path)) == {"procedural": 8, "decomposition": 4}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("weights.scheduling=-1", "weights.scheduling=-1.0: a weight"),
        ("tools.path=/nowhere.jsonl", "tools.path=/nowhere.jsonl"),
        (
            "weights={decomposition:0,tool_augmented:0,scheduling:0,procedural:0,long_horizon:0}",
            "weights: all are 0",
        ),
    ],
)
def test_bad_input_is_told_in_a_line(tmp_path, override, message):
    done = run(tmp_path / "run", override)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")


def test_a_full_disk_keeps_the_rows_and_the_run_goes_on(whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = (whole / "data.jsonl").stat().st_size // 2
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        done = run(disk / "run", "num_workers=2")
        assert done.returncode == 2, done.stderr[-3000:]
        error = done.stderr.splitlines()[-1]
        assert error.startswith(
            f"error: output_dir={disk}/run: data.jsonl could not be written (No space left"
        )
        assert "make room, and the same command goes on from row " in error
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        done = run(disk / "run")
        assert done.returncode == 0, done.stderr
        assert bytes_of(disk / "run") == bytes_of(whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
