"""Workers by fork: what they are given, how their end is told, and that none outlives server or client."""

import os
import shlex
import signal
import subprocess
import sys
import time

import psutil
import pytest

from magic_megatron.platform.fork_server import Modules, fork_server

MODULES = Modules(early=("json", "decimal"), late=("fractions",))
WORKER = """
import os, sys
print("decimal" in sys.modules, "fractions" in sys.modules, sys.argv[1:], os.environ["COLOUR"], os.getcwd(), __name__)
print(os.getsid(0) == os.getpid(), file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
SLEEPER = """
import os, sys, time
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def executable(tmp_path):
    with fork_server(MODULES, {}, tmp_path / "server.log") as command:
        yield shlex.split(command)


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "worker.py"
        path.write_text(text)
        return str(path)

    return write


def start_sleeper(executable, script):
    client = subprocess.Popen([*executable, script(SLEEPER)], stdout=subprocess.PIPE, text=True)
    return client, psutil.Process(int(client.stdout.readline()))


def test_a_worker_is_what_the_interpreter_would_have_been(executable, script, tmp_path):
    for status in (0, 7):
        done = subprocess.run(
            [*executable, script(WORKER), str(status), "b c"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"COLOUR": "blue"},
            timeout=60,
        )
        assert done.returncode == status
        assert done.stdout == f"True True ['{status}', 'b c'] blue {tmp_path} __main__\n"
        assert done.stderr == "True\n"


def test_workers_draw_different_random_numbers(executable, script):
    path = script("import numpy, random\nprint(random.random(), numpy.random.random())")
    drawn = {
        subprocess.run([*executable, path], capture_output=True, text=True, timeout=60).stdout
        for _ in range(3)
    }
    assert len(drawn) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_with_its_client(executable, script, number):
    client, worker = start_sleeper(executable, script)
    client.send_signal(number)
    assert client.wait(60) == (128 + signal.SIGTERM if number == signal.SIGTERM else -signal.SIGKILL)
    psutil.wait_procs([worker], timeout=60)
    assert not worker.is_running()


def test_a_client_tells_which_signal_ended_its_worker(executable, script):
    client, worker = start_sleeper(executable, script)
    worker.kill()
    assert client.wait(60) == 128 + signal.SIGKILL


def test_no_worker_outlives_the_server(script, tmp_path):
    with fork_server(MODULES, {}, tmp_path / "server.log") as command:
        client, worker = start_sleeper(shlex.split(command), script)
    assert client.wait(60) == 128 + signal.SIGKILL
    psutil.wait_procs([worker], timeout=60)
    assert not worker.is_running()


def test_without_a_server_the_client_becomes_the_worker(script, tmp_path):
    with fork_server(MODULES, {}, tmp_path / "server.log") as command:
        pass
    done = subprocess.run(
        [*shlex.split(command), script(WORKER), "3"],
        capture_output=True,
        text=True,
        env={"COLOUR": "red"},
        timeout=60,
    )
    assert done.returncode == 3
    assert done.stdout.startswith("False False ['3'] red")
    assert "this worker imports for itself" in done.stderr


def test_the_server_dies_with_its_starter(tmp_path):
    """However that ends: Ray's driver may be killed."""
    starter = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, time, psutil\n"
            "from pathlib import Path\n"
            "from magic_megatron.platform.fork_server import Modules, fork_server\n"
            f"with fork_server(Modules(('json',), ('decimal',)), {{}}, Path({str(tmp_path / 'log')!r})):\n"
            "    print(psutil.Process().children()[0].pid, flush=True)\n"
            "    time.sleep(600)\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    server = psutil.Process(int(starter.stdout.readline()))
    time.sleep(0.5)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    psutil.wait_procs([server], timeout=60)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
