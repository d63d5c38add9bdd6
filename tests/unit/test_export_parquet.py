"""verl's own dataset reads the parquet file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from export_rows import example_rows, export
from omegaconf import OmegaConf
from transformers import AutoTokenizer


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return export(
        tmp_path_factory.mktemp("parquet"), example_rows(), "format=[indexed,parquet]", "batch_rows=7"
    )


def test_columns_hold_prompt_and_ground_truth(exported):
    records = pq.read_table(exported / "train.parquet").to_pylist()
    assert len(records) == len(example_rows())
    for i, (record, row) in enumerate(zip(records, example_rows(), strict=True)):
        assert record["data_source"] == f"scheduling/{row['subtask']}"
        assert record["ability"] == "scheduling"
        assert record["reward_model"]["style"] == "rule"
        assert json.loads(record["reward_model"]["ground_truth"]) == row["gold"]
        assert record["extra_info"]["index"] == i
        assert record["extra_info"]["id"] == row["id"]
        assert json.loads(record["extra_info"]["tools"]) == row["tools"]
        assert json.loads(record["extra_info"]["meta"]) == row["meta"]
        assert record["prompt"] == row["messages"][: len(record["prompt"])]
        assert row["messages"][len(record["prompt"])]["role"] == "assistant"


def test_verl_reads_it(exported, tmp_path):
    rl_dataset = pytest.importorskip("verl.utils.dataset.rl_dataset")
    config = OmegaConf.create({"cache_dir": str(tmp_path), "filter_overlong_prompts_workers": 1})
    tokenizer = AutoTokenizer.from_pretrained(exported / "tokenizer")
    dataset = rl_dataset.RLHFDataset(str(exported / "train.parquet"), tokenizer, config)
    assert len(dataset) == len(example_rows())
    item, row = dataset[3], example_rows()[3]
    assert item["raw_prompt"] == row["messages"][:1]
    assert (item["index"], item["data_source"]) == (3, f"scheduling/{row['subtask']}")
    assert json.loads(item["reward_model"]["ground_truth"]) == row["gold"]
