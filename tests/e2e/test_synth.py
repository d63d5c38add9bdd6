"""``python -m data_synth`` as users run it: bytes, workers, kills, repeats, bad input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "data_synth", "difficulty=natural_plan", "language=both", "seed=7"]
OUTPUTS = ("data.jsonl", "rejected.jsonl", "manifest.json", "report.html", "README.md")
NUM_ROWS = 300


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, f"num_samples={NUM_ROWS}", f"output_dir={folder}", *overrides]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"wrote {NUM_ROWS} rows to {folder}"
    return folder


def test_what_a_run_leaves(whole):
    rows = [json.loads(line) for line in (whole / "data.jsonl").open()]
    rejected = [json.loads(line) for line in (whole / "rejected.jsonl").open()]
    manifest = json.loads((whole / "manifest.json").read_text())
    assert len(rows) == manifest["num_rows"] == NUM_ROWS
    assert len({row["id"] for row in rows}) == NUM_ROWS
    assert manifest["status"] == "complete"
    assert manifest["num_rejected"] == len(rejected) > 0
    for domain, counts in manifest["domains"].items():
        assert counts["num_rows"] == NUM_ROWS // 3
        assert counts["num_repeated"] == 0
        for reason, count in counts["rejected"].items():
            assert count == sum(r["domain"] == domain and r["reason"] == reason for r in rejected)
    assert all(
        "instance" in r for r in rejected if r["reason"] in ("ambiguous", "inconsistent", "unsolvable")
    )
    assert len({row["meta"]["instance"] for row in rows}) == NUM_ROWS
    page = (whole / "report.html").read_text()
    shown = json.loads(re.search(r'<script type="application/json" id="rows">(.*)</script>', page)[1])
    assert {row["id"] for row in shown} < {row["id"] for row in rows}
    assert {row["subtask"] for row in shown} == {"calendar", "meeting", "trip"}
    assert not re.search(r"""(src|href)=["']?(https?:|//)|url\(http""", page), "assets from outside"
    assert {path.name for path in whole.iterdir()} == {*OUTPUTS, ".lock"}


@pytest.mark.parametrize("num_workers", [2, 3])
def test_the_number_of_workers_changes_no_byte(whole, tmp_path, num_workers):
    done = run(tmp_path, f"num_workers={num_workers}")
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path) == bytes_of(whole)
    assert "row/s" in done.stderr
    assert "ambiguous=" in done.stderr


def processes_in(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def kill_at(folder: Path, size: int, num_workers: int) -> None:
    """Start a run, and SIGKILL the parent alone once the partial rows have ``size`` bytes."""
    command = [*COMMAND, f"num_samples={NUM_ROWS}", f"output_dir={folder}", f"num_workers={num_workers}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        partial = folder / "data.jsonl.partial"
        while not partial.exists() or partial.stat().st_size < size:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes_in(process.pid):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.02)


def test_killed_again_and_again_and_run_again_gives_the_same_bytes(whole, tmp_path):
    total = (whole / "data.jsonl").stat().st_size
    for share, num_workers in ((0.0, 2), (0.4, 1), (0.8, 3)):
        kill_at(tmp_path, int(share * total), num_workers)
        assert not (tmp_path / "data.jsonl").exists()
    kept = (tmp_path / "data.jsonl.partial").stat().st_size
    assert kept >= 0.8 * total
    done = run(tmp_path, "num_workers=2")
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path) == bytes_of(whole)


@pytest.mark.parametrize("cut", ["in a row", "after rejected", "before the manifest", "nothing yet"])
def test_every_state_a_kill_can_leave_is_resumed(whole, tmp_path, cut):
    rows, rejected = ((whole / name).read_bytes() for name in ("data.jsonl", "rejected.jsonl"))
    manifest = json.loads((whole / "manifest.json").read_text())
    running = {key: manifest[key] for key in ("format_version", "settings")} | {"status": "running"}
    (tmp_path / "manifest.json").write_text(json.dumps(running))
    if cut == "in a row":
        (tmp_path / "data.jsonl.partial").write_bytes(rows[: len(rows) // 2])
        (tmp_path / "rejected.jsonl.partial").write_bytes(rejected[: len(rejected) * 2 // 3])
    elif cut == "after rejected":
        (tmp_path / "data.jsonl.partial").write_bytes(b"")
        (tmp_path / "rejected.jsonl.partial").write_bytes(rejected[:777])
    elif cut == "before the manifest":
        (tmp_path / "data.jsonl").write_bytes(rows)
        (tmp_path / "rejected.jsonl.partial").write_bytes(rejected)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_a_finished_run_is_left_as_it_is(whole):
    before = {name: (whole / name).stat().st_mtime_ns for name in OUTPUTS}
    done = run(whole, "num_workers=2")
    assert done.returncode == 0
    assert f"{NUM_ROWS} rows" in done.stdout
    assert {name: (whole / name).stat().st_mtime_ns for name in OUTPUTS} == before


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("num_samples=301", "num_samples=301"),
        ("seed=8", "seed=8"),
        ("difficulty.trip.stay_days=[2,9]", "difficulty.trip.stay_days=[2, 9]"),
        ("num_samples=-1", "num_samples=-1"),
        ("num_sample=10", "num_sample=10"),
        ("difficulty.calendar.meetings_per_day=[0,17]", "difficulty.calendar.meetings_per_day=[0, 17]"),
    ],
)
def test_other_settings_leave_the_folder_alone(whole, override, key):
    before = bytes_of(whole)
    done = run(whole, override)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith(f"error: {key}: ")
    assert ";" in done.stderr
    assert bytes_of(whole) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "data.jsonl").write_text("mine\n")
    done = run(tmp_path)
    assert done.returncode == 2
    assert f"output_dir={tmp_path}" in done.stderr
    assert (tmp_path / "data.jsonl").read_text() == "mine\n"


def test_changed_rows_are_not_taken_for_complete(whole, tmp_path):
    for name, content in bytes_of(whole).items():
        (tmp_path / name).write_bytes(content.replace(b"Monday", b"Sunday"))
    done = run(tmp_path)
    assert done.returncode == 2
    assert "data.jsonl is not the one in manifest.json" in done.stderr


def test_two_runs_never_share_a_folder(tmp_path):
    command = [*COMMAND, "num_samples=100000", f"output_dir={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first:
        while not (tmp_path / "data.jsonl.partial").exists():
            assert first.poll() is None
            time.sleep(0.01)
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        first.kill()
    assert second.returncode == 2
    assert "another run is writing there" in second.stderr


def test_a_difficulty_without_puzzles_ends_and_frees_the_folder(tmp_path):
    impossible = ["subtask=trip", "difficulty.trip.flight_share=1", "difficulty.trip.one_way_share=0"]
    impossible += ["difficulty.trip.num_cities=[8,8]", "difficulty.trip.num_events=[0,0]", "max_attempts=20"]
    done = run(tmp_path, *impossible)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: max_attempts=20: no scheduling/trip row")
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


def test_small_spaces_repeat_only_when_they_run_dry(tmp_path):
    done = run(
        tmp_path, "difficulty=mini", "subtask=trip", "difficulty.trip.stay_days=[2,2]", "num_samples=90"
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "manifest.json").read_text())["domains"]["scheduling/trip"]
    assert counts["num_repeated"] > 0
    assert counts["rejected"]["duplicate"] >= counts["num_repeated"]
