"""Ray's workers by fork in rehearsal: torch, verl and vLLM are imported once, not by each of eight processes.

Ray starts a worker with the runtime environment's ``py_executable``. ``fork_client.py`` is that executable here: it
asks this server for a fork that becomes the worker, and stays as its deputy until it ends. Where the server is gone,
the client becomes the worker itself, at the price of its imports. On GPUs nothing of this is used.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magic_megatron.platform.supervisor import die_with_parent

CLIENT = Path(__file__).with_name("fork_client.py")
BACKLOG = 64
LENGTH = struct.Struct("!Q")


@dataclass(frozen=True)
class Modules:
    """What is imported before any fork: ``early`` at once, ``late`` with the first worker's environment.

    Ray reads its environment (job, raylet, how workers authenticate) when it is imported, and never again.
    """

    early: tuple[str, ...]
    late: tuple[str, ...]


@contextmanager
def fork_server(modules: Modules, environment: dict[str, str], log: Path) -> Iterator[str]:
    """A server that imports ``modules``, for the time of the ``with`` block; its value for ``py_executable``.

    It begins at once and beside the caller; workers that are asked for meanwhile wait.

    Args:
        environment: laid over the caller's while the modules are imported. A worker gets its own.
        log: what the server prints.
    """
    folder = Path(tempfile.mkdtemp(prefix="magic-fork-"))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(folder / "socket"))
        listener.listen(BACKLOG)
        words = [os.getpid(), listener.fileno(), ",".join(modules.early), ",".join(modules.late)]
        command = [sys.executable, "-m", __name__, *map(str, words)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | environment,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        listener.close()
        try:
            yield shlex.join([sys.executable, "-S", "-E", "-s", str(CLIENT), str(folder / "socket")])
        finally:
            process.kill()
            process.wait()
    finally:
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Fork:
    """A worker and the connection to the client that asked for it."""

    pid: int
    pidfd: int
    client: socket.socket


class _Server:
    """Single-threaded: a fork must not inherit another thread's locks."""

    def __init__(self, listener: socket.socket, late: list[str]) -> None:
        self._listener = listener
        self._late = late
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def next_worker(self) -> dict[str, Any]:
        """Serve for good; returns in each fork, with what it is to become."""
        while True:
            for key, _ in self._selector.select():
                fork: _Fork | None = key.data
                if fork is None:
                    request = self._accept()
                    if request is not None:
                        return request
                elif key.fd == fork.pidfd:
                    self._report(fork)
                elif key.fileobj.fileno() >= 0:  # type: ignore[union-attr]
                    os.kill(
                        fork.pid, signal.SIGKILL
                    )  # the client is gone, and with it what Ray knows to kill
                    self._selector.unregister(fork.client)

    def _accept(self) -> dict[str, Any] | None:
        client, _ = self._listener.accept()
        try:
            request, fds = _receive(client)
        except ConnectionError as error:
            print(f"a worker was given up before it began: {error}", file=sys.stderr)
            client.close()
            return None
        if self._late:
            os.environ |= request["environment"]
            _load(self._late)
            self._late = []
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with_parent(parent)
            self._become(request, fds, client)
            return request
        for fd in fds:
            os.close(fd)
        fork = _Fork(pid, os.pidfd_open(pid), client)
        self._selector.register(fork.pidfd, selectors.EVENT_READ, fork)
        self._selector.register(client, selectors.EVENT_READ, fork)
        _tell(client, pid)
        return None

    def _become(self, request: dict[str, Any], fds: list[int], client: socket.socket) -> None:
        """In the fork: the client's streams, folder, environment and arguments."""
        os.setsid()
        for key in list(self._selector.get_map().values()):
            fork = key.data
            if fork is not None and key.fd == fork.pidfd:
                os.close(fork.pidfd)
            elif fork is not None:
                fork.client.close()
        self._selector.close()
        self._listener.close()
        client.close()
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
            os.close(fd)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv[:] = request["arguments"]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed()

    def _report(self, fork: _Fork) -> None:
        """Tell the client how its worker ended."""
        _, status = os.waitpid(fork.pid, 0)
        self._selector.unregister(fork.pidfd)
        os.close(fork.pidfd)
        if fork.client in (key.fileobj for key in self._selector.get_map().values()):
            self._selector.unregister(fork.client)
        code = os.waitstatus_to_exitcode(status)
        _tell(fork.client, code if code >= 0 else 128 - code)
        fork.client.close()


def _tell(client: socket.socket, number: int) -> None:
    try:
        client.sendall(LENGTH.pack(number))
    except OSError as error:  # the loop sees the same, and ends the worker
        print(f"a worker's client is gone: {error}", file=sys.stderr)


def _receive(client: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A client's request and its three standard streams.

    Raises:
        ConnectionError: the client is gone.
    """
    header, fds, _, _ = socket.recv_fds(client, LENGTH.size, 3)
    if len(header) < LENGTH.size:
        raise ConnectionResetError("no request")
    (length,) = LENGTH.unpack(header)
    content = b""
    while len(content) < length:
        part = client.recv(length - len(content))
        if not part:
            raise ConnectionResetError("half a request")
        content += part
    request: dict[str, Any] = json.loads(content)
    return request, fds


def _load(modules: list[str]) -> None:
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main(parent: int, listener_fd: int, early: list[str], late: list[str]) -> None:
    """Import, serve, and in each fork be what was asked for until the interpreter's own end."""
    die_with_parent(parent)
    _load(early)
    request = _Server(socket.socket(fileno=listener_fd), late).next_worker()
    runpy.run_path(request["arguments"][0], run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4].split(","))
