"""How calls, values and conditions are put into words, from a tool's phrases or its documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from data_synth.operators.schema import schema_at
from data_synth.package_data import read_yaml
from data_synth.simulator.effects import Effect, effect_of
from data_synth.tasks.decomposition.references import list_item
from data_synth.tasks.decomposition.wording import (
    PLACEHOLDER,
    fragment,
    is_identifier,
    label,
    lowered,
    noun,
    plural,
    step_phrase,
    thing,
    words_of,
)
from data_synth.tasks.tool_augmented.situation import Verdict
from data_synth.tools.tool import Tool

NUM_DETAILS = 6
"""Fields of an answer that a summary names."""
NUM_SAID = 4
"""A call with more arguments than this is spoken of by the required ones."""
NUM_ITEMS = 3
"""Entries of a list that a summary names."""


@cache
def phrases(language: str) -> Mapping[str, Any]:
    """``phrases.yaml`` in one language."""
    found: Mapping[str, Any] = read_yaml("data_synth.tasks.tool_augmented", "phrases.yaml")[language]
    return found


class Words:
    """Phrases of one language, chosen at random."""

    def __init__(self, language: str, rng: Random) -> None:
        self.language, self.rng, self.phrases = language, rng, phrases(language)

    def say(self, group: str, key: str, **parts: Any) -> str:
        """One of the phrases, filled in; it begins with a capital letter where its first word is ours."""
        chosen = self.rng.choice(self.phrases[group][key])
        return chosen.format_map(parts)

    def joined(self, parts: Sequence[str]) -> str:
        """``a, b and c``."""
        if len(parts) < 2:
            return "".join(parts)
        return str(self.phrases["joint"]).join(parts[:-1]) + str(self.phrases["last"]) + parts[-1]

    def sentences(self, parts: Sequence[str]) -> str:
        """The sentences that aren't empty, one after the other."""
        return ("" if self.language == "zh" else " ").join(part for part in parts if part)

    def goal(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """A call as something to do, with its values: ``search for flights from Paris to Rome``."""
        language = self.language
        text = step_phrase(tool, language)
        named = set(PLACEHOLDER.findall(text))
        for name, value in arguments.items():
            if name not in named and not isinstance(value, bool) and len(arguments) <= NUM_SAID:
                part = fragment(tool, name, language)
                text += f"，{part}" if language == "zh" else f" {part}"
        values = {name: self._named(tool, name, value, text) for name, value in arguments.items()}
        filled = PLACEHOLDER.sub(lambda match: values.get(match[1], noun(tool, match[1], language)), text)
        return self._inside(filled)

    def _named(self, tool: Tool, name: str, value: Any, text: str) -> str:
        """A value; an id with what it is the id of, unless the text says so."""
        said, called = self.value(tool, name, value), thing(tool, name, self.language)
        spoken = PLACEHOLDER.sub("", text).casefold()
        if not is_identifier(tool.properties.get(name, {}), name) or called.casefold() in spoken:
            return said
        return f"{called}{said}" if self.language == "zh" else f"{called} {said}"

    def purpose(self, tool: Tool) -> str:
        """The first sentence of the tool's documentation."""
        text = tool.hints.get("description_zh", "") if self.language == "zh" else tool.description
        first = re.split(r"(?<=[a-z\d)])\.(?:\s|$)|。|\n", text or tool.description, maxsplit=1)[0].strip(
            " ."
        )
        return lowered(first) if tool.hints and self.language == "en" else first

    def told(self, tool: Tool) -> str:
        """The purpose as it is told to the user: ``list your bookings``."""
        text = self.purpose(tool)
        if self.language == "zh":
            return text.replace("用户", "您")
        return re.sub(r"\bthe user has\b", "you have", text.replace("the user's", "your")).replace(
            "the user", "you"
        )

    def pairs(self, tool: Tool, values: Mapping[str, Any]) -> str:
        """``departure city Paris and date 2026-03-01``."""
        return self.joined([self.pair(tool, name, value) for name, value in values.items()])

    def pair(self, tool: Tool, name: str, value: Any) -> str:
        """``price 120``."""
        called, said = label(tool, name, self.language), self.value(tool, name, value)
        if isinstance(value, str) and (
            " " in value or (self.language == "zh" and len(value) > 9 and not value.isascii())
        ):
            said = f"“{said}”"
        if self.language == "zh":
            return f"{called}为{said}" if called.isascii() else f"{called}{said}"
        return f"{called} {said}"

    def value(self, tool: Tool, name: str, value: Any) -> str:
        """A value; enumerations in words."""
        if isinstance(value, bool):
            return {"en": ("no", "yes"), "zh": ("否", "是")}[self.language][value]
        if isinstance(value, list):
            return self.joined([self.value(tool, name, one) for one in value[:NUM_ITEMS]])
        if isinstance(value, Mapping):
            inside = ", ".join(self.pair(tool, key, one) for key, one in value.items())
            return f"（{inside}）" if self.language == "zh" else f"({inside})"
        if isinstance(value, str):
            return str(words_of(tool, name, self.language).get(value, value))
        return json.dumps(value, ensure_ascii=False)

    def condition(self, verdict: Verdict) -> str:
        """``price below 200``, ``at least one flight``."""
        condition, tool = verdict.condition, verdict.tool
        name = str(condition.path[-1])
        if condition.comparison in ("is_empty", "not_empty"):
            return self._emptiness(verdict, condition.comparison == "is_empty")
        called = label(tool, name, self.language)
        word = self.phrases["comparisons"][condition.comparison]
        joint = "" if self.language == "zh" else " "
        return joint.join(part for part in (called, word, self.value(tool, name, condition.value)) if part)

    def observed(self, verdict: Verdict) -> str:
        """What an observation says about a condition, as a clause: ``the price is 250``."""
        if isinstance(verdict.observed, list):
            return self._emptiness(verdict, not verdict.observed, clause=True)
        name = str(verdict.condition.path[-1])
        called, value = (
            label(verdict.tool, name, self.language),
            self.value(verdict.tool, name, verdict.observed),
        )
        return f"{called}是{value}" if self.language == "zh" else f"the {called} is {value}"

    def _emptiness(self, verdict: Verdict, empty: bool, clause: bool = False) -> str:
        item = list_item(verdict.tool, [str(part) for part in verdict.condition.path], self.language)
        if self.language == "zh":
            return f"没有{item}" if empty else f"有{item}"
        there = ("there are " if empty else "there is ") if clause else ""
        return there + (f"no {plural(item)}" if empty else f"at least one {item}")

    def _inside(self, text: str) -> str:
        return lowered(text).rstrip(".。")


def entity_name(tool: Tool, effect: Effect, language: str) -> str:
    """What the tool's records are called."""
    field = effect.field or effect.parameter
    if not tool.hints and effect.place is not None:
        return list_item(tool, [part for part in effect.place if part != "*"], language)
    if language == "zh" and field and label(tool, field, "zh") != field.replace("_", " "):
        return label(tool, field, "zh").removesuffix("编号")
    if field and tool.hints and language == "en":
        return label(tool, field, "en").removesuffix(" id")
    return effect.entity.replace("_", " ") or ("结果" if language == "zh" else "result")


def records_of(tool: Tool, answer: Mapping[str, Any]) -> list[Any] | None:
    """The list of records in an answer; None if the answer is one record."""
    effect = effect_of(tool)
    if not effect.many or effect.place is None or effect.place.count("*") > 1:
        return None
    found: Any = answer
    for part in effect.place[: effect.place.index("*")]:
        found = found[part]
    return list(found)


def details(record: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The fields worth telling: plain values that the call didn't say, first the record's name."""
    plain = {
        name: value
        for name, value in record.items()
        if value not in ("", None, [], {}) and name != "success" and not isinstance(value, Mapping)
    }
    new = {name: value for name, value in plain.items() if told.get(name) != value}
    return dict(list(new.items())[:NUM_DETAILS])


def has_list(tool: Tool, path: Sequence[str | int]) -> bool:
    """Whether the path goes through a list."""
    return any(isinstance(part, int) for part in path) and schema_at(tool.output, tuple(path)) is not None
