"""The scripted model's grammar of the role ``reply``: what the assistant says to the user beside its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted
from data_synth.tasks.decomposition.grammar_steps import step_clause
from data_synth.tasks.decomposition.references import condition_words
from data_synth.tasks.decomposition.value_wording import Style
from data_synth.tasks.decomposition.views import StepView
from data_synth.tasks.decomposition.wording import lowered, question, sentence

BEGINNINGS = {
    "en": {
        "request": (
            "Sure.",
            "Of course.",
            "Certainly.",
            "All right.",
            "Happy to help.",
            "Got it.",
            "No problem.",
        ),
        "refinement": ("Noted.", "Got it.", "All right, I've adjusted the plan.", "Sure, that's updated."),
        "answer": ("Thanks, that's all I need.", "Thank you.", "Great, thanks.", "Perfect, that helps."),
    },
    "zh": {
        "request": ("好的。", "没问题。", "可以的。", "明白了。", "收到。", "乐意效劳。"),
        "refinement": ("好的，已记下。", "明白，计划已调整。", "收到，已更新。"),
        "answer": ("谢谢，信息齐了。", "好的，谢谢。", "明白了，谢谢补充。"),
    },
}
ASKING = {
    "en": (
        "I just need one thing from you:",
        "Before I can go on:",
        "One question first:",
        "To continue, please tell me:",
    ),
    "zh": ("还需要确认一点：", "在继续之前，想确认一下：", "先问一个问题：", "请补充一下："),
}


@scripted("reply")
def write_reply(variables: Mapping[str, Any], rng: Random) -> dict[str, str]:
    """What will be done, or what has to be known first."""
    language, round_, steps = variables["language"], variables["round"], variables["steps"]
    style = Style(language, 1, 0)
    planned = [step for step in steps if step.number is not None]
    beginning = rng.choice(BEGINNINGS[language][round_.kind])
    parts = [beginning]
    if planned:
        parts.append(_summary(planned, style))
    if round_.asks:
        parts.append(_questions(steps, round_.asks, language, rng))
    return {"reply": ("" if language == "zh" else " ").join(parts)}


def _summary(planned: Sequence[StepView], style: Style) -> str:
    """The steps in one sentence."""
    clauses = [_clause(step, style) for step in planned]
    if style.language == "zh":
        marks = ["我会先", *["然后"] * (len(clauses) - 2), "最后"] if len(clauses) > 2 else ["我会先", "再"]
        marks = marks if len(clauses) > 1 else ["我会"]
        return "，".join(mark + clause for mark, clause in zip(marks, clauses, strict=True)) + "。"
    marks = ["First I'll ", *["then "] * (len(clauses) - 2), "and finally "] if len(clauses) > 2 else []
    marks = marks or (["I'll ", "then "] if len(clauses) == 2 else ["I'll "])
    joint = ", "
    return joint.join(mark + clause for mark, clause in zip(marks, clauses, strict=True)) + "."


def _clause(step: StepView, style: Style) -> str:
    text = step_clause(step, style, with_numbers=False)
    if style.language == "zh":
        conditions = "且".join(condition_words(view, style) for view in step.conditions)
        return f"在{conditions}时{text}" if conditions else text
    conditions = " and ".join(condition_words(view, style) for view in step.conditions)
    return f"{lowered(text)} if {conditions}" if conditions else lowered(text)


def _questions(steps: Sequence[StepView], asks: Sequence[str], language: str, rng: Random) -> str:
    """A question per masked slot."""
    asked: dict[str, str] = {}
    for step in steps:
        for argument in step.arguments:
            if argument.slot in asks and argument.origin == "masked":
                asked.setdefault(argument.slot, question(step.tool, argument.name, language))
    gap = "" if language == "zh" else " "
    return gap.join([rng.choice(ASKING[language]), *(sentence(text) for text in asked.values())])
