"""Render conversations, tokenize them in batches, and mark the tokens that the assistant is to learn.

A ChatML turn begins with ``<|im_start|>assistant\\n`` and ends with ``<|im_end|>``. No message can hold
these strings (such rows are rejected), so a search in the rendered text finds the turns, and the tokenizer's
offsets turn characters into tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from data_synth.writers.documents import ASSISTANT_TURN, Message, Reasoning, Text, split_into_texts
from data_synth.writers.lines import LineTokenizer, Tokens
from data_synth.writers.rows import Row
from recipes.command import InputError

IGNORED = -100


@dataclass(frozen=True)
class Document:
    """A tokenized text of a row.

    Attributes:
        tokens: int32 [n].
        labels: int32 [n]; a label is its token if learned, else -100.
        starts: the character of the text at which each token begins, int32 [n].
        source: the text, and which answers of the row are learned.
    """

    tokens: NDArray[np.int32]
    labels: NDArray[np.int32]
    starts: NDArray[np.int32]
    source: Text

    @property
    def num_loss_tokens(self) -> int:
        return int(np.count_nonzero(self.labels != IGNORED))


class ChatEncoder:
    """Turns rows into documents with the tokenizer's own chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, reasoning: Reasoning) -> None:
        self.tokenizer = tokenizer
        self._reasoning: Reasoning = reasoning
        self._lines = LineTokenizer(tokenizer.backend_tokenizer)

    def encode(self, rows: Sequence[Row]) -> list[list[Document]]:
        """The documents of each row. Their tokens are those of ``apply_chat_template``.

        Loss falls on what the assistant writes: reasoning, content, tool calls, and ``<|im_end|>``. A token
        that begins in the prompt and reaches into the assistant's text (newlines can merge so) gets none.
        """
        texts = [
            split_into_texts(row.messages, lambda said, row=row: self._render(said, row), self._reasoning)  # type: ignore[misc]
            for row in rows
        ]
        tokens = iter(self._lines.encode([text.text for parts in texts for text in parts]))
        return [[_label(text, next(tokens)) for text in parts] for parts in texts]

    def control_tokens(self) -> tuple[str, ...]:
        """Tokens that steer a model and must come from the template alone, such as ``<|im_end|>``."""
        return tuple(token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special)

    def check_template(self, path: str) -> None:
        """The tokenizer must have a template that writes assistant turns as ChatML, or no mask is found.

        Raises:
            InputError: it doesn't; the message names ``path``, where it came from.
        """
        if not self.tokenizer.chat_template:
            raise InputError(f"tokenizer={path}: has no chat template; add one to its tokenizer_config.json")
        messages = [{"role": "user", "content": "7"}, {"role": "assistant", "content": "8"}]
        text = str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        if ASSISTANT_TURN.findall(text) != ["8<|im_end|>"]:
            raise InputError(
                f"tokenizer={path}: its chat template doesn't write turns as <|im_start|>assistant …"
                " <|im_end|>; give a tokenizer with a ChatML template, such as Qwen3's"
            )

    def _render(self, messages: Sequence[Message], row: Row) -> str:
        tools: Any = row.tools or None
        return str(self.tokenizer.apply_chat_template([*messages], tools=tools, tokenize=False))


def _label(text: Text, tokens: Tokens) -> Document:
    labels = np.full_like(tokens.ids, IGNORED)
    for span in text.spans:
        first, last = np.searchsorted(tokens.starts, span)
        labels[first:last] = tokens.ids[first:last]
    return Document(tokens.ids, labels, tokens.starts, text)
