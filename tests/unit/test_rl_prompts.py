"""What RL asks is what SFT taught to answer, token by token."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from export_rows import export
from megatron.core.datasets.indexed_dataset import IndexedDataset
from task_rows import accepted_rows, make_task
from transformers import AutoTokenizer

from magic_megatron.rl.prompts import encode_prompt, template_kwargs

TASKS = ("decomposition", "tool_augmented", "scheduling", "procedural", "long_horizon")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    rows = [row for task in TASKS for row in accepted_rows(make_task(task), 3)]
    return export(tmp_path_factory.mktemp("prompts"), rows, "format=[indexed,parquet]", "vocab_size=1024")


@pytest.fixture(scope="module")
def learned_after(exported):
    """Everything that stands before an answer in the training documents."""
    texts, labels = (IndexedDataset(str(exported / f"train_{kind}_document")) for kind in ("text", "label"))
    found = set()
    for tokens, label in zip(texts, labels, strict=True):
        learned = np.concatenate([[False], label != -100])
        found |= {tuple(tokens[:start].tolist()) for start in np.flatnonzero(learned[1:] & ~learned[:-1])}
    return found


def test_a_prompt_ends_where_the_learned_answer_begins(exported, learned_after):
    tokenizer = AutoTokenizer.from_pretrained(exported / "tokenizer")
    records = pq.read_table(exported / "train.parquet").to_pylist()
    thinking = {}
    for record in records:
        extra = record["extra_info"]
        thinking.setdefault(extra["task"], set()).add(extra["thinking"])
        prompt = encode_prompt(
            tokenizer, record["prompt"], json.loads(extra["tools"]), template_kwargs({}, extra)
        )
        assert tuple(prompt) in learned_after, extra["id"]
    assert thinking["tool_augmented"] == thinking["long_horizon"] == {True}
    assert thinking["decomposition"] == thinking["procedural"] == {False}


def test_configured_arguments_win():
    assert template_kwargs({}, {}) == template_kwargs({}, {"thinking": True}) == {}
    assert template_kwargs({}, {"thinking": False}) == {"enable_thinking": False}
    assert template_kwargs({"enable_thinking": True}, {"thinking": False}) == {"enable_thinking": True}
