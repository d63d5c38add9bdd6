"""What the folders that commands write into have in common: a lock, digests, files that appear as a whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from recipes.command import InputError

ANOTHER_RUN = "another run is writing there; wait for it or choose another"
VANISHING_S = 0.2
"""For how long a folder that can't be made is tried again."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def input_digest(key: str, path: Path) -> str:
    """SHA-256 of a file that the user names.

    Raises:
        InputError: it can't be read; ``key`` is named in it.
    """
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"{key}={path}: {error.strerror}; give a file that can be read") from None


def describe(path: Path) -> dict[str, Any]:
    """A file's size in bytes and its SHA-256, as manifests have them."""
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def replace_text(path: Path, text: str) -> None:
    """Write a file aside and move it into place: a kill leaves the earlier one."""
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(text, "utf-8")
    aside.replace(path)


def check_version(output_dir: Path, name: str, found: object, version: int) -> None:
    """Raise InputError where the manifest ``name`` is of another ``version`` of its format."""
    if found != version:
        raise InputError(
            f"output_dir={output_dir}: its {name} has format_version {found}, this version reads {version};"
            " choose another folder"
        )


def acquire(output_dir: Path, name: str, busy: str = ANOTHER_RUN, patience_s: float = 0.0) -> IO[str]:
    """Make the folder and lock its file ``name``; closing the file gives the lock up.

    Args:
        busy: what the user is told where another process holds the lock for longer than ``patience_s`` seconds.

    Raises:
        InputError: the folder can't be used, or another process is at work in it.
    """
    start = time.monotonic()
    while True:
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
            lock = (output_dir / name).open("w")
        except (FileNotFoundError, FileExistsError) as error:
            # A first run that failed may be taking the folder away at this moment.
            if output_dir.exists() or time.monotonic() - start > VANISHING_S:
                raise _unusable(output_dir, error) from None
            continue
        except OSError as error:
            raise _unusable(output_dir, error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(lock, output_dir / name):
                return lock
            lock.close()
        except BlockingIOError:
            lock.close()
            if time.monotonic() - start >= patience_s:
                raise InputError(f"output_dir={output_dir}: {busy}") from None
            time.sleep(0.05)
        except OSError as error:
            lock.close()
            raise _unusable(output_dir, error) from None


def _unusable(output_dir: Path, error: OSError) -> InputError:
    return InputError(f"output_dir={output_dir}: {error.strerror}; choose another folder")


def _is_at(lock: IO[str], path: Path) -> bool:
    """Whether the locked file still has its name; whoever held it before may have taken it away."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def staged(
    output_dir: Path, lock: str, stage: str, publish: Callable[[Path], None], busy: str = ANOTHER_RUN
) -> Iterator[Path]:
    """A folder ``stage`` to write into, under the lock; ``publish`` moves its files when the block ends without error.

    A first run that fails leaves no folder, unless something else lies there by then.

    Raises:
        InputError: the folder can't be used, or another process is at work in it.
    """
    is_new = not output_dir.exists()
    with acquire(output_dir, lock, busy):
        folder = output_dir / stage
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir()
            yield folder
            publish(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            if is_new:
                _remove_if_empty(output_dir, lock)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_empty(output_dir: Path, lock: str) -> None:
    """Take the folder away where it holds the lock's file alone. The lock is held, so that nobody else's is taken."""
    if [path.name for path in output_dir.iterdir()] == [lock]:
        (output_dir / lock).unlink()
        with suppress(OSError):  # something came in between
            output_dir.rmdir()
