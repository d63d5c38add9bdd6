"""The indexed pair: tokens are the template's, and loss falls on the assistant's text alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from export_rows import conversations, example_rows, export
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
from transformers import AutoTokenizer

# What the assistant writes in each of export_rows.conversations(): document by document, turn by turn.
LEARNED = [
    [["Here is the proposed time: Monday, 14:30 - 15:00 <|im_end|>"]],
    [
        [
            "<think>\nMonday is free.\n十四点半可以。\n</think>\n\n"
            "Here is the proposed time: Monday, 14:30 - 15:00 <|im_end|>"
        ]
    ],
    [["<think>\nall busy\n</think>\n\n<answer>9:00</answer><|im_end|>"]],
    [["周一 9:00,不见不散。<|im_end|>"]],
    [["one<|im_end|>"], ["two<|im_end|>"], ["three\n<|im_end|>"]],
    [["<think>\nkept from no one\n</think>\n\none<|im_end|>"], ["two<|im_end|>"]],
    [
        [
            '<tool_call>\n{"name": "find_slot", "arguments": {"day": "周一"}}\n</tool_call>\n'
            '<tool_call>\n{"name": "find_slot", "arguments": {"day": "Tuesday"}}\n</tool_call><|im_end|>'
        ],
        ["9:00 it is<|im_end|>"],
    ],
    [
        [
            "<think>\nneed the tool\n</think>\n\nLet me look.\n<tool_call>\n"
            '{"name": "find_slot", "arguments": {"day": "周一"}}\n</tool_call><|im_end|>',
            "<think>\ndone\n</think>\n\nFound it: 10:15AM<|im_end|>",
        ]
    ],
    [["<|im_end|>"]],
    [[" leading space<|im_end|>"], ["leading newline<|im_end|>"]],
]
# The row and the last turn of each document.
DOCUMENTS = [(row, 0) for row in range(len(example_rows()) - len(LEARNED))] + [
    (len(example_rows()) - len(LEARNED) + number, sum(map(len, documents[: place + 1])) - 1)
    for number, documents in enumerate(LEARNED)
    for place in range(len(documents))
]


@pytest.fixture(scope="module", params=["trained", "qwen3"])
def exported(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "trained":
        return export(folder, example_rows())
    path = os.environ.get("MAGIC_QWEN3_TOKENIZER")
    if not path:
        pytest.skip("MAGIC_QWEN3_TOKENIZER names no folder with Qwen3's tokenizer")
    return export(folder, example_rows(), f"tokenizer={path}")


@pytest.fixture(scope="module")
def tokenizer(exported):
    return AutoTokenizer.from_pretrained(exported / "tokenizer")


@pytest.fixture(scope="module")
def pair(exported):
    return [IndexedDataset(str(exported / f"train_{kind}_document")) for kind in ("text", "label")]


def test_tokens_are_those_of_the_chat_template(exported, tokenizer, pair):
    assert len(pair[0]) == len(pair[1]) == len(DOCUMENTS)
    for (number, turn), tokens in zip(DOCUMENTS, pair[0], strict=True):
        row = example_rows()[number]
        answers = [i for i, message in enumerate(row["messages"]) if message["role"] == "assistant"]
        messages = [{**m, "content": m["content"] or ""} for m in row["messages"][: answers[turn] + 1]]
        ids = tokenizer.apply_chat_template(messages, tools=row["tools"] or None, return_dict=False)
        assert tokens.tolist() == ids


def test_labels_are_tokens_or_ignored(pair):
    for tokens, labels in zip(*pair, strict=True):
        learned = labels != -100
        assert tokens.dtype == labels.dtype == np.int32
        assert np.array_equal(tokens[learned], labels[learned])


def test_learned_spans_are_the_assistants_text(tokenizer, pair):
    first = len(example_rows()) - len(conversations())
    for i, expected in enumerate(document for documents in LEARNED for document in documents):
        assert _learned(tokenizer, pair[1][first + i]) == expected
    for i, row in enumerate(example_rows()[:first]):
        assert _learned(tokenizer, pair[1][i]) == [row["messages"][1]["content"] + "<|im_end|>"]


def test_prompt_is_what_the_server_will_send(tokenizer, pair):
    """The tokens before the first learned one are those of the generation prompt without thinking."""
    row, tokens, labels = example_rows()[0], pair[0][0], pair[1][0]
    prompt = tokenizer.apply_chat_template(
        row["messages"][:1], add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    assert tokens[: int(np.argmax(labels != -100))].tolist() == prompt


def test_rows_and_manifest_count_what_is_there(exported, tokenizer, pair):
    lines = [json.loads(line) for line in (exported / "train_rows.jsonl").read_text("utf-8").splitlines()]
    assert [line["id"] for line in lines] == [example_rows()[number]["id"] for number, _ in DOCUMENTS]
    assert [line["num_tokens"] for line in lines] == [len(tokens) for tokens in pair[0]]
    assert [line["num_loss_tokens"] for line in lines] == [int((ids != -100).sum()) for ids in pair[1]]
    manifest = json.loads((exported / "train_manifest.json").read_text("utf-8"))
    assert manifest["num_rows"] == len(example_rows())
    assert manifest["num_documents"] == len(lines)
    assert manifest["num_tokens"] == sum(line["num_tokens"] for line in lines)
    assert manifest["num_loss_tokens"] == sum(line["num_loss_tokens"] for line in lines)
    assert manifest["domains"] == ["scheduling/calendar", "scheduling/meeting", "scheduling/trip"]
    assert manifest["tokenizer"]["vocab_size"] == len(tokenizer)
    for name, entry in manifest["files"].items():
        assert (exported / name).stat().st_size == entry["bytes"]


def test_files_are_those_of_megatrons_builder(exported, pair, tmp_path):
    for kind, documents in zip(("text", "label"), pair, strict=True):
        builder = IndexedDatasetBuilder(str(tmp_path / f"{kind}.bin"), dtype=np.int32)
        for document in documents:
            builder.add_document(torch.from_numpy(document.copy()), [len(document)])
        builder.finalize(str(tmp_path / f"{kind}.idx"))
        for end in ("bin", "idx"):
            ours = (exported / f"train_{kind}_document.{end}").read_bytes()
            assert ours == (tmp_path / f"{kind}.{end}").read_bytes(), (kind, end)


def _learned(tokenizer, labels: np.ndarray) -> list[str]:
    """The text of each run of labels that aren't ignored.

    Leading newlines don't count: they may be one token with the newline that ends the prompt, or not.
    """
    learned = np.flatnonzero(labels != -100)
    runs = np.split(learned, np.flatnonzero(np.diff(learned) > 1) + 1)
    texts = [tokenizer.decode(labels[run].tolist(), skip_special_tokens=False) for run in runs]
    return [text.lstrip("\n") for text in texts]
