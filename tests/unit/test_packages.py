"""Environments of foreign packages and the processes in them: real ones, made and killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evaluation import packages
from evaluation.packages import (
    RemoteError,
    Worker,
    WorkerCrashedError,
    WorkerTimeoutError,
    interpreter,
)
from recipes.command import InputError

MODULE = "tests.unit.misbehaving_worker"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def worker():
    with Worker("bfcl", MODULE, timeout_s=60) as made:
        yield made


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_the_environment_holds_what_the_lock_pins_and_nothing_of_ours(worker):
    pins = dict(
        line.split(" ")[0].split("==")
        for line in (ROOT / "evaluation/locks/bfcl.lock").read_text().splitlines()
        if line[:1].isalpha()
    )
    place = worker.call("place")
    assert place["versions"] == pins
    assert place["prefix"] != sys.prefix


def test_values_cross_as_they_are(worker):
    value = {"text": "ü\ud800\n", "numbers": [1, -2.5, 10**400, float("inf")], "deep": {"": [None, True]}}
    assert worker.call("echo", value=value) == value
    assert worker.call("echo", value="x" * 3_000_000) == "x" * 3_000_000


def test_what_is_printed_isnt_an_answer(worker):
    assert worker.call("chatter", num_bytes=3_000_000) == "done"
    assert worker.call("chatter", num_bytes=10) == "done"


def test_keys_stay_outside(worker, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert "secret" not in worker.call("place")["variables"].values()


def test_an_exception_is_told_and_the_process_lives_on(worker):
    pid = worker.call("place")["pid"]
    with pytest.raises(RemoteError, match="TypeError"):
        worker.call("echo")
    with pytest.raises(RemoteError, match=r"TypeError.*set"):
        worker.call("tell_a_set")
    with pytest.raises(RemoteError, match="MemoryError"):
        worker.call("fill")
    for hidden in ("Any", "os", "_answer", "no_such"):
        with pytest.raises(RemoteError, match="has no function"):
            worker.call(hidden)
    assert worker.call("place")["pid"] == pid


def test_a_crash_is_told_and_the_next_call_has_a_new_process(worker):
    with pytest.raises(WorkerCrashedError, match=r"status 7 \(last words\)"):
        worker.call("leave", status=7)
    assert worker.call("echo", value=1) == 1


def test_a_process_that_is_killed_between_calls_is_missed_by_none(worker):
    pid = worker.call("place")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not is_running(pid))
    assert worker.call("place")["pid"] != pid


def test_what_crashes_once_is_called_twice(worker, tmp_path):
    assert worker.call_twice("leave_once", marker=str(tmp_path / "marker")) == "stayed"
    with pytest.raises(WorkerCrashedError, match="status 7"):
        worker.call_twice("leave", status=7)
    with pytest.raises(RemoteError, match="FileExistsError"):
        worker.call_twice("make_once", path=str(tmp_path / "marker"))


def test_a_call_that_takes_too_long_is_killed(worker):
    for function, arguments in (("sleep", {"seconds": 60}), ("compute", {})):
        worker.timeout_s = 60
        pid = worker.call("place")["pid"]
        worker.timeout_s = 0.5
        with pytest.raises(WorkerTimeoutError, match=r"within 0\.5 s"):
            worker.call(function, **arguments)
        assert not is_running(pid)
    worker.timeout_s = 60
    assert worker.call("echo", value=2) == 2


def test_threads_get_their_own_answers(worker):
    answers: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda i=i: answers.update({i: worker.call("echo", value=i)}))
        for i in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {i: i for i in range(20)}


def test_close_ends_the_process_and_a_module_that_cant_be_imported_is_named(worker):
    pid = worker.call("place")["pid"]
    worker.close()
    assert not is_running(pid)
    absent = Worker("bfcl", "evaluation._worker.no_such", timeout_s=60)
    with pytest.raises(WorkerCrashedError, match="no_such"):
        absent.call("echo", value=1)


@pytest.mark.parametrize("call", ["'sleep', seconds=60", "'compute'"])
def test_a_killed_parent_takes_its_worker_along(call):
    program = (
        "import sys, threading, time; from evaluation.packages import Worker\n"
        f"worker = Worker('bfcl', {MODULE!r}, timeout_s=100)\n"
        "print(worker.call('place')['pid'], flush=True)\n"
        f"worker.call({call})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    pid = int(parent.stdout.readline())
    time.sleep(0.3)
    assert is_running(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not is_running(pid))


def test_a_worker_started_in_a_thread_outlives_that_thread(worker):
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(worker.call("place")["pid"]))
    thread.start()
    thread.join()
    assert worker.call("place")["pid"] == pids[0]


def test_half_made_and_outdated_environments_are_made_anew(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv(packages.VARIABLE, str(tmp_path / "bench"))
    python = interpreter("bfcl")
    assert "installing 6 packages" in capfd.readouterr().err
    assert interpreter("bfcl") == python and not capfd.readouterr().err
    folder = tmp_path / "bench" / "bfcl"
    for content in ("", "of another lock"):
        (folder / packages.STAMP).write_text(content)
        (folder / "left").touch()
        interpreter("bfcl")
        assert not (folder / "left").exists()
    with Worker("bfcl", MODULE, timeout_s=60) as made:
        assert made.call("place")["prefix"] == str(folder)


@pytest.mark.slow
def test_without_uv_pip_installs_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv(packages.VARIABLE, str(tmp_path))
    monkeypatch.setattr(packages, "_find_uv", lambda: None)
    done = subprocess.run(
        [interpreter("bfcl"), "-m", "pip", "list", "--format=json"], capture_output=True, check=True
    )
    installed = {item["name"].replace("_", "-"): item["version"] for item in json.loads(done.stdout)}
    assert installed["nvidia-bfcl"] == "26.3" and installed["tree-sitter"] == "0.21.3"


def test_what_cant_be_made_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv(packages.VARIABLE, str(tmp_path))
    (tmp_path / "bfcl").mkdir()
    (tmp_path / "bfcl" / "thesis.txt").touch()
    with pytest.raises(InputError, match="is no Python environment"):
        interpreter("bfcl")
    assert (tmp_path / "bfcl" / "thesis.txt").exists()
    monkeypatch.setenv(packages.VARIABLE, "/proc/nowhere")
    with pytest.raises(InputError, match="MAGIC_VENV_BENCH=/proc/nowhere"):
        interpreter("bfcl")


def test_without_a_registry_the_error_names_it_and_nothing_counts_as_made(tmp_path, monkeypatch):
    monkeypatch.setenv(packages.VARIABLE, str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with Worker("bfcl", MODULE, timeout_s=60) as made, pytest.raises(InputError, match="registry reachable"):
        made.call("place")
    assert not (tmp_path / "bfcl" / packages.STAMP).exists()
