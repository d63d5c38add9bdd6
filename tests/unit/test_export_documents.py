"""A conversation's documents: every answer learned once, behind exactly the prompt that inference would have."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
from export_rows import conversations, dialogue_row, example_rows, export
from export_rows import row as make_row
from transformers import PreTrainedTokenizerFast

from data_synth.writers.masking import IGNORED, ChatEncoder
from data_synth.writers.rows import Row

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> PreTrainedTokenizerFast:
    rows = [*example_rows(20), *(dialogue_row(i) for i in range(20))]
    folder = export(tmp_path_factory.mktemp("documents"), rows, "vocab_size=640")
    return PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")


def as_row(raw) -> Row:
    fields = ("id", "task", "subtask", "messages", "tools", "gold", "meta")
    messages = [{**message, "content": message["content"] or ""} for message in raw["messages"]]
    return Row(**{**{key: raw[key] for key in fields}, "messages": messages}, place="test:1")


ROWS = [as_row(dialogue_row(i)) for i in range(60)] + [
    as_row(make_row(i, messages)) for i, messages in enumerate(conversations())
]


def answers_of(row: Row) -> list[int]:
    return [i for i, message in enumerate(row.messages) if message["role"] == "assistant"]


def has_thought(message) -> bool:
    return "</think>" in message["content"] or bool(message.get("reasoning_content"))


def test_what_is_learned_stands_behind_the_prompt_of_inference(tokenizer):
    """Token by token: the prompt of each answer, then the answer, then what follows in its document."""
    for row, documents in zip(ROWS, ChatEncoder(tokenizer, "all").encode(ROWS), strict=True):
        answers = answers_of(row)
        for document in documents:
            expected = np.zeros(len(document.tokens), dtype=bool)
            for turn in document.source.turns:
                answer = row.messages[answers[turn]]
                settings = {} if has_thought(answer) else {"enable_thinking": False}
                tools = row.tools or None
                ids = [
                    tokenizer.apply_chat_template(row.messages[:end], tools=tools, return_dict=False, **asked)
                    for end, asked in (
                        (answers[turn], {"add_generation_prompt": True, **settings}),
                        (answers[turn] + 1, {}),
                    )
                ]
                whole = document.tokens[: len(ids[1])].tolist()
                assert whole == ids[1]
                if not answer["content"].startswith(
                    "\n"
                ):  # else the prompt's last newline is one with the answer's
                    assert whole[: len(ids[0])] == ids[0]
                end = tokenizer.convert_tokens_to_ids("<|im_end|>")
                last = len(ids[1]) - 1 - ids[1][::-1].index(end)
                expected[len(ids[0]) : last + 1] = True
            if any(row.messages[answers[t]]["content"].startswith("\n") for t in document.source.turns):
                continue
            assert np.array_equal(document.labels != IGNORED, expected), row.id
            assert np.array_equal(document.labels[expected], document.tokens[expected])


def test_every_answer_is_learned_once_and_last_is_the_last_document(tokenizer):
    every = ChatEncoder(tokenizer, "all").encode(ROWS)
    last = ChatEncoder(tokenizer, "last").encode(ROWS)
    assert any(len(documents) > 2 for documents in every)
    for row, documents, (only,) in zip(ROWS, every, last, strict=True):
        learned = [turn for document in documents for turn in document.source.turns]
        assert sorted(learned) == list(range(len(answers_of(row))))
        assert only.source == documents[-1].source
        assert np.array_equal(only.labels, documents[-1].labels)


def test_with_reasoning_everywhere_there_is_a_document_for_each_question(tokenizer):
    for row, documents in zip(ROWS, ChatEncoder(tokenizer, "all").encode(ROWS), strict=True):
        if all(has_thought(row.messages[i]) for i in answers_of(row)):
            assert len(documents) == sum(message["role"] == "user" for message in row.messages)
            thoughts = [m["content"].split("</think>")[0].removeprefix("<think>") for m in row.messages]
            text = "".join(document.source.text for document in documents)
            for thought in (
                thoughts[i] for i in answers_of(row) if not row.messages[i].get("reasoning_content")
            ):
                assert text.count(thought.strip("\n")) == 1


def test_a_template_that_leaves_nothing_out_gives_one_document(tokenizer):
    plain = copy.deepcopy(tokenizer)
    plain.chat_template = CHATML
    rows = [row for row in ROWS if not any(m.get("tool_calls") for m in row.messages)]
    for row, (document,) in zip(rows, ChatEncoder(plain, "all").encode(rows), strict=True):
        assert document.source.turns == tuple(range(len(answers_of(row))))


def test_the_page_of_tokens_shows_every_document_of_the_first_rows(tmp_path: Path):
    rows = [dialogue_row(i) for i in range(12)]
    rows[0]["messages"][1]["content"] = "</i></div><script>alert(1)</script> &amp;"
    page = (export(tmp_path, rows, "vocab_size=640") / "train_report.html").read_text("utf-8")
    assert "<script" not in page
    text = re.sub('</?i( class="on")?>', "", page)
    assert "&lt;/i&gt;&lt;/div&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp;" in text
    assert page.count("<h2>") == 3
    for made in rows[:9]:
        assert made["id"] in page
    assert all(made["id"] not in page for made in rows[9:])
    assert page.count('<i class="on">') > 100
