"""An aligned pair of Megatron indexed datasets, byte for byte what megatron-core's own builder writes.

Written here because importing that builder takes 8 s; the format hasn't changed since Megatron-LM's first release,
and the tests compare the bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_synth.writers.masking import ChatEncoder, Document
from data_synth.writers.rows import Row

ROWS = "train_rows.jsonl"
KINDS = ("text", "label")
_HEADER, _VERSION, _INT32 = b"MMIDIDX\x00\x00", 1, 4  # 4: megatron-core's code of int32


@dataclass(frozen=True)
class IndexedBatch:
    """Documents ready to be appended: each file's bytes, tokens of each document [n], lines of ``ROWS``."""

    documents: dict[str, bytes]
    lengths: NDArray[np.int32]
    num_loss_tokens: int
    lines: str


@dataclass(frozen=True)
class IndexedPreparer:
    """Turns rows into documents, in whatever process."""

    encoder: ChatEncoder

    def __call__(self, rows: Sequence[Row]) -> IndexedBatch:
        encoded = self.encoder.encode(rows)
        documents = [document for of_row in encoded for document in of_row]
        lines = [
            _line(row, document) for row, of_row in zip(rows, encoded, strict=True) for document in of_row
        ]
        return IndexedBatch(
            documents={
                "text": b"".join(document.tokens.tobytes() for document in documents),
                "label": b"".join(document.labels.tobytes() for document in documents),
            },
            lengths=np.array([len(document.tokens) for document in documents], dtype=np.int32),
            num_loss_tokens=sum(document.num_loss_tokens for document in documents),
            lines="".join(lines),
        )


def _line(row: Row, document: Document) -> str:
    counts = {"num_tokens": len(document.tokens), "num_loss_tokens": document.num_loss_tokens}
    turns = {"turns": document.source.turns} if document.source.turns != (0,) else {}
    line = {"id": row.id, "task": row.task, "subtask": row.subtask, **turns, **counts}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


class IndexedWriter:
    """Writes ``train_text_document``, ``train_label_document`` and a line per document in ``train_rows.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {kind: (folder / f"train_{kind}_document.bin").open("wb") for kind in KINDS}
        self._rows = (folder / ROWS).open("w", encoding="utf-8")
        self._lengths: list[NDArray[np.int32]] = []
        self._num_loss_tokens = 0

    def write(self, batch: IndexedBatch) -> None:
        """Append the documents to both datasets."""
        for kind, file in self._files.items():
            file.write(batch.documents[kind])
        self._rows.write(batch.lines)
        self._lengths.append(batch.lengths)
        self._num_loss_tokens += batch.num_loss_tokens

    def close(self) -> dict[str, Any]:
        """Write both indices; the name of the rows' file and the totals for the manifest."""
        lengths = np.concatenate([np.empty(0, dtype=np.int32), *self._lengths])
        for kind, file in self._files.items():
            file.close()
            write_index(self._folder / f"train_{kind}_document.idx", lengths)
        self._rows.close()
        return {
            "rows": ROWS,
            "num_documents": len(lengths),
            "num_tokens": int(lengths.sum(dtype=np.int64)),
            "num_loss_tokens": self._num_loss_tokens,
        }


def write_index(path: Path, lengths: NDArray[np.int32]) -> None:
    """Megatron-core's index of int32 documents of one sequence each (``indexed_dataset._IndexWriter``).

    Args:
        lengths: tokens of each document [n].
    """
    ends = np.cumsum(lengths, dtype=np.int64) * lengths.itemsize
    with path.open("wb") as file:
        file.write(_HEADER + struct.pack("<QBQQ", _VERSION, _INT32, len(lengths), len(lengths) + 1))
        file.write(lengths.tobytes())
        file.write((ends - lengths * np.int64(lengths.itemsize)).tobytes())
        file.write(np.arange(len(lengths) + 1, dtype=np.int64).tobytes())
