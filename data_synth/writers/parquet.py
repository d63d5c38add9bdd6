"""Prompts with their ground truth as verl 0.9.1's ``RLHFDataset`` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from data_synth.writers.chat import compact_json, has_reasoning, plain_all
from data_synth.writers.rows import Row, malformed

Turns = Literal["all", "first", "last"]
_TEXTS = [(name, pa.string()) for name in ("id", "task", "subtask", "tools", "meta")]
SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct([("index", pa.int64()), *_TEXTS, ("turn", pa.int64()), ("thinking", pa.bool_())]),
        ),
    ]
)


@dataclass(frozen=True)
class RecordsPreparer:
    """Turns rows into records, not numbered yet.

    A row whose ``gold`` has ``turns``, one entry for each answer, gives a record for each of the ``turns`` asked for;
    any other row gives one, for its first answer. ``prompt`` is what stands before the answer, reasoning of earlier
    ones in their content, where the chat template looks for it. ``ground_truth`` is ``gold`` as JSON text, its
    ``turns`` cut down to the one, so that a verifier finds it as turn 0. ``extra_info.turn`` counts the row's answers
    from 0, ``extra_info.thinking`` says whether that answer has reasoning. ``tools`` and ``meta`` are JSON text too:
    their fields differ between tasks, columns may not.
    """

    turns: Turns

    def __call__(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return [record for row in rows for record in self._records(row)]

    def _records(self, row: Row) -> Iterator[dict[str, Any]]:
        answers = [number for number, message in enumerate(row.messages) if message["role"] == "assistant"]
        golds = row.gold.get("turns")
        if not isinstance(golds, list):
            yield _record(row, 0, answers[0], row.gold)
            return
        if len(golds) != len(answers):
            raise malformed(row.place, f"gold.turns has {len(golds)} entries for {len(answers)} answers")
        scored = [turn for turn, gold in enumerate(golds) if gold]
        chosen = {"all": scored, "first": scored[:1], "last": scored[-1:]}[self.turns]
        for turn in chosen:
            yield _record(row, turn, answers[turn], {**row.gold, "turns": [golds[turn]]})


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


def _record(row: Row, turn: int, answer: int, gold: dict[str, Any]) -> dict[str, Any]:
    """The record for answer ``turn``, which is message ``answer``."""
    return {
        "data_source": row.domain,
        "prompt": plain_all(row.messages[:answer]),
        "ability": row.task,
        "reward_model": {"style": "rule", "ground_truth": compact_json(gold)},
        "extra_info": {
            "id": row.id,
            "task": row.task,
            "subtask": row.subtask,
            "tools": compact_json(row.tools),
            "meta": compact_json(row.meta),
            "turn": turn,
            "thinking": has_reasoning(row.messages[answer]),
        },
    }
