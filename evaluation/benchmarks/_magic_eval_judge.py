"""The judge of MagicEval-Plan: what it is asked, and how its answer is read. The words are ours, the paper has none."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evaluation.benchmarks import Message

MOST_CHARACTERS = 20_000
"""Of a judge's answer that are read."""
_QUESTION = """You judge a plan: the steps into which an assistant breaks down a user's request, each done by one tool.

# Dialogue
{dialogue}

# Reference plan
{reference}

# Plan to judge
{plan}

The plan is correct if it does what the reference does: the same sub-tasks with the same values, each step that needs \
another's result after it, the same conditions, what earlier turns said taken over, and nothing that wasn't asked for. \
Words and the order of independent steps are free.

Answer with one JSON object: {{"reason": "one sentence", "correct": true or false}}"""


def judge_prompt(messages: Sequence[Message], reference: Sequence[str], plan: Sequence[str]) -> list[Message]:
    """The chat that asks whether ``plan`` is as good as ``reference``; ``messages`` lead up to it."""
    dialogue = "\n".join(
        f"{turn['role']}: {turn['content']}" for turn in messages if turn["role"] != "system"
    )
    question = _QUESTION.format(dialogue=dialogue, reference=listed(reference), plan=listed(plan))
    return [{"role": "user", "content": question}]


def listed(steps: Sequence[str]) -> str:
    """A step a line, numbered."""
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)) or "(no step)"


def judged_correct(answer: str) -> bool | None:
    """The judge's word in the last JSON object of its answer that has one; None if there is none.

    What was read of an object, whole or broken, isn't read again; of a long answer only the end is read.
    """
    answer = answer[-MOST_CHARACTERS:]
    read, correct, start = json.JSONDecoder().raw_decode, None, answer.find("{")
    while start >= 0:
        try:
            verdict, end = read(answer, start)
        except json.JSONDecodeError as error:
            end = max(error.pos, start + 1)
        except (
            ValueError,
            RecursionError,
        ):  # a number of thousands of digits, thousands of objects in each other
            return None
        else:
            word = verdict.get("correct")
            correct = word if isinstance(word, bool) else correct
        start = answer.find("{", end)
    return correct
