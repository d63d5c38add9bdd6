"""Is an answer the plan that was wanted, and is a row sound? Read from the texts alone; nothing is ever evaluated.

``verify`` is pure and never raises, whatever the text; rewards may call it as it is. ``verify_row`` re-reads a whole
row without any of the code that made it: formats, schemas of the arguments, grounding of every value, the graph.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data_synth.tasks.decomposition.row_checks import row_fault

FORMAT = re.compile(
    r"\s*<Plan>(?P<plan>(?:(?!</?(?:Plan|Reply)>).)*)</Plan>\s*<Reply>(?P<reply>(?:(?!</?(?:Plan|Reply)>).)+)</Reply>\s*",
    re.DOTALL,
)
"""Table 1: the whole message."""
RECORD = re.compile(
    r"(?:<Query>(?:(?!</?(?:Query|Plan)>).)+</Query>\n<Plan>(?:(?!</?(?:Query|Plan)>).)*</Plan>(?:\n|\Z))+",
    re.DOTALL,
)
"""Section 3.1: what is kept of a plan, one pair per turn."""
STEP = re.compile(r"Step([0-9]{1,4})\.")


@dataclass(frozen=True, slots=True)
class Answer:
    """A message in Table 1's format."""

    steps: tuple[str, ...]
    reply: str


def parse(text: str) -> Answer | None:
    """The steps and the reply of a message; None if it isn't in Table 1's format."""
    found = FORMAT.fullmatch(text)
    if found is None:
        return None
    before, *parts = STEP.split(found["plan"])
    numbers, steps = parts[::2], [part.strip() for part in parts[1::2]]
    in_order = [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    reply = found["reply"].strip()
    if before.strip() or not in_order or not all(steps) or not reply:
        return None
    return Answer(tuple(steps), reply)


def verify(
    gold: Mapping[str, Any],
    text: str,
    turn: int = 0,
    similarity: Callable[[str, str], float] | None = None,
    threshold: float = 1.0,
) -> tuple[bool, str]:
    """Whether ``text`` is the plan and the reply of a row's turn.

    Args:
        gold: the row's ``gold``.
        text: the assistant's whole message.
        turn: which of the row's assistant messages, from 0.
        similarity: of two texts, such as the cosine of their embeddings; by default 1 for texts that are equal but
            for case, quotes and spaces, else 0.
        threshold: that each step and the reply must reach.

    Returns:
        the verdict, and the first thing that is wrong ("ok" if nothing is).
    """
    answer = parse(text)
    if answer is None:
        return False, "not <Plan>Step1.… Step2.…</Plan><Reply>…</Reply>"
    wanted = gold["turns"][turn]
    if len(answer.steps) != len(wanted["plan"]):
        return False, f"{len(answer.steps)} steps where {len(wanted['plan'])} are wanted"
    compare = similarity or _equal
    for number, (found, right) in enumerate(zip(answer.steps, wanted["plan"], strict=True), 1):
        if compare(found, right) < threshold:
            return False, f"step {number} says something else"
    return (True, "ok") if compare(answer.reply, wanted["reply"]) >= threshold else (False, "another reply")


def verify_row(row: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a row is sound, and the first thing that is wrong with it."""
    gold, said = row["gold"], [m["content"] for m in row["messages"] if m["role"] == "assistant"]
    if len(said) != len(gold["turns"]):
        return False, f"{len(said)} answers and {len(gold['turns'])} turns of gold"
    for turn, text in enumerate(said):
        right, reason = verify(gold, text, turn)
        if not right:
            return False, f"answer {turn}: {reason}"
    if RECORD.fullmatch(gold["record"]) is None:
        return False, "the record isn't <Query>…</Query>\\n<Plan>…</Plan>"
    fault = row_fault(row)
    return fault is None, fault or "ok"


def _equal(found: str, right: str) -> float:
    return float(normalised(found) == normalised(right))


def normalised(text: str) -> str:
    """Without what two writers of the same words may do differently: case, quotes, widths, spaces, the full stop."""
    text = re.sub(r"[\"'“”‘’`「」]", "", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.split()).rstrip(".。 ")
