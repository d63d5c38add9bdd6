"""Tokenizers in HF format: train a small one with Qwen3's special tokens and template, or take another."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from data_synth.output_folder import file_digest
from data_synth.writers.rows import Row
from data_synth.writers.vocabulary import (
    CLOCK_PATTERN,
    CONTROL_TOKENS,
    MARKUP_TOKENS,
    QWEN3_PATTERN,
    chat_template,
)
from recipes.command import InputError

QUARTER_HOUR = re.compile(r" ?\b[0-9]{1,2}:(?:00|15|30|45)(?:AM|PM)?\b", re.ASCII)
OUR_CLASS = "PreTrainedTokenizerFast"
FILES = (
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt"),
)


def train(rows: Iterable[Row], vocab_size: int, folder: Path) -> None:
    """Fit a byte-level BPE of exactly ``vocab_size`` entries to ``rows`` and write it into ``folder``.

    Ids: bytes and merges, Qwen3's special tokens, then ``<|reserved_0|>`` … where the rows gave fewer merges.
    The same rows give the same bytes.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    pieces = pre_tokenizers.Split(Regex(f"{CLOCK_PATTERN}|{QWEN3_PATTERN}"), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, to_bytes])
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(CONTROL_TOKENS) - len(MARKUP_TOKENS),
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(rows), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in CONTROL_TOKENS]
    )
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in MARKUP_TOKENS])
    missing = vocab_size - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(
        [AddedToken(f"<|reserved_{i}|>", normalized=False, special=True) for i in range(missing)]
    )
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.dumps(_hf_config(), ensure_ascii=False, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")


def load(folder: Path, origin: str) -> PreTrainedTokenizerFast:
    """The tokenizer in ``folder``, as transformers opens it.

    Raises:
        InputError: it can't, or only as one in Python, which knows no offsets; the message names ``origin``,
            where the files came from.
    """
    try:
        tokenizer = _class_of(folder).from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # tokenizers raises Exception itself on a broken tokenizer.json
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"tokenizer={origin}: can't be opened ({reason}); copy its files again") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(
            f"tokenizer={origin}: {type(tokenizer).__name__} is written in Python; give one that transformers"
            " opens from its tokenizer.json"
        )
    return tokenizer


def _class_of(folder: Path) -> Any:
    """Our own class, or ``AutoTokenizer`` for all others, whose import takes 7 s of CPU time."""
    file = folder / "tokenizer_config.json"
    if file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("tokenizer_class") == OUR_CLASS:
        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer


def copy(source: str | Path, folder: Path) -> None:
    """Copy the files that make a tokenizer in HF format, weights and configs of a model left behind."""
    folder.mkdir(parents=True)
    for name in FILES:
        if (Path(source) / name).is_file():
            shutil.copyfile(Path(source) / name, folder / name)


def describe(tokenizer: PreTrainedTokenizerFast, folder: Path) -> dict[str, Any]:
    """What the manifest says of the tokenizer in ``folder``, its hashes among it."""
    return {
        "tokenizer": {
            "path": folder.name,
            "sha256": file_digest(folder / "tokenizer.json"),
            "vocab_size": len(tokenizer),
        },
        "template_sha256": hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest(),
    }


def _training_texts(rows: Iterable[Row]) -> Iterator[str]:
    """The rows' texts, then their quarter-hour times, often enough that each of them earns a token."""
    times, num_rows = set[str](), 0
    for row in rows:
        num_rows += 1
        for text in _texts_of(row):
            times.update(QUARTER_HOUR.findall(text))
            yield text
    for _ in range(num_rows // 4):
        yield "\n".join(sorted(times))


def _texts_of(row: Row) -> Iterator[str]:
    for message in row.messages:
        yield f"{message['role']}\n{message.get('reasoning_content') or ''}\n{message['content']}\n"
        if message.get("tool_calls"):
            yield json.dumps(message["tool_calls"], ensure_ascii=False)
    if row.tools:
        yield json.dumps(row.tools, ensure_ascii=False)


def _hf_config() -> dict[str, object]:
    """Qwen3's ``tokenizer_config.json``, but for the class: ``Qwen2Tokenizer`` sets its own pre-tokenizer."""
    return {
        "additional_special_tokens": list(CONTROL_TOKENS[1:]),
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "chat_template": chat_template(),
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": OUR_CLASS,
        "unk_token": None,
    }
