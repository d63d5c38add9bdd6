"""Prompts with their ground truth as verl 0.9.1's ``RLHFDataset`` reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_synth.writers.rows import Row

_TEXT_FIELDS = ("id", "task", "subtask", "tools", "meta")
SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("extra_info", pa.struct([("index", pa.int64()), *((name, pa.string()) for name in _TEXT_FIELDS)])),
    ]
)


def prepare_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The records of ``rows``, not numbered yet.

    ``prompt`` is what stands before the first assistant message. ``ground_truth`` is ``gold`` as JSON text,
    and so are ``tools`` and ``meta`` in ``extra_info``: their fields differ between tasks, columns may not.
    """
    return [_record(row) for row in rows]


class ParquetWriter:
    """Writes ``train.parquet``, a row group per batch."""

    def __init__(self, folder: Path) -> None:
        self._writer = pq.ParquetWriter(folder / "train.parquet", SCHEMA)
        self._num_rows = 0

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append ``records``, numbered on from the last."""
        for number, record in enumerate(records, self._num_rows):
            record["extra_info"]["index"] = number
        if records:
            self._writer.write_table(pa.Table.from_pylist(records, schema=SCHEMA))
            self._num_rows += len(records)

    def close(self) -> dict[str, Any]:
        """Write the footer; the manifest has nothing to say of it."""
        self._writer.close()
        return {}


def _record(row: Row) -> dict[str, Any]:
    prompt = takewhile(lambda message: message["role"] != "assistant", row.messages)
    return {
        "data_source": row.domain,
        "prompt": [{"role": message["role"], "content": message["content"]} for message in prompt],
        "ability": row.task,
        "reward_model": {"style": "rule", "ground_truth": _json(row.gold)},
        "extra_info": {
            "id": row.id,
            "task": row.task,
            "subtask": row.subtask,
            "tools": _json(row.tools),
            "meta": _json(row.meta),
        },
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
