"""No process below the supervisor outlives it, however it or its parent ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from magic_megatron.platform import supervisor

# Starts a process that ignores SIGTERM and one in a session of its own whose parent is gone, names both and waits.
FAMILY = """
trap '' TERM
sleep 1000 &
echo $!
trap - TERM
python -c 'import os, sys; os.setsid(); os.fork() and sys.exit(); os.execvp("sleep", ["sleep", "1000"])' &
wait $!
sleep 1000 &
echo $!
echo ready
wait
"""


def supervised(command, parent=None):
    return [sys.executable, supervisor.__file__, str(parent or os.getpid()), *command]


def start_family(arguments, **options):
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, **options)
    lines = iter(process.stdout.readline, "ready\n")
    announced = [psutil.Process(int(line)) for line in lines]
    return process, announced


def all_below(process):
    return psutil.Process(process.pid).children(recursive=True)


def wait_until_gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive, [process.cmdline() for process in alive]


@pytest.fixture(autouse=True)
def short_grace(monkeypatch, tmp_path):
    """The supervisor runs by path, so its grace is shortened in a copy of it."""
    source = Path(supervisor.__file__).read_text()
    copy = tmp_path / "supervisor.py"
    copy.write_text(source.replace("GRACE_S = 10.0", "GRACE_S = 0.5"))
    monkeypatch.setattr(supervisor, "__file__", str(copy))


def test_the_status_is_the_command_s():
    assert subprocess.run(supervised(["sh", "-c", "exit 7"])).returncode == 7
    assert subprocess.run(supervised(["sh", "-c", "kill -TERM $$"])).returncode == 128 + signal.SIGTERM


def test_told_to_end_it_ends_all_descendants():
    process, _ = start_family(supervised(["bash", "-c", FAMILY]))
    below = all_below(process)
    assert len(below) >= 4
    process.terminate()
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    wait_until_gone(below)


def test_orphans_end_when_the_command_does():
    process, _ = start_family(
        supervised(["bash", "-c", FAMILY.replace("\nwait\n", "\nread line; exit 3\n")]), stdin=subprocess.PIPE
    )
    below = all_below(process)
    process.communicate("\n", timeout=20)
    assert process.returncode == 3
    wait_until_gone(below)


def test_a_killed_parent_leaves_nothing_behind():
    parent = """
import os, subprocess, sys
sys.exit(subprocess.run([sys.executable, sys.argv[1], str(os.getpid()), *sys.argv[2:]]).returncode)
"""
    process, _ = start_family([sys.executable, "-c", parent, supervisor.__file__, "bash", "-c", FAMILY])
    below = all_below(process)
    assert len(below) >= 5
    process.kill()
    process.wait()
    wait_until_gone(below)


def test_a_parent_that_is_gone_already_starts_nothing():
    gone = subprocess.Popen(["true"])
    gone.wait()
    start = time.monotonic()
    done = subprocess.run(supervised(["sleep", "1000"], parent=gone.pid), timeout=20)
    assert done.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - start < 15
