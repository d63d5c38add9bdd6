"""verl's own dataset reads the parquet file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from export_rows import dialogue_row, example_rows, export
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from recipes.command import InputError


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


DIALOGUES = [dialogue_row(i) for i in range(12)]


@pytest.mark.parametrize(
    ("turns", "chosen"), [("all", slice(None)), ("first", slice(1)), ("last", slice(-1, None))]
)
def test_a_record_for_each_scored_answer(tmp_path, turns, chosen):
    unscored = dialogue_row(100)
    unscored["gold"]["turns"][0] = None
    rows = [*DIALOGUES, unscored]
    folder = export(tmp_path, rows, "format=parquet", f"turns={turns}")
    records = pq.read_table(folder / "train.parquet").to_pylist()
    assert [record["extra_info"]["index"] for record in records] == list(range(len(records)))
    for row in rows:
        own = [record for record in records if record["extra_info"]["id"] == row["id"]]
        answers = [i for i, message in enumerate(row["messages"]) if message["role"] == "assistant"]
        golds = row["gold"]["turns"]
        scored = [turn for turn, gold in enumerate(golds) if gold][chosen]
        assert [record["extra_info"]["turn"] for record in own] == scored
        for turn, record in zip(scored, own, strict=True):
            assert record["prompt"] == row["messages"][: answers[turn]]
            truth = json.loads(record["reward_model"]["ground_truth"])
            assert truth == {**row["gold"], "turns": [golds[turn]]}
            assert record["data_source"] == f"{row['task']}/{row['subtask']}"
            assert json.loads(record["extra_info"]["tools"]) == row["tools"]


def test_gold_that_does_not_fit_the_answers_is_refused(tmp_path):
    broken = dialogue_row(1)
    broken["gold"]["turns"].append({"calls": []})
    with pytest.raises(InputError, match=r"data.jsonl:2: gold.turns has \d+ entries for \d+ answers"):
        export(tmp_path, [dialogue_row(0), broken], "format=parquet")


def test_verl_reads_prompts_with_tools_in_them(tmp_path):
    rl_dataset = pytest.importorskip("verl.utils.dataset.rl_dataset")
    folder = export(tmp_path, DIALOGUES, "format=[indexed,parquet]", "vocab_size=640")
    settings = {"cache_dir": str(tmp_path), "filter_overlong_prompts_workers": 1, "max_prompt_length": 4096}
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    dataset = rl_dataset.RLHFDataset(str(folder / "train.parquet"), tokenizer, OmegaConf.create(settings))
    assert len(dataset) == sum(len(row["gold"]["turns"]) for row in DIALOGUES)
    roles = {message["role"] for item in dataset for message in item["raw_prompt"]}
    assert roles == {"system", "user", "assistant", "tool"}
