"""A vector for each distinct text, kept in the output folder, so that a killed run goes on where it was.

While texts are embedded, vectors are appended to ``embeddings.partial``; in the end they become ``embeddings.npy``,
with what they were made from and their SHA-256 in ``embeddings.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_synth.filters.simhash import feature_hash, features
from data_synth.output_folder import file_digest, replace_text
from data_synth.selection.pool import Pool, distinct_texts
from data_synth.tools.embedding import model_digest, open_embedder

LEXICAL = "lexical"
LEXICAL_WIDTH = 384
NAME, RECORD, PARTIAL, PARTIAL_RECORD = (
    "embeddings.npy",
    "embeddings.json",
    "embeddings.partial",
    "embeddings.partial.json",
)
BLOCK = 256
"""Texts between two writes."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def open_embedding(name: str) -> Embed:
    """``lexical``, ``minilm``, or a folder of a sentence-transformers model.

    Raises:
        InputError: the folder or the package isn't there.
    """
    if name == LEXICAL:
        return lexical_vectors
    embedder = open_embedder(name, cache=None)
    assert embedder is not None
    return embedder


def embedding_digest(name: str) -> str | None:
    """SHA-256 over the model's files; None for ``lexical``, which has none.

    Raises:
        InputError: the folder or the package isn't there.
    """
    return None if name == LEXICAL else model_digest(name)


def lexical_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """The words of each text, hashed into 384 signed dimensions; counts enter by their logarithm. No model."""
    vectors = np.zeros((len(texts), LEXICAL_WIDTH), dtype=np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        hashed = [feature_hash(word) % (2 * LEXICAL_WIDTH) for word in features(text)]
        places, counts = np.unique(np.array(hashed, dtype=np.int64), return_counts=True)
        np.add.at(vector, places >> 1, np.log1p(counts) * np.where(places & 1, 1, -1))
        if not vector.any():
            vector[0] = 1
    return vectors


def embed_pool(pool: Pool, made_from: dict[str, Any], folder: Path, batch_rows: int) -> NDArray[np.float32]:
    """Vectors of the distinct texts, [texts, dimensions], from ``folder`` as far as they are there.

    Args:
        made_from: ``embedding``, the name, and what else decides the vectors: digests of the model and of the inputs.
    """
    key = {**made_from, "num_texts": pool.num_texts}
    if (kept := _kept(folder, key)) is not None:
        return kept
    partial = folder / PARTIAL
    if _read(folder / PARTIAL_RECORD).get("key") != key:
        partial.unlink(missing_ok=True)
    width = _read(folder / PARTIAL_RECORD).get("width", 0) if partial.exists() else 0
    done = partial.stat().st_size // (4 * width) if width else 0
    embed = open_embedding(made_from["embedding"])
    with (
        partial.open("ab") as out,
        tqdm(
            total=pool.num_texts, initial=done, unit="text", desc="embedding", mininterval=_interval()
        ) as bar,
    ):
        out.truncate(done * 4 * width)
        for texts in batched(distinct_texts(pool, batch_rows, done), BLOCK):
            vectors = np.ascontiguousarray(embed(texts), dtype="<f4")
            if not width:
                width = vectors.shape[1]
                _write(folder / PARTIAL_RECORD, {"key": key, "width": width})
            out.write(vectors.tobytes())
            out.flush()
            bar.update(len(texts))
    vectors = np.fromfile(partial, dtype="<f4").reshape(pool.num_texts, width)
    np.save(folder / f"{PARTIAL}.npy", vectors)
    (folder / f"{PARTIAL}.npy").replace(folder / NAME)
    _write(folder / RECORD, {"key": key, "width": width, "sha256": file_digest(folder / NAME)})
    for leftover in (PARTIAL, PARTIAL_RECORD):
        (folder / leftover).unlink()
    return vectors


def _kept(folder: Path, key: dict[str, Any]) -> NDArray[np.float32] | None:
    """The whole file, if it is of these texts and intact."""
    record = _read(folder / RECORD)
    if (
        record.get("key") != key
        or not (folder / NAME).exists()
        or file_digest(folder / NAME) != record["sha256"]
    ):
        return None
    kept: NDArray[np.float32] = np.load(folder / NAME)
    return kept


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return record


def _write(path: Path, record: dict[str, Any]) -> None:
    replace_text(path, json.dumps(record, indent=1) + "\n")


def _interval() -> float:
    return 0.2 if sys.stderr.isatty() else 10.0
