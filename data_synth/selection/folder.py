"""The output folder of a selection: one run at a time, earlier selections replaced, nothing else touched."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from data_synth.writers.staging import digest
from recipes.command import InputError, make_folder

FORMAT_VERSION, KIND = 1, "data_synth.select"
DATA, SELECTION, REPORT, MANIFEST, LOCK = (
    "data.jsonl",
    "selection.jsonl",
    "report.html",
    "manifest.json",
    ".select.lock",
)


class SelectionFolder:
    """Context manager that holds the folder's lock; ``complete`` says that this very selection is there.

    Raises:
        InputError: the folder holds something else, another run writes there, or it can't be written.
    """

    def __init__(self, path: Path, inputs: list[str], recorded: dict[str, Any]) -> None:
        self.path, self.recorded = path, recorded
        self.complete = False
        self._inputs = inputs
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        make_folder("output_dir", self.path)
        try:
            self._lock = (self.path / LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"output_dir={self.path}: another selection is writing there; wait, or choose another"
            ) from None
        except OSError as error:
            raise InputError(f"output_dir={self.path}: {error.strerror}; choose another folder") from None
        self._inspect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._lock is not None
        self._lock.close()

    def partial(self, name: str) -> Path:
        """Where a file grows until ``finish``."""
        return self.path / f"{name}.partial"

    def finish(self, said: dict[str, Any]) -> None:
        """Give the files their names; the manifest comes last, so that without it nothing counts."""
        manifest = self.path / MANIFEST
        files = {name: self._describe(self.partial(name)) for name in (DATA, SELECTION, REPORT)}
        whole = {"format_version": FORMAT_VERSION, "kind": KIND, "status": "complete", **said}
        whole |= {"settings": self.recorded, "files": files}
        self.partial(MANIFEST).write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", "utf-8")
        self._mark()
        for name in (DATA, SELECTION, REPORT):
            self.partial(name).replace(self.path / name)
        self.partial(MANIFEST).replace(manifest)

    def _mark(self) -> None:
        """A manifest that says ``running`` while files are moved, so that a kill in between is recognised as ours."""
        running = {
            "format_version": FORMAT_VERSION,
            "kind": KIND,
            "status": "running",
            "settings": self.recorded,
        }
        aside = self.path / f"{MANIFEST}.new"
        aside.write_text(json.dumps(running, ensure_ascii=False, indent=1) + "\n", "utf-8")
        aside.replace(self.path / MANIFEST)

    def _inspect(self) -> None:
        for given in self._inputs:
            if Path(given).resolve() in {(self.path / name).resolve() for name in (DATA, SELECTION)}:
                raise InputError(f"input={given}: the selection would replace it; choose another output_dir")
        manifest = self.path / MANIFEST
        if not manifest.exists():
            for name in (DATA, SELECTION, REPORT):
                if (self.path / name).exists():
                    raise InputError(
                        f"output_dir={self.path}: holds a {name} of something else; choose another folder"
                    )
            return
        try:
            found = json.loads(manifest.read_text("utf-8"))
            ours = found.get("kind") == KIND
        except (ValueError, AttributeError):
            ours = False
        if not ours:
            raise InputError(
                f"output_dir={self.path}: its {MANIFEST} is not a selection's; choose another folder"
            )
        self.complete = found["status"] == "complete" and self._is_this(found)

    def _is_this(self, found: dict[str, Any]) -> bool:
        """Same settings, same inputs, files as they were written; anything else is selected anew."""
        recorded = json.loads(json.dumps(self.recorded))
        if found["settings"] != recorded or found["sources"] != {
            path: digest(Path(path)) for path in self._inputs
        }:
            return False
        return all(
            (self.path / name).exists() and self._describe(self.path / name) == described
            for name, described in found["files"].items()
        )

    def _describe(self, path: Path) -> dict[str, Any]:
        return {"bytes": path.stat().st_size, "sha256": digest(path)}
