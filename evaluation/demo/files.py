"""Search and read text files below one folder, with no way out of it.

Every part of a path is opened from the folder before it (``dir_fd``) and may not be a symbolic link, so neither
``..`` nor a link, nor one that is put there meanwhile, leads outside. Links within the folder aren't followed either.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.demo.toolbox import Tool, ToolError
from evaluation.jsonl import quote

MAX_FILES = 2000
MAX_BYTES = 1 << 20
"""Of one file; what is longer is read that far."""
MAX_TOTAL_BYTES = 64 << 20
"""Of one search."""
MAX_HITS = 30
MAX_LINE = 200

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO isn't waited for


def file_tools(folder: Path) -> list[Tool]:
    """Search and read below ``folder``."""
    folder = folder.resolve()
    return [
        Tool(
            "search_files",
            "Find the lines that contain a text, in all files of the notes folder. Upper and lower case are alike. "
            "An empty text lists the files.",
            {"text": {"type": "string", "description": "what the lines contain, literally"}},
            lambda text: search(folder, text),
        ),
        Tool(
            "read_file",
            "Read a file of the notes folder.",
            {"path": {"type": "string", "description": "as search_files shows it"}},
            lambda path: read(folder, path),
        ),
    ]


def read(folder: Path, path: str) -> str:
    """The text of a file.

    Raises:
        ToolError: no such regular file below ``folder``.
    """
    parts = path.removeprefix("./").split("/")
    if not path or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ToolError(f"{quote(path)}: give a path below the folder, such as search_files shows")
    try:
        with _descend(folder, parts[:-1]) as parent:
            return _read(parent, parts[-1], MAX_BYTES)
    except (OSError, UnicodeEncodeError):
        raise ToolError(f"{quote(path)}: no such file in the folder") from None


def search(folder: Path, text: str) -> str:
    """``path:line: text`` of each line that contains ``text``; for an empty one the files' paths."""
    wanted, hits, budget = text.casefold(), list[str](), MAX_TOTAL_BYTES
    for path, parent, name in _walk(folder):
        if not wanted:
            hits.append(path)
            continue
        try:
            content = _read(parent, name, min(MAX_BYTES, budget))
        except OSError:
            continue  # not a regular file, or gone
        budget -= len(content)
        for number, line in enumerate(content.split("\n"), 1):
            if wanted in line.casefold():
                hits.append(f"{path}:{number}: {quote(line.strip(), MAX_LINE)}")
        if len(hits) > MAX_HITS or budget <= 0:
            break
    if not hits:
        return "no file there" if not wanted else f"no line contains {quote(text)}"
    more = [f"(more than {MAX_HITS}; search for a longer text)"] if len(hits) > MAX_HITS else []
    return "\n".join(hits[:MAX_HITS] + more)


@contextmanager
def _descend(folder: Path, names: list[str]) -> Iterator[int]:
    """A descriptor of the folder below ``folder`` that ``names`` lead to."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            below = os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _read(parent: int, name: str, size: int) -> str:
    """Raises OSError for what is no regular file."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{name}: not a regular file")
        return file.read(size).decode("utf-8", "replace")


def _walk(folder: Path) -> Iterator[tuple[str, int, str]]:
    """(path from ``folder``, descriptor of its parent, name) of the files, in the order of their names."""
    num_files = 0
    for root, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        folders.sort()
        for name in sorted(names):
            try:
                mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            except OSError:
                continue  # gone
            if not stat.S_ISREG(mode):
                continue
            num_files += 1
            if num_files > MAX_FILES:
                return
            yield str(Path(root, name).relative_to(folder)), descriptor, name
