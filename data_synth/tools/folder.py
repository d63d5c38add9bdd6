"""The folder of a curation: its files appear together at the end, the manifest last; one run at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recipes.command import InputError, make_folder

TOOLS, REJECTED, MANIFEST = "tools.jsonl", "rejected.jsonl", "manifest.json"
DEPENDENCY, SHARING, PICTURE = "dependency.graphml", "sharing.graphml", "graphs.html"
FILES = (TOOLS, REJECTED, DEPENDENCY, SHARING, PICTURE)
KIND, FORMAT_VERSION = "data_synth.tools", 1

_LOCK, _STAGE = ".tools.lock", ".tools.partial"


def check_folder(output_dir: Path) -> None:
    """Refuse a folder with files of the same names that no curation wrote.

    Raises:
        InputError: it is a file, or holds such files.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise InputError(f"output_dir={output_dir}: a file; choose another folder")
    manifest = output_dir / MANIFEST
    if manifest.exists():
        try:
            is_ours = json.loads(manifest.read_text(encoding="utf-8"))["kind"] == KIND
        except (ValueError, KeyError, TypeError):
            is_ours = False
        if not is_ours:
            raise InputError(
                f"output_dir={output_dir}: its {MANIFEST} is not a curation's; choose another folder"
            )
    elif any((output_dir / name).exists() for name in FILES) and not (output_dir / _LOCK).exists():
        raise InputError(f"output_dir={output_dir}: holds files of the same names; choose another folder")


@contextmanager
def staged(output_dir: Path) -> Iterator[Path]:
    """A folder to write ``FILES`` and the manifest into; they replace an earlier curation's when the block ends.

    A run that fails or is killed leaves the earlier files; killed while they are moved, no manifest.

    Raises:
        InputError: the folder can't be used, or another curation is writing there.
    """
    check_folder(output_dir)
    is_new = not output_dir.exists()
    make_folder("output_dir", output_dir)
    try:
        with _locked(output_dir):
            stage = output_dir / _STAGE
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
            try:
                yield stage
                _publish(stage, output_dir)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except BaseException:
        if is_new:
            (output_dir / _LOCK).unlink(missing_ok=True)
            output_dir.rmdir()
        raise


def _publish(stage: Path, output_dir: Path) -> None:
    (output_dir / MANIFEST).unlink(missing_ok=True)
    for name in (*FILES, MANIFEST):
        (stage / name).replace(output_dir / name)


@contextmanager
def _locked(output_dir: Path) -> Iterator[None]:
    try:
        lock = (output_dir / _LOCK).open("w")
    except OSError as error:
        raise InputError(f"output_dir={output_dir}: {error.strerror}; choose another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"output_dir={output_dir}: another run is writing there; wait for it or choose another"
            ) from None
        yield


def write_manifest(stage: Path, said: dict[str, Any]) -> None:
    """``manifest.json``, with size and SHA-256 of the files in ``stage``."""
    files = {name: describe_file(stage / name) for name in FILES}
    whole = {"format_version": FORMAT_VERSION, "kind": KIND, **said, "files": files}
    text = json.dumps(whole, ensure_ascii=False, indent=2)
    (stage / MANIFEST).write_text(text + "\n", encoding="utf-8")


def describe_file(path: Path) -> dict[str, Any]:
    """Bytes and SHA-256."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
