"""The output folder of a selection: one run at a time, earlier selections replaced, nothing else touched."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from data_synth.output_folder import acquire, check_version, describe, replace_text
from recipes.command import InputError

FORMAT_VERSION, KIND = 1, "data_synth.select"
DATA, SELECTION, REPORT, MANIFEST, LOCK = (
    "data.jsonl",
    "selection.jsonl",
    "report.html",
    "manifest.json",
    ".select.lock",
)
DATA_FILES = (DATA, SELECTION, REPORT)


class SelectionFolder:
    """Context manager that holds the folder's lock; ``complete`` says that this very selection is there.

    Raises:
        InputError: the folder holds something else, another run writes there, or it can't be written.
    """

    def __init__(self, path: Path, digests: dict[str, dict[str, str]], recorded: dict[str, Any]) -> None:
        """``digests``: SHA-256 by path of the files that the keys ``input`` and ``held_out`` name."""
        self.path, self.recorded = path, recorded
        self.complete = False
        self.sources = {path: digest for files in digests.values() for path, digest in files.items()}
        self._given = [(key, path) for key, files in digests.items() for path in files]
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self._lock = acquire(self.path, LOCK, "another selection is writing there; wait, or choose another")
        try:
            self._inspect()
        except InputError:
            self._lock.close()
            raise
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
        files = {name: describe(self.partial(name)) for name in DATA_FILES}
        self.partial(MANIFEST).write_text(self._manifest("complete", {**said, "files": files}), "utf-8")
        # A kill while files are moved leaves a manifest that says "running", by which they are recognised as ours.
        replace_text(self.path / MANIFEST, self._manifest("running", {}))
        for name in (*DATA_FILES, MANIFEST):
            self.partial(name).replace(self.path / name)

    def _manifest(self, status: str, said: dict[str, Any]) -> str:
        whole = {"format_version": FORMAT_VERSION, "kind": KIND, "status": status, **said}
        whole |= {"settings": self.recorded, "sources": self.sources}
        return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"

    def _inspect(self) -> None:
        for key, given in self._given:
            if Path(given).resolve() in {(self.path / name).resolve() for name in (DATA, SELECTION)}:
                raise InputError(f"{key}={given}: the selection would replace it; choose another output_dir")
        manifest = self.path / MANIFEST
        if not manifest.exists():
            for name in DATA_FILES:
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
        check_version(self.path, MANIFEST, found.get("format_version"), FORMAT_VERSION)
        self.complete = found.get("status") == "complete" and self._is_this(found)

    def _is_this(self, found: dict[str, Any]) -> bool:
        """Same settings, same inputs, files as they were written; anything else is selected anew."""
        recorded = json.loads(json.dumps(self.recorded))
        if found.get("settings") != recorded or found.get("sources") != self.sources:
            return False
        files = {name: describe(self.path / name) for name in DATA_FILES if (self.path / name).exists()}
        return found.get("files") == files
