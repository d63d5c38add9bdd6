"""The folder of a curation: its files appear together at the end, the manifest last; one run at a time."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from data_synth import output_folder
from recipes.command import InputError

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


def staged(output_dir: Path) -> AbstractContextManager[Path]:
    """A folder to write ``FILES`` and the manifest into; they replace an earlier curation's when the block ends.

    A run that fails or is killed leaves the earlier files; killed while they are moved, no manifest.

    Raises:
        InputError: the folder can't be used, or another curation is writing there.
    """
    check_folder(output_dir)
    return output_folder.staged(output_dir, _LOCK, _STAGE, lambda stage: _publish(stage, output_dir))


def _publish(stage: Path, output_dir: Path) -> None:
    (output_dir / MANIFEST).unlink(missing_ok=True)
    for name in (*FILES, MANIFEST):
        (stage / name).replace(output_dir / name)


def write_manifest(stage: Path, said: dict[str, Any]) -> None:
    """``manifest.json``, with size and SHA-256 of the files in ``stage``."""
    files = {name: output_folder.describe(stage / name) for name in FILES}
    whole = {"format_version": FORMAT_VERSION, "kind": KIND, **said, "files": files}
    text = json.dumps(whole, ensure_ascii=False, indent=2)
    (stage / MANIFEST).write_text(text + "\n", encoding="utf-8")
