"""Answers that were paid for, in SQLite: shared by the threads and processes of one machine, safe against kills.

The key of an answer is the SHA-256 of its request, so a changed parser or filter reads the same answers again. The
first answer to a request stands: of two processes that asked at once, both go on with the one that was stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_synth.llm.completion import Completion, Usage
from recipes.command import InputError

BUSY_S = 60.0
"""So long a process waits for another to finish writing."""

APPLICATION_ID = 0x4D4D4C43
VERSION = 1
SCHEMA = """
CREATE TABLE answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, reasoning TEXT,
    finish_reason TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, checksum TEXT NOT NULL);
CREATE TABLE totals (
    model TEXT PRIMARY KEY,
    requests INTEGER NOT NULL DEFAULT 0, unusable INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
    cost REAL NOT NULL DEFAULT 0,
    cached_requests INTEGER NOT NULL DEFAULT 0, cached_prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cached_completion_tokens INTEGER NOT NULL DEFAULT 0);
"""


@dataclass(frozen=True)
class Totals:
    """What a cache has seen: paid requests, of which some unusable, and cached ones, which cost nothing."""

    requests: int = 0
    unusable: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    cached_requests: int = 0
    cached_prompt_tokens: int = 0
    cached_completion_tokens: int = 0


FIELDS = tuple(Totals.__dataclass_fields__)


class RequestCache:
    """One connection per process, opened when it is needed, closed while the process forks.

    Every method raises InputError, which names ``llm.cache``: a damaged file, a full disk, no right to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        _CACHES.add(self)

    def check(self) -> None:
        """Open the file, or make it, and let go of it."""
        self._run(lambda connection: connection.execute("SELECT count(*) FROM totals"))
        self.close()

    def get(self, key: str, model: str) -> Completion | None:
        """The answer to the request, counted as cached; None if it was never asked."""
        found = self._run(lambda connection: self._read(connection, key))
        if found is not None:
            tokens = (found.usage.prompt_tokens or 0, found.usage.completion_tokens or 0)
            columns = ("cached_requests", "cached_prompt_tokens", "cached_completion_tokens")
            self._run(lambda connection: _add(connection, model, columns, (1, *tokens)))
        return found

    def put(self, key: str, model: str, role: str, answer: Completion, cost: float) -> Completion:
        """Keep a paid answer; returns the one that stands, which is an earlier one if there is."""
        usage = answer.usage
        row = (
            answer.text,
            answer.reasoning,
            answer.finish_reason,
            usage.prompt_tokens,
            usage.completion_tokens,
        )

        def write(connection: sqlite3.Connection) -> Completion | None:
            with _transaction(connection):
                connection.execute(
                    "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (key, model, role, *row, _checksum(key, row)),
                )
                _add(connection, model, *_paid(usage, cost))
            return self._read(connection, key)

        return self._run(write) or answer

    def pay(self, model: str, usage: Usage, cost: float) -> None:
        """Count an answer that was paid for and can't be used."""
        columns, values = _paid(usage, cost)
        self._run(lambda connection: _add(connection, model, (*columns, "unusable"), (*values, 1)))

    def totals(self, model: str | None = None) -> Totals:
        """Of one model, or of all that the file has seen."""
        sums = ", ".join(f"coalesce(sum({field}), 0)" for field in FIELDS)
        query = f"SELECT {sums} FROM totals" + ("" if model is None else " WHERE model = ?")
        values = () if model is None else (model,)
        return Totals(*self._run(lambda connection: connection.execute(query, values).fetchone()))

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _read(self, connection: sqlite3.Connection, key: str) -> Completion | None:
        query = (
            "SELECT text, reasoning, finish_reason, prompt_tokens, completion_tokens, checksum FROM answers"
        )
        found = connection.execute(f"{query} WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        *row, checksum = found
        if checksum != _checksum(key, tuple(row)):
            raise sqlite3.DatabaseError("an answer isn't the one that was stored")
        return Completion(row[0], row[1], row[2], Usage(row[3], row[4]))

    def _run[Result](self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        """``action`` on the connection; again while other processes hold the file."""
        deadline = time.monotonic() + BUSY_S
        with self._lock:
            while True:
                try:
                    if self._connection is None:
                        self._connection = self._open()
                    return action(self._connection)
                except (sqlite3.Error, OSError) as error:
                    if not _is_busy(error) or time.monotonic() > deadline:
                        raise InputError(f"llm.cache={self.path}: {self._explain(error)}") from None
                time.sleep(0.02)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with _transaction(connection, "DEFERRED"):  # one look: another process may be making the file
                identity = [
                    connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("application_id", "user_version")
                ]
                (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if num_tables and identity != [APPLICATION_ID, VERSION]:
                raise InputError(
                    f"llm.cache={self.path}: a SQLite file of another program or version; give another name"
                )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            with _transaction(connection):
                if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in SCHEMA.split(";")[:-1]:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _explain(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"{error.strerror}; give a file that can be written"
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and self._is_disk_full()):
            return "the disk is full; make room there and run the same command again, or give another disk's file"
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return f"can't be written ({error}); give a file in a folder that can"
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return f"another process has held it for {BUSY_S:.0f} s; end that one, or give another file"
        if name.startswith("SQLITE_IOERR"):
            return f"{error} ({name}); see whether the disk is in order, or give a file on another"
        return f"damaged ({error}); move it away, and its answers are asked for anew, or restore a copy"

    def _is_disk_full(self) -> bool:
        try:
            status = os.statvfs(self.path.parent)
        except OSError:
            return False
        return status.f_bavail * status.f_frsize < 64 * 1024


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # where the disk is full, SQLite may have rolled back itself
            connection.execute("ROLLBACK")
        raise


def _paid(usage: Usage, cost: float) -> tuple[tuple[str, ...], tuple[float, ...]]:
    columns = ("requests", "prompt_tokens", "completion_tokens", "cost")
    return columns, (1, usage.prompt_tokens or 0, usage.completion_tokens or 0, cost)


def _add(
    connection: sqlite3.Connection, model: str, columns: tuple[str, ...], values: tuple[float, ...]
) -> None:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    sums = ", ".join(f"{column} = {column} + excluded.{column}" for column in columns)
    connection.execute(
        f"INSERT INTO totals (model, {names}) VALUES (?, {marks}) ON CONFLICT (model) DO UPDATE SET {sums}",
        (model, *values),
    )


def _checksum(key: str, row: tuple[object, ...]) -> str:
    """SQLite doesn't notice a flipped bit in a text; this does."""
    return hashlib.sha256(repr((key, *row)).encode()).hexdigest()[:32]


_CACHES: weakref.WeakSet[RequestCache] = weakref.WeakSet()
_held: list[RequestCache] = []


def _before_fork() -> None:
    """A child must not inherit an open connection: SQLite's file locks belong to the process that took them."""
    for cache in list(_CACHES):
        cache._lock.acquire()
        _held.append(cache)
        cache.close()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._lock.release()


def _after_fork_in_child() -> None:
    while _held:
        _held.pop()._lock = threading.RLock()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
