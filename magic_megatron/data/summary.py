"""What a run trains on, for people: a line on the screen and ``data_summary.json`` in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

from magic_megatron.data.dataset import PackedDataset

NAME = "data_summary.json"


def tell_summary(dataset: PackedDataset, folder: Path) -> None:
    """Print the size of an epoch and the rows that are too long for a pack; write ``dataset.summary()``."""
    summary = dataset.summary()
    partial = folder / f"{NAME}.partial"
    partial.write_text(json.dumps(summary, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / NAME)
    print(
        f"data: an epoch has {summary['num_rows_per_epoch']:,} rows, {summary['num_tokens_per_epoch']:,} tokens,"
        f" in {summary['num_packs_per_epoch']:,} packs filled to {summary['fill']:.1%}"
    )
    if dataset.dropped:
        by_domain = ", ".join(f"{domain}: {number}" for domain, number in dataset.dropped.items())
        print(
            f"data.sequence_length={dataset.sequence_length}: {summary['num_dropped']} of"
            f" {dataset.manifest.num_rows} rows are longer and left out ({by_domain})"
        )
