"""Tokenizing line by line gives the tokens, and where they begin, of the whole text."""

from __future__ import annotations

import json

import pytest
from export_rows import example_rows, export
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_synth.writers import lines
from data_synth.writers.lines import LineTokenizer, lines_stand_alone
from data_synth.writers.vocabulary import QWEN3_PATTERN

SPACES = ["\n", "\n\n", " ", "\t", "\r\n", "\u00a0", "\u2028", "\u3000", "\x1c", "!\n"]
WORDS = ["a", "plan", "'s", "9:30", " 14:30PM", "7", "...", "周一", "\u0301", "e\u0301", "é", "{", "}"]
PIECES = [*SPACES, *WORDS, "<|im_end|>", "<think>", "<tool_call>"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Tokenizer:
    folder = export(tmp_path_factory.mktemp("lines"), example_rows()) / "tokenizer"
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def qwen3(trained) -> Tokenizer:
    """The same with the published split pattern, which knows no clock times."""
    text = json.loads(trained.to_str())
    text["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN3_PATTERN
    return Tokenizer.from_str(json.dumps(text))


@given(texts=st.lists(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), max_size=4))
@settings(deadline=None, max_examples=400)
@pytest.mark.parametrize("name", ["trained", "qwen3"])
def test_lines_give_the_tokens_of_the_text(request, name, texts):
    backend = request.getfixturevalue(name)
    tokenizer = LineTokenizer(backend)
    assert tokenizer.splits_lines
    for _ in range(2):  # the second time from memory
        for text, found in zip(texts, tokenizer.encode(texts), strict=True):
            whole = backend.encode(text, add_special_tokens=False)
            assert found.ids.tolist() == whole.ids
            assert found.starts.tolist() == [start for start, _ in whole.offsets]


def test_memory_is_bounded(trained, monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 10)
    tokenizer = LineTokenizer(trained)
    for number in range(40):
        text = f"line {number}\nshared\n"
        (found,) = tokenizer.encode([text])
        assert found.ids.tolist() == trained.encode(text, add_special_tokens=False).ids
        assert len(tokenizer._known) <= 10 + 2


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex="[^ ]+"),
        lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(behavior="MergedWithNext"),
        lambda t: t["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True),
        lambda t: t.update(pre_tokenizer={"type": "Whitespace"}),
        lambda t: t.update(normalizer={"type": "Strip", "strip_left": True, "strip_right": True}),
        lambda t: t["added_tokens"][0].update(rstrip=True),
    ],
)
def test_other_tokenizers_get_each_text_whole(trained, change):
    text = json.loads(trained.to_str())
    assert lines_stand_alone(text)
    change(text)
    assert not lines_stand_alone(text)
    backend = Tokenizer.from_str(json.dumps(text))
    (found,) = LineTokenizer(backend).encode(["one\ntwo\nthree"])
    assert found.ids.tolist() == backend.encode("one\ntwo\nthree", add_special_tokens=False).ids
