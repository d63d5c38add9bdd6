"""An aligned pair of Megatron indexed datasets, written by megatron-core's own builder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

from data_synth.writers.masking import ChatEncoder
from data_synth.writers.rows import Row

ROWS = "train_rows.jsonl"


class IndexedWriter:
    """Writes ``train_text_document``, ``train_label_document`` and a line per row in ``train_rows.jsonl``."""

    def __init__(self, folder: Path, encoder: ChatEncoder) -> None:
        self._encoder = encoder
        self._prefixes = {kind: str(folder / f"train_{kind}_document") for kind in ("text", "label")}
        self._builders = {
            kind: IndexedDatasetBuilder(f"{prefix}.bin", dtype=np.int32)
            for kind, prefix in self._prefixes.items()
        }
        self._rows = (folder / ROWS).open("w", encoding="utf-8")
        self._totals = {"num_tokens": 0, "num_loss_tokens": 0}

    def add(self, rows: Sequence[Row]) -> None:
        """Append one document for each row to both datasets."""
        for row, document in zip(rows, self._encoder.encode(rows), strict=True):
            for kind, values in (("text", document.tokens), ("label", document.labels)):
                self._builders[kind].add_document(torch.from_numpy(values), [len(values)])
            counts = {"num_tokens": len(document.tokens), "num_loss_tokens": document.num_loss_tokens}
            line = {"id": row.id, "task": row.task, "subtask": row.subtask, **counts}
            self._rows.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            for key, count in counts.items():
                self._totals[key] += count

    def close(self) -> dict[str, Any]:
        """Write both indices; the name of the rows' file and the totals for the manifest."""
        for kind, builder in self._builders.items():
            builder.finalize(f"{self._prefixes[kind]}.idx")
        self._rows.close()
        return {"rows": ROWS, **self._totals}
