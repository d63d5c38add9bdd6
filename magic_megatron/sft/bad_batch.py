"""What a loss that isn't finite leaves behind: which rows its global batch was made of."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from magic_megatron.data.dataset import PackedDataset


def write_bad_batch(
    path: Path,
    dataset: PackedDataset,
    data_path: str,
    *,
    step: int,
    packs: range,
    loss: float,
    losses_before: deque[float],
) -> None:
    """``path``: the step, its loss as a word, the losses before it, and the rows of each pack with their ids.

    Args:
        data_path: prefix of the pair, beside whose files ``_rows.jsonl`` lies.
        step: counted from 1.
        packs: of the global batch, as ``dataset`` counts them.
        losses_before: of the last steps, the newest last.
    """
    wanted = {pack: [int(row) for row in dataset.rows_of(pack)] for pack in packs}
    lines = _read_rows(Path(f"{data_path}_rows.jsonl"), {row for rows in wanted.values() for row in rows})
    report = {
        "step": step,
        "loss": str(loss),
        "losses_before": list(losses_before),
        "packs": [
            {"pack": pack, "rows": [{"row": row, **lines[row]} for row in rows]}
            for pack, rows in wanted.items()
        ],
    }
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.replace(path)


def _read_rows(path: Path, wanted: set[int]) -> dict[int, dict[str, Any]]:
    """The lines of ``path`` with these numbers, from 0."""
    with path.open(encoding="utf-8") as file:
        return {number: json.loads(line) for number, line in enumerate(file) if number in wanted}
