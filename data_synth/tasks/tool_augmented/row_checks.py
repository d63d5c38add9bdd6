"""What must hold between a row's messages, its gold, its tools and a simulator, beyond the formats."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema

from data_synth.filters.grounding import mentions
from data_synth.filters.nulls import holds_nulls
from data_synth.simulator.simulator import Simulator
from data_synth.simulator.steering import Wish
from data_synth.tools.tool import Tool

REPLY = "reply"
OBSERVATION = re.compile(r"<observation>(\{.*\})</observation>", re.DOTALL)
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

type Parsed = Sequence[tuple[str, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Call:
    """A call with what stands around it.

    Attributes:
        step: of the plan.
        turn: which of the assistant's messages makes it.
        answer: the observation.
        heard: everything that the user has said before.
    """

    step: int
    turn: int
    name: str
    arguments: Mapping[str, Any]
    sources: Mapping[str, Any]
    answer: Any
    heard: str


def row_fault(row: Mapping[str, Any], parsed: Parsed) -> str | None:
    """The first thing that is wrong; None if nothing is."""
    try:
        calls = list(_calls(row, parsed))
    except ValueError as error:
        return str(error)
    for faults in (
        _schema_faults(row, parsed),
        _thought_faults(row, parsed),
        _grounding_faults(row, calls),
        _course_faults(row, calls),
        _replay_faults(row, calls),
    ):
        if fault := next(faults, None):
            return fault
    return None


def _calls(row: Mapping[str, Any], parsed: Parsed) -> Iterator[Call]:
    """The calls to tools, each with its answer.

    Raises:
        ValueError: messages don't come in an order that a dialogue can have.
    """
    messages, heard, turn, place = row["messages"], "", 0, 0
    if [message["role"] for message in messages[:2]] != ["system", "user"]:
        raise ValueError("a row begins with system and user")
    while place < len(messages):
        message = messages[place]
        place += 1
        if message["role"] == "user":
            heard += f"\n{message['content']}"
        elif message["role"] == "assistant":
            listed, golden = parsed[turn][1], row["gold"]["turns"][turn]
            if any(call["name"] == REPLY for call in listed):
                if len(listed) != 1 or (place < len(messages) and messages[place]["role"] != "user"):
                    raise ValueError(f"answer {turn}: reply stands alone, and the user speaks next")
            else:
                answers = messages[place : place + len(listed)]
                place += len(listed)
                rows = zip(listed, golden["step_ids"], golden["sources"], answers, strict=True)
                for call, step, sources, answer in rows:
                    read = OBSERVATION.fullmatch(answer["content"]) if answer["role"] == "tool" else None
                    if read is None or answer["name"] != call["name"]:
                        raise ValueError(f"answer {turn}: {call['name']} has no observation")
                    observed = json.loads(read[1])
                    yield Call(step, turn, call["name"], call["arguments"], sources, observed, heard)
            turn += 1
        elif message["role"] == "tool":
            raise ValueError("an observation without a call")
    if [call["name"] for call in parsed[-1][1]] != [REPLY]:
        raise ValueError("a row ends with a reply")


def _schema_faults(row: Mapping[str, Any], parsed: Parsed) -> Iterator[str]:
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in row["tools"]}
    if len(tools) != len(row["tools"]):
        yield "two tools of one name"
    for _, calls in parsed:
        for call in calls:
            if call["name"] not in tools:
                yield f"{call['name']} isn't among the row's tools"
            elif holds_nulls(call["arguments"]):
                yield f"{call['name']} has a null argument"
            elif not jsonschema.Draft202012Validator(tools[call["name"]]).is_valid(call["arguments"]):
                yield f"the arguments of {call['name']} don't conform to its schema"


def _thought_faults(row: Mapping[str, Any], parsed: Parsed) -> Iterator[str]:
    """A thought names the tools that it leads to, and none that the row never calls."""
    used = {call["name"] for _, calls in parsed for call in calls}
    idle = {tool["function"]["name"] for tool in row["tools"]} - used
    for number, (thought, calls) in enumerate(parsed):
        named = set(re.findall(r"[A-Za-z0-9_.-]+", thought)) | set(re.findall(r"[A-Za-z0-9_]+", thought))
        for call in calls:
            if call["name"] != REPLY and call["name"] not in named:
                yield f"thought {number} doesn't name {call['name']}"
        for name in sorted(idle & named):
            if "_" in name or not name.isalpha():  # a tool called "search" is a word of the language too
                yield f"thought {number} names {name}, which is never called"


def _grounding_faults(row: Mapping[str, Any], calls: Sequence[Call]) -> Iterator[str]:
    language = row["meta"]["language"]
    answers: dict[int, Any] = {}
    turn = -1
    waiting: dict[int, Any] = {}
    for call in calls:
        if call.turn != turn:
            answers |= waiting
            waiting, turn = {}, call.turn
        if call.sources.keys() != call.arguments.keys():
            yield f"{call.name}: an argument without a source"
        for name, value in call.arguments.items():
            source = call.sources[name]
            if source["from"] == "observation":
                if _at(answers.get(source["step"]), source["path"]) != value:
                    yield f"{call.name}.{name}={value!r} isn't what step {source['step']} answered"
            elif not _said(call.heard, value, language, source.get("words", {})):
                yield f"{call.name}.{name}={value!r} was never said"
        waiting[call.step] = call.answer


def _course_faults(row: Mapping[str, Any], calls: Sequence[Call]) -> Iterator[str]:
    """Every step whose conditions held was called, after those that it needs; no other was."""
    steps = {step["id"]: step for step in row["gold"]["plan"]["steps"]}
    called: dict[int, list[Call]] = {}
    for call in calls:
        called.setdefault(call.step, []).append(call)
    for number, step in steps.items():
        sources = {a["step"] for a in step["arguments"].values() if "step" in a}
        conditions = step.get("when", ())
        met = all(_holds(condition, called) for condition in conditions)
        if (met and sources <= called.keys()) != (number in called):
            yield f"step {number} was {'called' if number in called else 'left out'} against its conditions"
        for source in sources | {condition["step"] for condition in conditions}:
            if number in called and called[source][0].turn >= called[number][0].turn:
                yield f"step {number} was called before step {source} had answered"
        for call in called.get(number, ()):
            if call.name != step["tool"] or not call.arguments.keys() <= step["arguments"].keys():
                yield f"step {number} calls something else"
        values = {name: a["value"] for name, a in step["arguments"].items() if "step" not in a}
        if number in called and any(called[number][-1].arguments.get(n) != v for n, v in values.items()):
            yield f"step {number} was never called with all of its values"
    yield from _question_faults(row, called)


def _question_faults(row: Mapping[str, Any], called: Mapping[int, Sequence[Call]]) -> Iterator[str]:
    """Values that the user kept back were asked for before their use."""
    questions = [n for n, turn in enumerate(row["gold"]["turns"]) if turn["transition"] == "clarification"]
    for step in row["gold"]["plan"]["steps"]:
        for name, argument in step["arguments"].items():
            for call in called.get(step["id"], ()):
                if (
                    argument.get("masked")
                    and name in call.arguments
                    and not any(n < call.turn for n in questions)
                ):
                    yield f"{call.name}.{name} was kept back, and never asked for"


def _replay_faults(row: Mapping[str, Any], calls: Sequence[Call]) -> Iterator[str]:
    """A fresh simulator gives the same answers; those of a model are handed to it to be set right, and stand."""
    world = row["gold"]["simulator"]
    tools = {record["name"]: Tool(**record) for record in world["tools"]}
    wishes = [Wish.from_record(record) for record in world["wishes"]]
    simulator = Simulator(tools, world["seed"], None, world["language"], wishes)
    scripted = row["meta"]["model"] == "scripted"
    for call in calls:
        draft = None if scripted else call.answer
        answer = simulator.call(call.name, call.arguments, draft=draft)
        if answer.is_error or answer.value != call.answer:
            yield f"{call.name} answers something else when it is replayed"
        if not jsonschema.Draft202012Validator(tools[call.name].output).is_valid(call.answer):
            yield f"the answer of {call.name} doesn't conform to its schema"


def _holds(condition: Mapping[str, Any], called: Mapping[int, Sequence[Call]]) -> bool:
    if condition["step"] not in called:
        return False
    found = _at(called[condition["step"]][0].answer, condition["path"])
    empty = found in (None, "", [], {})
    match condition["comparison"]:
        case "is_empty":
            return empty
        case "not_empty":
            return not empty
        case "==":
            return bool(found == condition["value"])
        case "!=":
            return bool(found != condition["value"])
    compare = _COMPARISONS[condition["comparison"]]
    return isinstance(found, int | float) and bool(compare(found, condition["value"]))


def _at(answer: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        try:
            answer = answer[part]
        except (KeyError, IndexError, TypeError):
            return None
    return answer


def _said(text: str, value: Any, language: str, words: Mapping[str, str]) -> bool:
    if isinstance(value, list):
        return all(_said(text, one, language, words) for one in value)
    if isinstance(value, str) and value in words and words[value].casefold() in text.casefold():
        return True
    return mentions(text, value, language)
