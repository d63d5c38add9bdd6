"""The output folder of a run: one run at a time, one set of settings, whole lines only.

While a run lasts, its rows grow in ``*.partial`` and ``manifest.json`` says ``running``. Rejected lines are
written before the rows they led to; whatever is killed when, the first n rows and all that was rejected for
them are there, and the rest is cut off.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from data_synth.output_folder import acquire, check_version, describe, replace_text
from recipes.command import InputError

FORMAT_VERSION = 1
DATA, REJECTED, MANIFEST, LOCK = "data.jsonl", "rejected.jsonl", "manifest.json", ".lock"
REPORT, CARD = "report.html", "README.md"
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
        self._files: dict[str, FileIO] = {}
        self._num_rows = 0

    def __enter__(self) -> Self:
        self._lock = acquire(self.path, LOCK, patience_s=LOCK_PATIENCE_S)
        try:
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

    def restore(self, keep: Callable[[dict[str, Any]], None]) -> tuple[int, Counter[str]]:
        """Open the partial files for appending, and give every row that is there to ``keep``.

        Returns:
            the number of rows, the rejected by reason.
        """
        if not (self.path / MANIFEST).exists():
            self._write_manifest({"status": "running"})
        for name in (DATA, REJECTED):
            if (self.path / name).exists():
                (self.path / name).replace(self._partial(name))
            self._files[name] = self._partial(name).open("ab", buffering=0)
        done, reasons = 0, Counter[str]()
        for row in self._whole_lines(DATA, lambda line: True):
            keep(row)
            done += 1
        for line in self._whole_lines(REJECTED, lambda line: line["index"] < done):
            reasons[line["reason"]] += 1
        self._num_rows = done
        return done, reasons

    def append(self, rows: list[str], rejected: list[str]) -> None:
        """Add lines; the rejected ones reach the file first.

        Raises:
            InputError: the disk is full; what is there stays.
        """
        for name, lines in ((REJECTED, rejected), (DATA, rows)):
            with self._told_of(name):
                _write_all(self._files[name], "".join(lines).encode())
        self._num_rows += len(rows)

    def drop_if_empty(self) -> None:
        """Leave no trace of a run that made no row, so that the folder can be used with other settings."""
        if self._partial(DATA).stat().st_size == 0:
            for path in (self._partial(DATA), self._partial(REJECTED), self.path / MANIFEST):
                path.unlink(missing_ok=True)

    def finish(
        self,
        summarise: Callable[[Path, Path, Path], dict[str, Any]],
        make_card: Callable[[dict[str, Any]], str],
        usage: dict[str, Any],
    ) -> None:
        """Give the files their final names; ``manifest.json`` comes last and says ``complete``.

        Args:
            summarise: from the rows and the rejected, writes the report and returns what the manifest says.
            make_card: returns the card's text, from what the manifest says but for the files.
            usage: what the model's answers took; empty where there was no model.
        """
        for file in self._files.values():
            file.close()
        with self._told_of(REPORT):
            said = summarise(self._partial(DATA), self._partial(REJECTED), self.path / REPORT)
        for name in (DATA, REJECTED):
            self._partial(name).replace(self.path / name)
        whole = {"status": "complete", **said, **({"llm": usage} if usage else {})}
        with self._told_of(CARD):
            replace_text(self.path / CARD, make_card(self._manifest(whole)))
        files = {name: describe(self.path / name) for name in (DATA, REJECTED, REPORT, CARD)}
        self._write_manifest({**whole, "files": files})

    def _inspect(self) -> bool:
        """Whether the folder holds this very run, complete."""
        if not (self.path / MANIFEST).exists():
            if (self.path / DATA).exists():
                raise InputError(
                    f"output_dir={self.path}: holds a {DATA} without {MANIFEST}; choose another folder"
                )
            return False
        manifest = self._read_manifest()
        theirs = manifest["settings"]
        for key, ours in {**theirs, **self.recorded}.items():
            if key not in self.recorded or key not in theirs or theirs[key] != ours:
                raise InputError(
                    f"{key}={self.recorded.get(key)}: output_dir={self.path} was made with "
                    f"{key}={theirs.get(key)}; choose another output_dir"
                )
        if manifest["status"] != "complete":
            return False
        for name, described in manifest["files"].items():
            if not (self.path / name).exists() or describe(self.path / name) != described:
                raise InputError(
                    f"output_dir={self.path}: {name} is not the one in {MANIFEST}; choose another folder"
                )
        return True

    def _read_manifest(self) -> dict[str, Any]:
        """What ``_write_manifest`` wrote.

        Raises:
            InputError: something else, or another version, did.
        """
        try:
            manifest: dict[str, Any] = json.loads((self.path / MANIFEST).read_text("utf-8"))
            version, is_complete = manifest["format_version"], manifest["status"] == "complete"
            parts = [manifest["settings"], manifest["files"] if is_complete else {}]
            if not all(isinstance(part, dict) for part in parts):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"output_dir={self.path}: its {MANIFEST} is not of data_synth; choose another folder"
            ) from None
        check_version(self.path, MANIFEST, version, FORMAT_VERSION)
        return manifest

    def _whole_lines(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
        """The leading lines that are whole and wanted; the file is cut after them."""
        end = 0
        with self._partial(name).open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                record = json.loads(line)
                if not wanted(record):
                    break
                yield record
                end += len(line)
        os.truncate(self._partial(name), end)

    @contextmanager
    def _told_of(self, name: str) -> Iterator[None]:
        """The disk's refusal to write ``name``, as the user's message."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"output_dir={self.path}: {name} could not be written ({error.strerror});"
                f" make room, and the same command goes on from row {self._num_rows}"
            ) from None

    def _partial(self, name: str) -> Path:
        return self.path / f"{name}.partial"

    def _manifest(self, said: dict[str, Any]) -> dict[str, Any]:
        return {"format_version": FORMAT_VERSION, **said, "settings": self.recorded}

    def _write_manifest(self, said: dict[str, Any]) -> None:
        manifest = self._manifest(said)
        text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
        with self._told_of(MANIFEST):
            replace_text(self.path / MANIFEST, text)


def _write_all(file: FileIO, content: bytes) -> None:
    """A raw file takes as much as fits; unlike a buffered one it doesn't try again when it is closed."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
