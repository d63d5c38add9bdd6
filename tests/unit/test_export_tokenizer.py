"""The small tokenizer: its size, its special tokens, its clock times, the same bytes every time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from export_rows import example_rows, export, scheduling_row, write_rows
from transformers import AutoTokenizer

from data_synth.writers import tokenizer as tokenizers
from data_synth.writers.rows import sample_rows
from data_synth.writers.vocabulary import CONTROL_TOKENS, MARKUP_TOKENS, check_vocab_size
from recipes.command import InputError


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "data.jsonl", [scheduling_row(i) for i in range(300)])


@pytest.fixture(scope="module")
def folder(rows) -> Path:
    tokenizers.train(sample_rows([str(rows)], 10_000, 64), 1024, rows.parent / "tokenizer")
    return rows.parent / "tokenizer"


@pytest.fixture(scope="module")
def trained(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_size_is_exact_and_every_id_has_a_token(trained):
    assert len(trained) == trained.vocab_size + len(trained.get_added_vocab()) == 1024
    assert sorted(trained.get_vocab().values()) == list(range(1024))
    assert "<|reserved_0|>" in trained.get_vocab()


def test_special_tokens_are_qwen3s(trained):
    assert (trained.eos_token, trained.pad_token, trained.bos_token) == ("<|im_end|>", "<|endoftext|>", None)
    first = trained.convert_tokens_to_ids("<|endoftext|>")
    ids = trained.convert_tokens_to_ids([*CONTROL_TOKENS, *MARKUP_TOKENS])
    assert ids == list(range(first, first + 26))
    official = os.environ.get("MAGIC_QWEN3_TOKENIZER")
    if official:
        added = json.loads((Path(official) / "tokenizer.json").read_text("utf-8"))["added_tokens"]
        assert [(t["content"], t["special"]) for t in added] == [
            *((token, True) for token in CONTROL_TOKENS),
            *((token, False) for token in MARKUP_TOKENS),
        ]


def test_every_clock_time_of_the_rows_is_one_token(trained, rows):
    times = set(re.findall(r" \d{1,2}:\d{2}(?:AM|PM)?", rows.read_text(encoding="utf-8")))
    assert {" 9:00", " 14:00", " 17:00", " 9:00AM", " 5:45PM", " 10:30"} <= times
    for time in times:
        before, piece = trained.encode("on Monday,"), trained.encode(time)
        assert len(piece) == 1
        assert trained.encode(f"on Monday,{time}") == before + piece


@pytest.mark.parametrize(
    "text", ["9:00AM 周五 17:30,再见 \n\n x", "  \t", "é ñ 🙂 \u200b", "<think>\nok\n</think>"]
)
def test_any_text_comes_back(trained, text):
    assert trained.decode(trained.encode(text)) == text


def test_same_rows_give_the_same_bytes_in_another_process(rows, folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; from data_synth.writers import rows, tokenizer;"
        "tokenizer.train(rows.sample_rows([sys.argv[1]], 10_000, 64), 1024, Path(sys.argv[2]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", code, rows, tmp_path / "again"], check=True, env=environment)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_given_tokenizer_is_taken_along_unchanged(tmp_path):
    first = export(tmp_path / "a", example_rows(20))
    again = export(tmp_path / "b", example_rows(20), f"tokenizer={first / 'tokenizer'}")
    for path in sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file()):
        if path.name != "train_manifest.json":  # which holds the input's path
            assert (again / path).read_bytes() == (first / path).read_bytes(), path


@pytest.mark.parametrize(
    ("size", "fix"), [(2000, "vocab_size=1984"), (64, "vocab_size=320"), (-64, "vocab_size=320")]
)
def test_vocab_size_is_checked(size, fix):
    with pytest.raises(InputError, match=f"^vocab_size={size}: .* try {fix}$"):
        check_vocab_size(size)
