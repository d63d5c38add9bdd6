"""Which texts a conversation is trained on, so that each answer stands behind what its prompt will be.

Templates may render a message in another way once more follows: Qwen3's leaves out the reasoning of answers before
the user's last question, and the empty think block of all answers but the last. The whole conversation then shows
earlier answers as the model never writes them. An answer is exact in a document if cutting the document behind it
leaves what the template makes of the messages up to it: then the text before it is the prompt of inference. That is
asked of the template itself, so it holds for any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Reasoning = Literal["all", "last"]
Message = dict[str, Any]
# An empty think block is what the prompt ends with when enable_thinking=false; the model doesn't write it.
ASSISTANT_TURN = re.compile(
    r"<\|im_start\|>assistant\n(?:<think>\n\n</think>\n\n)?(.*?<\|im_end\|>)", re.DOTALL
)


@dataclass(frozen=True)
class Text:
    """A rendered conversation up to one of its answers.

    Attributes:
        text: as the template renders it.
        turns: the answers that are learned from it, by their number among the conversation's answers from 0.
        spans: the characters of each of them, its ``<|im_end|>`` included.
    """

    text: str
    turns: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


def split_into_texts(
    messages: Sequence[Message], render: Callable[[Sequence[Message]], str], reasoning: Reasoning
) -> list[Text]:
    """The texts of a conversation, in its order.

    Args:
        messages: a conversation with at least one answer; what follows the last one is left out.
        render: the chat template without a generation prompt.
        reasoning: ``all`` gives as many texts as it takes for every answer to be learned exactly once; with a
            template like Qwen3's and reasoning in every answer, one for each question of the user. ``last`` gives
            the last of them alone.
    """
    ends = [number for number, message in enumerate(messages, 1) if message["role"] == "assistant"]
    left = list(range(len(ends)))
    prefixes = [render(messages[:end]) for end in ends]
    texts = list[Text]()
    while left:
        whole = prefixes[left[-1]]
        exact = [turn for turn in left if whole.startswith(prefixes[turn])]
        spans = [match.span(1) for match in ASSISTANT_TURN.finditer(whole)]
        assert len(spans) == left[-1] + 1, "each answer is a turn, and nothing else is"
        texts.append(Text(whole, tuple(exact), tuple(spans[turn] for turn in exact)))
        if reasoning == "last":
            break
        left = [turn for turn in left if turn not in exact]
    return texts[::-1]
