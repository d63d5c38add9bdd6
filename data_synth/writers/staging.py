"""Output that appears as a whole: written aside, moved into place, its manifest last.

The folder may hold other things, such as data_synth's own output: only files of an earlier export are replaced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from data_synth import output_folder
from recipes.command import InputError

FORMAT_VERSION = 1
KIND = "data_synth.export"
MANIFEST, REJECTED = "train_manifest.json", "train_rejected.jsonl"
OUTPUTS = (
    *(f"train_{kind}_document.{end}" for kind in ("text", "label") for end in ("bin", "idx")),
    *("train_rows.jsonl", "train.parquet", "train_packed.idx.parquet", "train_packed_metadata.json"),
    *("train_messages.jsonl", "train_report.html", "tokenizer", REJECTED, MANIFEST),
)
LOCK, STAGE, MOVING = ".export.lock", ".export.partial", ".export.moving"
"""``MOVING`` holds, while files are moved, the names of all that an export may have left: a kill orphans none."""


def check_folder(output_dir: Path, inputs: Sequence[str]) -> None:
    """Refuse a folder that can't be used, before any work; nothing is changed.

    Raises:
        InputError: no folder can be there, or the export would replace an input or what no export wrote.
    """
    nearest = next(path for path in (output_dir, *output_dir.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"output_dir={output_dir}: {nearest} is a file; choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"output_dir={output_dir}: {nearest} can't be written; choose another folder")
    earlier = files_of_earlier(output_dir)
    ours = {(output_dir / name).resolve() for name in (*OUTPUTS, *earlier)}
    for given in inputs:
        if Path(given).resolve() in ours:
            raise InputError(f"input={given}: the export would replace it; choose another output_dir")
    present = [file for name in OUTPUTS for file in (output_dir / name, *(output_dir / name).rglob("*"))]
    for file in present:
        if not file.is_dir() and file.exists() and file.relative_to(output_dir).as_posix() not in earlier:
            raise InputError(
                f"output_dir={output_dir}: {file} is there, and no earlier export wrote it; choose another folder"
            )


def staged(output_dir: Path) -> AbstractContextManager[Path]:
    """A folder to write into; its files replace those of an earlier export when the block ends without error.

    A run that is killed while it writes leaves the earlier export as it was. One that is killed in the moment
    of moving leaves no manifest, by which readers know.

    Args:
        output_dir: passed ``check_folder``.

    Raises:
        InputError: the folder can't be made, or another export is writing there.
    """
    busy = "another export is writing there; wait, or choose another"
    return output_folder.staged(output_dir, LOCK, STAGE, lambda stage: _publish(stage, output_dir), busy)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """``{relative name: {"bytes", "sha256"}}`` of every file under ``folder``, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): output_folder.describe(path) for path in files}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """``train_manifest.json`` for what lies in ``folder``, which ends the writing."""
    whole = {"format_version": FORMAT_VERSION, "kind": KIND, **manifest, "files": describe_files(folder)}
    (folder / MANIFEST).write_text(json.dumps(whole, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def files_of_earlier(output_dir: Path) -> set[str]:
    """Names that earlier exports wrote, the manifest's among them."""
    names = set[str]()
    for path in (output_dir / MANIFEST, output_dir / MOVING):
        if not path.exists():
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if (record["format_version"], record["kind"]) != (FORMAT_VERSION, KIND):
                raise ValueError
            names |= {MANIFEST, *record["files"]}
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"output_dir={output_dir}: its {path.name} is not an export's; choose another folder"
            ) from None
    return names


def _publish(stage: Path, output_dir: Path) -> None:
    names = {path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()}
    earlier = files_of_earlier(output_dir)
    _write_moving(stage, output_dir, names | earlier)
    (output_dir / MANIFEST).unlink(missing_ok=True)
    for name in earlier - names:
        (output_dir / name).unlink(missing_ok=True)
    for name in sorted(names - {MANIFEST}):
        (output_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).replace(output_dir / name)
    (stage / MANIFEST).replace(output_dir / MANIFEST)
    (output_dir / MOVING).unlink()


def _write_moving(stage: Path, output_dir: Path, names: set[str]) -> None:
    record = {"format_version": FORMAT_VERSION, "kind": KIND, "files": sorted(names)}
    (stage / MOVING).write_text(json.dumps(record), encoding="utf-8")
    (stage / MOVING).replace(output_dir / MOVING)
