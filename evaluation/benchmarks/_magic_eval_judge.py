"""The judge of MagicEval-Plan: what it is asked, and how its answer is read. The words are ours, the paper has none."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evaluation.benchmarks import Message

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
    """The judge's word in the last JSON object of its answer; None if it can't be read."""
    start = answer.rfind("{")
    if start < 0:
        return None
    try:
        verdict, _ = json.JSONDecoder().raw_decode(answer, start)
    except (ValueError, RecursionError):
        return None
    correct = verdict.get("correct")
    return correct if isinstance(correct, bool) else None
