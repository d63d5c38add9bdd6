"""Rows of all five tasks through every format: what the files teach and ask is what the tasks' verifiers accept."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from megatron.core.datasets.indexed_dataset import IndexedDataset
from transformers import PreTrainedTokenizerFast

from data_synth.__main__ import main as generate
from data_synth.export import main as export
from recipes.command import compose

TASKS = {"scheduling", "decomposition", "tool_augmented", "procedural", "long_horizon"}
END = "<|im_end|>"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[dict[str, dict[str, Any]], Path]:
    folder = tmp_path_factory.mktemp("tasks")
    generate(compose("synth", ["task=all", "num_samples=40", "language=both", f"output_dir={folder}/rows"]))
    settings = ["format=[indexed,packed,parquet,messages]", "pack_size=16384", "num_workers=2"]
    source = f"input={folder}/rows/data.jsonl"
    export(compose("export", [source, f"output_dir={folder}/out", "vocab_size=2048", *settings]))
    rows = map(json.loads, (folder / "rows" / "data.jsonl").read_text("utf-8").splitlines())
    return {row["id"]: row for row in rows}, folder / "out"


def verdict(row: dict[str, Any], gold: dict[str, Any], text: str, turn: int = 0) -> tuple[bool, str]:
    verify = importlib.import_module(f"data_synth.tasks.{row['task']}.verify").verify
    return verify(gold, text, turn=turn) if "turns" in row["gold"] else verify(gold, text)


def test_every_answer_is_learned_once_and_verified(made):
    rows, folder = made
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    labels = IndexedDataset(str(folder / "train_label_document"))
    lines = [json.loads(line) for line in (folder / "train_rows.jsonl").read_text("utf-8").splitlines()]
    learned = dict[str, list[int]]()
    for line, label in zip(lines, labels, strict=True):
        row, turns = rows[line["id"]], line.get("turns", [0])
        places = np.flatnonzero(label != -100)
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        for turn, run in zip(turns, runs, strict=True):
            text = tokenizer.decode(label[run].tolist(), skip_special_tokens=False)
            assert text.endswith(END)
            assert verdict(row, row["gold"], text.removesuffix(END), turn) == (True, "ok"), (row["id"], turn)
        learned.setdefault(row["id"], []).extend(turns)
    assert {rows[name]["task"] for name in learned} == TASKS
    for name, turns in learned.items():
        answers = sum(message["role"] == "assistant" for message in rows[name]["messages"])
        assert sorted(turns) == list(range(answers))


def test_a_records_ground_truth_accepts_the_answer_that_followed_its_prompt(made):
    rows, folder = made
    records = pq.read_table(folder / "train.parquet").to_pylist()
    assert {record["ability"] for record in records} == TASKS
    for record in records:
        row = rows[record["extra_info"]["id"]]
        answer = row["messages"][len(record["prompt"])]
        assert answer["role"] == "assistant"
        gold = json.loads(record["reward_model"]["ground_truth"])
        assert verdict(row, gold, answer["content"]) == (True, "ok"), record["extra_info"]
