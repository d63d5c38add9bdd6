"""The scripted model's grammar of the role ``query``: what the user says in a round."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted
from data_synth.operators.schema import is_identifier, kind_of
from data_synth.tasks.decomposition import frames
from data_synth.tasks.decomposition.references import condition_words, result_noun
from data_synth.tasks.decomposition.value_wording import Style, say_value
from data_synth.tasks.decomposition.views import ArgumentView, StepView
from data_synth.tasks.decomposition.wording import (
    ask_phrases,
    fragment,
    insert,
    label,
    lowered,
    noun,
    phrase,
    sentence,
    thing,
    words_of,
)

DETERMINERS = "which|what|any|some|more|no|every|each|new|free"
"""Before "that …" they make no sense: the value is said again."""
WISH = re.compile(r"^I(?:'d like| want| need) to ")
"""English requests that tell instead of asking; they lose it after "could you"."""
IMPERATIVE_HEADS = (
    "请",
    "你",
    "麻烦",
    "劳驾",
    "能不能",
    "能不能也",
    "可以",
    "再",
    "也",
    "就",
    "才",
    "那接着",
    "则",
)
IRREGULAR = re.compile(
    r"^[不别我]|^\S{1,6}[A-Z]{2,4}-\d|，请|，.*?(?:想|吧$)|^\S{0,12}(?:不要了|不用了|不需要了|不做了)"
)
"""Chinese requests that tell before they ask."""


@scripted("query")
def write_query(variables: Mapping[str, Any], rng: Random) -> dict[str, str]:
    """A request, a refinement of an earlier one, or the answer to a question."""
    round_, steps = variables["round"], variables["steps"]
    history = variables["history"]
    planned = {step.id for past in history for step in past.steps}
    writer = _Writer(Style.draw(variables["language"], rng), rng, not history, len(planned) == 1)
    kinds = {"request": writer.request, "refinement": writer.refinement, "answer": writer.answer}
    return {"query": kinds[round_.kind](steps)}


class _Writer:
    """One message of the user; ``said`` are the slots whose value it has named.

    Attributes:
        first: nothing was said before it.
        alone: one step was planned before it, which "that" can only mean.
    """

    def __init__(self, style: Style, rng: Random, first: bool, alone: bool) -> None:
        self.style, self.rng, self.first, self.alone = style, rng, first, alone
        self.language = style.language
        self.said: set[str] = set()

    def request(self, steps: Sequence[StepView]) -> str:
        """All new steps in their order; refinements of old ones at the end."""
        fresh = [step for step in steps if step.new]
        text = ""
        for place, step in enumerate(fresh):
            clause = self._clause(step)
            text = self._continued(text, clause, step, fresh[:place]) if place else self._opened(clause, step)
        text = self._framed(text)
        for step in steps:
            if not step.new and (parts := self._fragments(step)):
                text += self._gap() + self._refined(step, parts, alone=False)
        return text

    def refinement(self, steps: Sequence[StepView]) -> str:
        """New values for steps that were planned before."""
        texts = []
        for step in steps:
            if parts := self._fragments(step):
                texts.append(self._refined(step, parts, self.alone))
        return self._gap().join(texts)

    def answer(self, steps: Sequence[StepView]) -> str:
        """The values that were asked for."""
        parts: list[tuple[StepView, ArgumentView]] = []
        for step in steps:
            for argument in step.arguments:
                if argument.origin == "said" and argument.slot not in self.said:
                    self.said.add(argument.slot)
                    parts.append((step, argument))
        joint = "，" if self.language == "zh" else ", and "
        text = joint.join(self._told(step, argument, len(parts) == 1) for step, argument in parts)
        frame = self._pick(frames.ANSWERS)
        return self._polished(frame.format(text))

    def _told(self, step: StepView, argument: ArgumentView, only: bool) -> str:
        """A value that was asked for."""
        value = self._value(step, argument)
        if is_identifier(argument.schema, argument.name):
            called = thing(step.tool, argument.name, self.language)
            return self._pick(frames.THING).format(thing=called, value=value)
        if only and not isinstance(argument.value, bool) and self.rng.random() < 0.4:
            return value
        called = label(step.tool, argument.name, self.language)
        return self._pick(frames.EQUALS).format(label=called, value=value)

    # Clauses

    def _clause(self, step: StepView) -> str:
        template = self.rng.choice(ask_phrases(step.tool, self.language))
        return phrase(template, step, lambda argument: self._say(step, argument, template), self.language)

    def _say(self, step: StepView, argument: ArgumentView, template: str) -> str | None:
        if argument.origin == "masked":
            return None
        if argument.origin == "step":
            assert argument.source_tool is not None
            return result_noun(step, argument, argument.source_tool, self.language)
        again = argument.origin == "known" or argument.slot in self.said
        self.said.add(argument.slot)
        determined = re.search(rf"\b(?:{DETERMINERS}) {{{argument.name}}}", template)
        if again and is_pronominal(argument) and not determined:
            return noun(step.tool, argument.name, self.language)
        return self._value(step, argument)

    def _value(self, step: StepView, argument: ArgumentView) -> str:
        words = words_of(step.tool, argument.name, self.language)
        return say_value(argument.value, argument.schema, words, self.style)

    def _fragments(self, step: StepView) -> list[str]:
        parts = []
        for argument in step.arguments:
            if argument.origin == "said" and argument.slot not in self.said:
                self.said.add(argument.slot)
                template = fragment(step.tool, argument.name, self.language)
                parts.append(insert(template, argument.name, self._value(step, argument), step))
        return parts

    def _refined(self, step: StepView, parts: Sequence[str], alone: bool) -> str:
        detail = ("，" if self.language == "zh" else " and ").join(parts)
        if alone:
            return self._polished(self._pick(frames.REFINE_ONE).format(detail))
        bare = self.rng.choice(ask_phrases(step.tool, self.language))
        bare = phrase(bare, step, lambda argument: self._known(step, argument, bare), self.language)
        what = bare if self.language == "zh" else lowered(bare)
        return self._polished(self._pick(frames.REFINE_MANY).format(detail, what=what))

    def _known(self, step: StepView, argument: ArgumentView, template: str) -> str | None:
        """An argument of a step that was spoken of before; what the template has no place for isn't repeated."""
        if f"{{{argument.name}}}" not in template:
            return None
        if argument.origin == "step" or is_pronominal(argument):
            return noun(step.tool, argument.name, self.language)
        return self._value(step, argument)

    # Sentences

    def _opened(self, clause: str, step: StepView) -> str:
        if step.conditions:
            frame = self._if(self._condition(step), "{}", clause).lstrip("。；.; ").removeprefix("Then, ")
            return frame.replace("{}", self._fitting(frame, clause)) + self._stop()
        frame = self._pick(frames.OPENINGS if self.first else frames.LATER, clause)
        return frame.format(self._fitting(frame, clause))

    def _continued(self, text: str, clause: str, step: StepView, before: Sequence[StepView]) -> str:
        """The next clause after ``text``, joined by what relates the steps."""
        last = before[-1]
        if step.conditions:
            held = step.conditions
            if last.conditions and held[0].condition == last.conditions[0].condition:
                return self._joined(text, self._pick(frames.IN_THAT_CASE, clause), clause)
            opposite = held[0].condition.negated()
            if last.conditions and last.conditions[0].condition == opposite:
                return self._joined(text, self._pick(frames.OTHERWISE, clause), clause)
            return self._joined(text, self._if(self._condition(step), "{}", clause), clause)
        if last.conditions:
            return self._joined(text, self._pick(frames.ANYWAY, clause), clause)
        if any(argument.origin == "step" for argument in step.arguments):
            return self._joined(text, self._pick(frames.AFTER, clause), clause)
        shares = {argument.slot for argument in step.arguments if argument.slot}
        related = step.atom == last.atom or any(
            shares & {argument.slot for argument in other.arguments} for other in before
        )
        return self._joined(text, self._pick(frames.ALONGSIDE if related else frames.APART, clause), clause)

    def _condition(self, step: StepView) -> str:
        return (" and " if self.language == "en" else "且").join(
            condition_words(view, self.style) for view in step.conditions
        )

    def _if(self, condition: str, place: str, clause: str) -> str:
        return self._pick(frames.IF, clause).replace("{condition}", condition).replace("{}", place)

    def _joined(self, text: str, connective: str, clause: str) -> str:
        """The clause within the last sentence, or in one of its own."""
        ended = re.fullmatch(r"(.*?)([.?。？]|吗？)", text, re.DOTALL)
        assert ended is not None, text
        body, end = ended[1], ended[2]
        if end.endswith(("?", "？")) and connective[0] in ";；":
            connective = "." + connective[1:]  # a question ends before what is decided by its answer
        if connective[0] in ".。":
            start = connective[1:].lstrip()
            addition = start.replace("{}", self._fitting(start, clause))
            return body + end + self._gap() + sentence(addition) + self._stop()
        return body + connective.replace("{}", self._fitting(connective, clause)) + end

    def _fitting(self, frame: str, clause: str) -> str:
        """The clause as it may follow what the frame puts before it."""
        head = frame.split("{}")[0]
        if self.language == "en":
            return lowered(WISH.sub("", clause)) if head.strip() else sentence(clause)
        if not head.endswith(IMPERATIVE_HEADS):
            return clause
        return re.sub(r"^(请|帮我|麻烦|我想)", "帮我" if clause.startswith("帮我") else "", clause)

    def _framed(self, text: str) -> str:
        """With greeting, context and closing."""
        gap = self._gap()
        if not self.first:
            return self._polished(text)
        greeting, closing = self._pick(frames.GREETINGS), self._pick(frames.CLOSINGS)
        if self.rng.random() < 0.3:
            context = self._pick(frames.CONTEXTS)
            body = f"{greeting}{lowered(context) if greeting else context}{gap}{sentence(text)}"
        else:
            body = f"{greeting}{lowered(text)}" if greeting and self.language == "en" else greeting + text
        return self._polished(body + (gap + closing if closing else ""))

    def _polished(self, text: str) -> str:
        text = re.sub(r" +", " ", text)
        return sentence(re.sub(r"\.\.+", ".", text)).strip()

    def _stop(self) -> str:
        return "。" if self.language == "zh" else "."

    def _gap(self) -> str:
        return "" if self.language == "zh" else " "

    def _pick(self, options: Mapping[str, Sequence[str]], clause: str = "") -> str:
        """One of the frames; a clause that is no plain imperative can't follow "please"."""
        known = options[self.language]
        if re.match(r"\S+ me\b", clause):
            known = [frame for frame in known if not frame.startswith("Help me")]
        if self.language == "en" and re.match(r"I\b", clause) and not WISH.match(clause):
            apart = [frame for frame in known if frame.split("{}")[0].strip(" .")[-1:] in ("", ":", ",", ";")]
            known = apart or known
        if self.language == "zh" and IRREGULAR.search(clause):
            known = [frame for frame in known if not frame.split("{}")[0].endswith(IMPERATIVE_HEADS)]
        return self.rng.choice(known)


def is_pronominal(argument: ArgumentView) -> bool:
    """Whether "that …" can stand for a value said before; numbers, times and choices are said again."""
    schema = argument.schema
    return schema.get("type") == "string" and "enum" not in schema and kind_of(schema) != "time"
