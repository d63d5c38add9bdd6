"""The output folder of a run: one run at a time, one set of settings, whole lines only.

While a run lasts, its rows grow in ``*.partial`` and ``manifest.json`` says ``running``. Rejected lines are
written before the rows they led to; whatever is killed when, the first n rows and all that was rejected for
them are there, and the rest is cut off.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from recipes.command import InputError

FORMAT_VERSION = 1
DATA, REJECTED, MANIFEST, LOCK = "data.jsonl", "rejected.jsonl", "manifest.json", ".lock"
LOCK_PATIENCE_S = 2.0
"""A killed run's last worker may hold the lock for an instant."""


class OutputFolder:
    """Context manager that holds the folder's lock.

    Raises:
        InputError: another run is at work in the folder, or its rows have other settings.
    """

    def __init__(self, path: Path, recorded: dict[str, Any]) -> None:
        self.path = path
        self.recorded = recorded
        self.complete = False
        self._lock: IO[str] | None = None
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open("w")
        except OSError as error:
            raise InputError(f"output_dir={self.path}: {error.strerror}; choose another folder") from None
        try:
            self._acquire()
            self.complete = self._inspect()
        except InputError:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()
        if self._lock is not None:
            self._lock.close()

    def close_in_worker(self) -> None:
        """Give up a forked worker's share of the lock."""
        if self._lock is not None:
            self._lock.close()

    def restore(self) -> tuple[set[str], Counter[str], int]:
        """Open the partial files for appending.

        Returns:
            the structures of the rows there, the rejected by reason, the number of rows.
        """
        if not (self.path / MANIFEST).exists():
            self._write_manifest({"status": "running"})
        for name in (DATA, REJECTED):
            if (self.path / name).exists():
                (self.path / name).replace(self._partial(name))
            self._files[name] = self._partial(name).open("a+b")
        rows = self._keep_whole_lines(DATA, lambda line: True)
        seen = {row["meta"]["instance"] for row in rows}
        rejected = self._keep_whole_lines(REJECTED, lambda line: line["index"] < len(rows))
        return seen, Counter(line["reason"] for line in rejected), len(rows)

    def append(self, rows: list[str], rejected: list[str]) -> None:
        """Add lines; the rejected ones reach the file first."""
        for name, lines in ((REJECTED, rejected), (DATA, rows)):
            self._files[name].write("".join(lines).encode())
            self._files[name].flush()

    def drop_if_empty(self) -> None:
        """Leave no trace of a run that made no row, so that the folder can be used with other settings."""
        if self._partial(DATA).stat().st_size == 0:
            for path in (self._partial(DATA), self._partial(REJECTED), self.path / MANIFEST):
                path.unlink(missing_ok=True)

    def finish(self, summarise: Callable[[Path, Path, Path], dict[str, Any]]) -> None:
        """Give the files their final names; ``manifest.json`` comes last and says ``complete``.

        Args:
            summarise: from the rows and the rejected, writes the report and returns what the manifest says.
        """
        for file in self._files.values():
            file.close()
        report = self.path / "report.html"
        said = summarise(self._partial(DATA), self._partial(REJECTED), report)
        for name in (DATA, REJECTED):
            self._partial(name).replace(self.path / name)
        files = {name: _describe(self.path / name) for name in (DATA, REJECTED, report.name)}
        self._write_manifest({"status": "complete", **said, "files": files})

    def _acquire(self) -> None:
        assert self._lock is not None
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError(
                        f"output_dir={self.path}: another run is writing there; wait for it or choose another"
                    ) from None
                time.sleep(0.05)

    def _inspect(self) -> bool:
        """Whether the folder holds this very run, complete."""
        if not (self.path / MANIFEST).exists():
            if (self.path / DATA).exists():
                raise InputError(
                    f"output_dir={self.path}: holds a {DATA} without {MANIFEST}; choose another folder"
                )
            return False
        try:
            manifest = json.loads((self.path / MANIFEST).read_text("utf-8"))
            theirs = manifest["settings"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise InputError(
                f"output_dir={self.path}: its {MANIFEST} is not of data_synth; choose another folder"
            ) from None
        for key, ours in {**theirs, **self.recorded}.items():
            if key not in self.recorded or key not in theirs or theirs[key] != ours:
                raise InputError(
                    f"{key}={self.recorded.get(key)}: output_dir={self.path} was made with "
                    f"{key}={theirs.get(key)}; choose another output_dir"
                )
        if manifest["status"] != "complete":
            return False
        for name, described in manifest["files"].items():
            if not (self.path / name).exists() or _describe(self.path / name) != described:
                raise InputError(
                    f"output_dir={self.path}: {name} is not the one in {MANIFEST}; choose another folder"
                )
        return True

    def _keep_whole_lines(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The leading lines that are whole and wanted; the file is cut after them."""
        file = self._files[name]
        file.seek(0)
        kept, end = [], 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            record = json.loads(line)
            if not wanted(record):
                break
            kept.append(record)
            end += len(line)
        file.truncate(end)
        file.seek(0, os.SEEK_END)
        return kept

    def _partial(self, name: str) -> Path:
        return self.path / f"{name}.partial"

    def _write_manifest(self, said: dict[str, Any]) -> None:
        manifest = {"format_version": FORMAT_VERSION, **said, "settings": self.recorded}
        text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
        self._partial(MANIFEST).write_text(text, "utf-8")
        self._partial(MANIFEST).replace(self.path / MANIFEST)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
