"""Our chat template renders what Qwen3's renders."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from export_rows import TOOLS, assistant, call, conversations, tool, user
from jinja2 import Template
from transformers.utils.chat_template_utils import _compile_jinja_template as compile_template

from data_synth.writers.vocabulary import chat_template

TEXTS = (
    *("hi", "\n\nlead", "trail\n", "\n", "", "你好,9:00", "<think>\na\n</think>\n\nb", "a</think>b</think>c"),
    "<tool_response>\nz\n</tool_response>",
)


@pytest.fixture(scope="module")
def ours() -> Template:
    return compile_template(chat_template())


@pytest.fixture(scope="module")
def official() -> Template:
    folder = os.environ.get("MAGIC_QWEN3_TOKENIZER")
    if not folder:
        pytest.skip("MAGIC_QWEN3_TOKENIZER names no folder with Qwen3's tokenizer_config.json")
    config = json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8"))
    return compile_template(config["chat_template"])


def test_one_turn_with_and_without_reasoning(ours):
    plain = [user("q"), assistant("a")]
    thoughtful = [user("q"), assistant("a", reasoning_content="r")]
    prompt = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    assert ours.render(messages=plain) == prompt + "<think>\n\n</think>\n\na<|im_end|>\n"
    assert ours.render(messages=thoughtful) == prompt + "<think>\nr\n</think>\n\na<|im_end|>\n"


@pytest.mark.parametrize(
    ("thinking", "tail"),
    [({}, ""), ({"enable_thinking": True}, ""), ({"enable_thinking": False}, "<think>\n\n</think>\n\n")],
)
def test_generation_prompt(ours, thinking, tail):
    text = ours.render(messages=[user("q")], add_generation_prompt=True, **thinking)
    assert text == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n" + tail


def test_tool_calls_and_answers_in_one_user_turn(ours):
    calls = [call("f", '{"a": 1}'), call("g", {"b": "周一"})]
    text = ours.render(messages=[user("q"), assistant(None, tool_calls=calls), tool("1"), tool("2")])
    assert text.endswith(
        "<|im_start|>assistant\n"
        '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "g", "arguments": {"b": "周一"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response><|im_end|>\n"
    )


def test_reasoning_before_the_last_question_is_left_out(ours):
    messages = [user("a"), assistant("b", reasoning_content="old"), user("c"), assistant("d")]
    assert "old" not in ours.render(messages=messages)


def test_same_as_official_for_all_kinds_of_conversation(ours, official):
    for messages in conversations():
        filled = [{**m, "content": m["content"] or ""} for m in messages]  # the official one takes no None
        for tools in (None, TOOLS):
            assert ours.render(messages=filled, tools=tools) == official.render(messages=filled, tools=tools)


def test_same_as_official_for_random_conversations(ours, official):
    chance = random.Random(0)
    for _ in range(3000):
        context: dict[str, Any] = {
            "messages": [_random_message(chance) for _ in range(chance.randrange(1, 8))],
            "tools": chance.choice([None, [], TOOLS, TOOLS * 2]),
            "add_generation_prompt": chance.random() < 0.5,
            **chance.choice([{}, {"enable_thinking": True}, {"enable_thinking": False}]),
        }
        assert ours.render(**context) == official.render(**context), context


def _random_message(chance: random.Random) -> dict[str, Any]:
    text = chance.choice(TEXTS)
    role = chance.choice(["user", "assistant", "assistant", "tool", "system"])
    message: dict[str, Any] = {"role": role, "content": text}
    if role == "assistant" and chance.random() < 0.4:
        message["reasoning_content"] = chance.choice(["think", "\nth\n", "", None, "想\n\n"])
    if role == "assistant" and chance.random() < 0.4:
        calls = [call("f", '{"a": 1}'), call("g", {"b": ["é<&>", None]}), {"name": "h", "arguments": {}}]
        message["tool_calls"] = chance.sample(calls, chance.randrange(4))
    return message
