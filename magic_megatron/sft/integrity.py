"""Whether a checkpoint is whole: SHA-256 of its files, in Megatron-Core's manifest, hashed by all ranks together."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch.distributed as dist

MANIFEST = "integrity.json"


def file_sha256(path: Path) -> str:
    """Hexadecimal digest of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def manifest(digests: dict[str, str]) -> str:
    """The manifest as ``megatron.core.dist_checkpointing`` writes and checks it too."""
    return json.dumps({"algorithm": "sha256", "files": dict(sorted(digests.items()))}, indent=2)


def find_damage(checkpoint: Path) -> str | None:
    """What is wrong with the files of ``checkpoint``, ``None`` if nothing is. Collective.

    Each file is read once, by one rank: files are dealt out by size.
    """
    listed: list[dict[str, str] | str | None] = [None]
    if dist.get_rank() == 0:
        listed = [_read_manifest(checkpoint)]
    dist.broadcast_object_list(listed, src=0)
    digests = listed[0]
    if not isinstance(digests, dict):
        return digests
    names = sorted(digests, key=lambda name: (-_size(checkpoint / name), name))
    mine = names[dist.get_rank() :: dist.get_world_size()]
    found = [wrong for name in mine if (wrong := _compare(checkpoint / name, digests[name]))]
    everywhere: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(everywhere, found)
    return "; ".join(sorted(wrong for rank in everywhere for wrong in rank)) or None


def _read_manifest(checkpoint: Path) -> dict[str, str] | str:
    """Digests by file name, or why there are none."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text())["files"]
    except OSError as error:
        return f"{MANIFEST}: {error.strerror}"
    except (ValueError, KeyError, TypeError) as error:
        return f"{MANIFEST} can't be read ({error})"
    return {str(name): str(digest) for name, digest in files.items()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _compare(path: Path, digest: str) -> str | None:
    try:
        return None if file_sha256(path) == digest else f"{path.name} isn't as it was written"
    except OSError as error:
        return f"{path.name}: {error.strerror}"
