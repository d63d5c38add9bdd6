"""Output that appears as a whole: written aside, moved into place, its manifest last."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recipes.command import InputError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@contextmanager
def staged(output_dir: Path) -> Iterator[Path]:
    """A folder to write into; its files replace those of an earlier export when the block ends without error.

    A run that is killed while it writes leaves the earlier export as it was. One that is killed in the moment
    of moving leaves no manifest, by which readers know.

    Raises:
        InputError: another export is writing there, or the folder holds the manifest of something else.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise InputError(f"output_dir={output_dir}: is a file; give a folder")
    _files_of_earlier(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / ".export.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"output_dir={output_dir}: another export is writing there; wait, or choose another"
            ) from None
        stage = output_dir / ".export.partial"
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            yield stage
            _publish(stage, output_dir)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """``{relative name: {"bytes", "sha256"}}`` of every file under ``folder``, sorted."""
    described = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        described[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": digest}
    return described


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """``manifest.json`` for what lies in ``folder``, which ends the writing."""
    whole = {"format_version": FORMAT_VERSION, **manifest, "files": describe_files(folder)}
    (folder / MANIFEST).write_text(json.dumps(whole, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _files_of_earlier(output_dir: Path) -> set[str]:
    """Names that an earlier export wrote."""
    path = output_dir / MANIFEST
    if not path.exists():
        return set()
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        assert manifest["format_version"] == FORMAT_VERSION
        return set(manifest["files"])
    except (ValueError, KeyError, TypeError, AssertionError):
        raise InputError(
            f"output_dir={output_dir}: its manifest.json is not an export's; choose another folder"
        ) from None


def _publish(stage: Path, output_dir: Path) -> None:
    names = sorted(path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file())
    stale = _files_of_earlier(output_dir) - set(names)
    for name in stale:
        (output_dir / name).unlink(missing_ok=True)
    (output_dir / MANIFEST).unlink(missing_ok=True)
    for name in (name for name in names if name != MANIFEST):
        (output_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).replace(output_dir / name)
    (stage / MANIFEST).replace(output_dir / MANIFEST)
