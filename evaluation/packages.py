"""Official checkers whose packages can't share the project's environment: one environment each, and a process in it.

``.venv-bench/<package>`` lies beside ``.venv`` (``MAGIC_VENV_BENCH`` names another folder than ``.venv-bench``).
The first use makes it from ``evaluation/locks/<package>.lock``, which pins everything that goes in, with hashes.
A ``Worker`` runs a module of ours under its interpreter and calls that module's functions:

    with Worker("bfcl", "evaluation._worker.bfcl_checker", timeout_s=30) as worker:
        verdict = worker.call("check", sample_id=..., text=...)

Arguments and values cross as JSON, so tuples arrive as lists. The process inherits no variable but ``PATH`` and
the like, so no key either. It should hold no state that a restart would lose: a call that crashes or runs out of
time takes the process with it, and the next call starts a new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recipes.command import InputError, make_folder

ROOT = Path(__file__).parents[1]
VARIABLE = "MAGIC_VENV_BENCH"
STAMP = ".magic-stamp"
MAKE_TIMEOUT_S = 1800
START_TIMEOUT_S = 600
"""For a worker's imports, which take seconds, on a busy machine minutes."""
MEMORY_BYTES = 4 << 30
"""A worker's address space: a simulated calculator can be asked for 10**10**10."""
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE")
MAX_LOG_BYTES = 1 << 20

# The root comes last on the path, so that none of its folders hides a package of the environment.
_BOOT = "import sys; sys.path.append(sys.argv[1]); from evaluation._worker import serve; serve(*sys.argv[2:])"


def interpreter(package: str) -> Path:
    """The Python of ``package``'s environment, which is made first if it isn't there or its lock has changed.

    Raises:
        InputError: it can't be made; the message says why and what to do.
    """
    lock = ROOT / "evaluation" / "locks" / f"{package}.lock"
    folder = Path(os.environ.get(VARIABLE) or ROOT / ".venv-bench").absolute() / package
    python = folder / "bin" / "python"
    stamp = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    if _is_made(folder, stamp):
        return python
    make_folder(VARIABLE, folder.parent)
    try:
        with folder.with_suffix(".making").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not _is_made(folder, stamp):  # by whoever held the lock before
                _make(folder, lock)
                (folder / STAMP).write_text(stamp)
    except OSError as error:
        raise InputError(
            f"{VARIABLE}={folder.parent}: {error.strerror or error}; choose a folder that can be written"
        ) from None
    return python


def _is_made(folder: Path, stamp: str) -> bool:
    try:
        return (folder / STAMP).read_text() == stamp and (folder / "bin" / "python").exists()
    except OSError:
        return False


def _make(folder: Path, lock: Path) -> None:
    """Make the environment; a half-made or outdated one is removed, since its stamp is missing or another."""
    if folder.exists():
        if not (folder / "pyvenv.cfg").exists() and any(folder.iterdir()):
            raise InputError(
                f"{VARIABLE}={folder.parent}: {folder} exists and is no Python environment; choose another folder"
            )
        shutil.rmtree(folder)
    num_packages = sum(line[:1].isalpha() for line in lock.read_text().splitlines())
    print(f"installing {num_packages} packages into {folder} (only this once)", file=sys.stderr, flush=True)
    python = str(folder / "bin" / "python")
    if uv := _find_uv():
        _install([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], folder)
        _install([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, str(lock)], folder)
    else:
        _install([sys.executable, "-m", "venv", str(folder)], folder)
        pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]
        _install(pip, folder)


def _find_uv() -> str | None:
    """uv of the running environment, which launch/setup.sh puts there, or any other."""
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def _install(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAKE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{VARIABLE}={folder.parent}: installing {folder.name} took more than {MAKE_TIMEOUT_S} s; "
            "is the package registry reachable?"
        ) from None
    if done.returncode:
        told = " | ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise InputError(
            f"{VARIABLE}={folder.parent}: couldn't install {folder.name} ({told[-400:]}); is the package registry "
            f"reachable? Or copy the folder from a machine with the same Python where it was made"
        )


class WorkerError(Exception):
    """A call gave no value."""


class RemoteError(WorkerError):
    """The called function raised; the message is the exception's type and text. The process lives on."""


class WorkerCrashedError(WorkerError):
    """The process ended during the call: killed, out of memory, or a crash in native code."""


class WorkerTimeoutError(WorkerError):
    """No value within the time-out; the process was killed."""


class Worker:
    """A process of a package's environment that answers calls, one at a time; threads take turns.

    Args:
        package: name of a lock in ``evaluation/locks/``.
        module: dotted name of a module in ``evaluation/_worker/``; its public functions can be called.
        timeout_s: for one call, a start of the process before it not counted.

    The process ends with this one, however that ends, and with ``close``.
    """

    def __init__(self, package: str, module: str, timeout_s: float) -> None:
        self._package = package
        self._module = module
        self.timeout_s = timeout_s
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115  (lives as long as the worker)
        self._lifeline = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, function: str, /, **arguments: Any) -> Any:
        """The value of the module's ``function`` for JSON arguments.

        Raises:
            RemoteError, WorkerCrashedError, WorkerTimeoutError: as they say; all are WorkerErrors.
            InputError: the environment can't be made.
            TypeError, ValueError, RecursionError: an argument that JSON doesn't hold.
        """
        line = json.dumps({"function": function, "arguments": arguments}).encode() + b"\n"
        with self._turn:
            if self._process and self._process.poll() is not None:  # killed while it waited for a call
                self._end(self._process)
            process = self._process or self._start()
            reply = self._exchange(process, line, self.timeout_s)
        if "error" in reply:
            raise RemoteError(reply["error"])
        return reply["value"]

    def call_twice(self, function: str, /, **arguments: Any) -> Any:
        """``call``, and after a crash or a time-out once more in a new process: the machine may be to blame.

        Raises: as ``call``, of the second.
        """
        try:
            return self.call(function, **arguments)
        except (WorkerCrashedError, WorkerTimeoutError):
            return self.call(function, **arguments)

    def close(self) -> None:
        """End the process; a later call starts another."""
        with self._turn:
            if self._process:
                self._end(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        python = interpreter(self._package)
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        hangs_up, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [python, "-s", "-P", "-c", _BOOT, ROOT, self._module, str(hangs_up), str(MEMORY_BYTES)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                pass_fds=(hangs_up,),
                cwd=python.parents[1],
                env={**environment, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "TZ": "UTC"},
            )
        finally:
            os.close(hangs_up)
        self._exchange(self._process, b"", START_TIMEOUT_S)
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes, timeout_s: float) -> dict[str, Any]:
        """Send a line and read one; a timer kills a process that takes too long, which ends the reading."""
        assert process.stdin and process.stdout
        too_late = threading.Event()

        def stop() -> None:
            too_late.set()
            process.kill()

        timer = threading.Timer(timeout_s, stop)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply = process.stdout.readline()
        except OSError:
            reply = b""
        except BaseException:  # Ctrl-C between question and answer: the next answer would be this one's
            self._end(process)
            raise
        finally:
            timer.cancel()
        if too_late.is_set() or not reply.endswith(b"\n"):
            self._end(process)
            if too_late.is_set():
                raise WorkerTimeoutError(f"{self._module}: no value within {timeout_s:g} s")
            raise WorkerCrashedError(
                f"{self._module}: ended with status {process.returncode}{self._last_words()}"
            )
        if os.fstat(self._log.fileno()).st_size > MAX_LOG_BYTES:
            self._log.truncate(0)
        value: dict[str, Any] = json.loads(reply)
        return value

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        os.close(self._lifeline)
        self._process = None
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()  # type: ignore[union-attr]
            except BrokenPipeError:
                continue  # the rest of a line that the process didn't live to read

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read()[-2000:].decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f" ({said[-1]})" if said else ""
