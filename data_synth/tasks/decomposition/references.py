"""Conditions and results of earlier steps in words."""

from __future__ import annotations

import re

from data_synth.operators.plan import Condition
from data_synth.tasks.decomposition.value_wording import Style, say_value
from data_synth.tasks.decomposition.views import ArgumentView, ConditionView, StepView
from data_synth.tasks.decomposition.wording import is_identifier, label, noun, plural, thing, words_of
from data_synth.tools.tool import Tool

COMPARISONS = {
    "en": {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "", "!=": "not"},
    "zh": {"<": "低于", "<=": "不高于", ">": "高于", ">=": "不低于", "==": "是", "!=": "不是"},
}


def result_noun(step: StepView, argument: ArgumentView, source: Tool, language: str) -> str:
    """What an earlier step answers, as a noun: ``that hotel``, ``the first hotel``, ``the city of the first hotel``.

    ``that`` is what the step right before answers; a step further away is named: ``the date of file FLI-56495``.
    """
    text = noun(step.tool, argument.name, language)
    parts = argument.field.split(".")
    if "0" not in parts:
        return text if argument.source == step.id - 1 else _distant(step, argument, source, language)
    if is_identifier(argument.schema, argument.name):
        return re.sub("^那", "第一", text) if language == "zh" else re.sub("^that ", "the first ", text)
    if parts[-1] == "0":
        called = label(source, parts[-2], language)
        return f"{called}中的第一个" if language == "zh" else f"the first of the {called}"
    item = list_item(source, parts[: parts.index("0")], language)
    called = thing(source, parts[-1], language)
    return f"第一个{item}的{called}" if language == "zh" else f"the {called} of the first {item}"


def _distant(step: StepView, argument: ArgumentView, source: Tool, language: str) -> str:
    if is_identifier(argument.schema, argument.name):
        called = thing(step.tool, argument.name, language)
        return f"之前的那个{called}" if language == "zh" else f"the {called} from before"
    called = label(source, argument.field.split(".")[-1], language)
    owner = _owner(source, called, language)
    if not owner:
        return noun(step.tool, argument.name, language)
    if language == "zh":
        return f"{owner}{argument.source_record}的{called}"
    return (
        f"the {called} of {f'{owner} {argument.source_record}' if argument.source_record else f'the {owner}'}"
    )


def list_item(tool: Tool, path: list[str], language: str) -> str:
    """What a list of the tool's answer holds, in the singular."""
    schema = tool.output
    for part in path:
        schema = schema.get("properties", {}).get(part, {})
    names = (schema.get("items") or {}).get("properties", {})
    for name, inner in names.items():
        if is_identifier(inner, name):
            return thing(tool, name, language)
    return "结果" if language == "zh" else "result"


def condition_words(view: ConditionView, style: Style) -> str:
    """A condition without its ``if``, about the answer of a step that the sentence names elsewhere."""
    return _chinese(view, style) if style.language == "zh" else _english(view, style)


def _english(view: ConditionView, style: Style) -> str:
    condition, tool, name = view.condition, view.tool, str(view.condition.path[-1])
    if condition.comparison in ("is_empty", "not_empty"):
        called = plural(list_item(tool, [str(part) for part in condition.path], "en"))
        return f"there are {'any' if condition.comparison == 'not_empty' else 'no'} {called}"
    called = label(tool, name, "en")
    if view.schema.get("type") == "boolean":
        return _flag(str(view.schema.get("description", "")), called, _is_true(condition))
    value = say_value(condition.value, view.schema, words_of(tool, name, "en"), style)
    word = COMPARISONS["en"][condition.comparison]
    verb = "are" if is_plural(called) else "is"
    owner = _owner(tool, called, "en")
    return f"the {called}{f' of the {owner}' if owner else ''} {verb} {word} {value}".replace("  ", " ")


def _owner(tool: Tool, called: str, language: str) -> str:
    """What a field of the answer belongs to, where its name doesn't tell."""
    identifier = str(tool.hints.get("effect", {}).get("id", ""))
    owner = thing(tool, identifier, language) if identifier in tool.hints.get("label", {}) else ""
    return "" if owner in called else owner


def is_plural(label: str) -> bool:
    """Whether an English label is a plural: "spaces left", "free rooms"."""
    first, *rest = label.split()
    words = [first, *rest[-1:]]
    singular = ("ss", "us", "is")
    return any(word.endswith("s") and not word.endswith(singular) for word in words) and "of" not in rest[:1]


def _flag(description: str, called: str, positive: bool) -> str:
    about = re.match(r"Whether (.+?) (is|are|has|have|was|can|needs?|does)\b(.*)", description)
    if about is None:
        return f"the {called} is {'positive' if positive else 'negative'}"
    verb = about[2] if positive else f"{about[2]} not"
    return f"{about[1]} {verb}{about[3]}".rstrip(".")


def _chinese(view: ConditionView, style: Style) -> str:
    condition, tool, name = view.condition, view.tool, str(view.condition.path[-1])
    if condition.comparison in ("is_empty", "not_empty"):
        called = list_item(tool, [str(part) for part in condition.path], "zh")
        return f"有{called}" if condition.comparison == "not_empty" else f"没有{called}"
    called = label(tool, name, "zh")
    if view.schema.get("type") == "boolean":
        return (
            f"{called.removeprefix('是否')}" if _is_true(condition) else f"并非{called.removeprefix('是否')}"
        )
    value = say_value(condition.value, view.schema, words_of(tool, name, "zh"), style)
    owner = _owner(tool, called, "zh")
    called = f"{owner}的{called}" if owner else called
    return f"{called}{COMPARISONS['zh'][condition.comparison]}{value}"


def _is_true(condition: Condition) -> bool:
    return bool(condition.value) == (condition.comparison == "==")
