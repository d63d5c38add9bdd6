"""Conversations as JSON lines: other trainers' readers take them, and templates render what ours learns from."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from export_rows import TOOLS, conversations, dialogue_row, export, row
from transformers import PreTrainedTokenizerFast

from data_synth.writers.chat import plain_all

ROWS = [dialogue_row(i) for i in range(30)]


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "train_messages.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return export(tmp_path_factory.mktemp("messages"), ROWS, "format=[indexed,messages]", "vocab_size=640")


@pytest.fixture(scope="module")
def tokenizer(exported) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(exported / "tokenizer")


def test_a_line_for_each_question_with_loss_on_its_answers(exported):
    lines = lines_of(exported)
    for made in ROWS:
        own = [line for line in lines if line["id"] == made["id"]]
        questions = [i for i, message in enumerate(made["messages"]) if message["role"] == "user"]
        ends = [*questions[1:], len(made["messages"])]
        assert len(own) == len(questions)
        for line, question, end in zip(own, questions, ends, strict=True):
            assert [(m["role"], m["content"]) for m in line["messages"]] == [
                (m["role"], m["content"]) for m in made["messages"][:end]
            ]
            answers = [i for i in range(end) if made["messages"][i]["role"] == "assistant"]
            assert [line["messages"][i]["loss"] for i in answers] == [i > question for i in answers]
            assert (json.loads(line["tools"]) if line["tools"] else []) == made["tools"]


def test_last_gives_the_last_line_of_each_row(exported, tmp_path):
    last = lines_of(export(tmp_path, ROWS, "format=messages", "reasoning=last"))
    every = {line["id"]: line for line in lines_of(exported)}
    assert last == [every[made["id"]] for made in ROWS]


def test_arrow_reads_them_and_the_template_renders_our_documents(exported, tokenizer, tmp_path):
    file = str(exported / "train_messages.jsonl")
    loaded = datasets.load_dataset("json", data_files=file, cache_dir=str(tmp_path))["train"]
    texts = set()
    for line in loaded:
        tools = json.loads(line["tools"]) if line["tools"] else None
        ids = tokenizer.apply_chat_template(line["messages"], tools=tools, return_dict=False)
        texts.add((line["id"], len(ids)))
    documents = [json.loads(line) for line in (exported / "train_rows.jsonl").read_text("utf-8").splitlines()]
    assert {(document["id"], document["num_tokens"]) for document in documents} == texts


def test_reasoning_and_calls_in_the_content_render_as_they_did(tokenizer):
    for messages in conversations():
        if any(
            message["role"] == "assistant" and (message["content"] or "")[:1] == "\n" for message in messages
        ):
            continue
        filled = [{**message, "content": message["content"] or ""} for message in messages]
        for tools in (None, TOOLS):
            texts = [
                tokenizer.apply_chat_template(said, tools=tools, tokenize=False)
                for said in (filled, plain_all(filled))
            ]
            assert texts[0] == texts[1]


def test_no_tokenizer_is_made_for_text(tmp_path):
    folder = export(tmp_path, [row(1, conversations()[7])], "format=[messages,parquet]")
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
        *("README.md", "train.parquet", "train_manifest.json", "train_messages.jsonl", "train_rejected.jsonl")
    ]
    (line,) = lines_of(folder)
    assert line["messages"][1]["content"].startswith("<think>\nneed the tool\n</think>\n\nLet me look.")
