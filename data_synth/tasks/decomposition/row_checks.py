"""What must hold between a row's messages, its gold and its tools, beyond the formats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jsonschema

from data_synth.filters.grounding import mentions

IF_WORDS = re.compile(
    r"\b(?:if|in case|should|provided|otherwise|unless|depending|when|as long as|failing|only)\b"
    r"|如果|要是|若|假如|只有|否则|不然|的话|在.+时|则"
)
STEP_IF = re.compile(
    r"(?:if|should|provided|otherwise|unless|in case|when)\b|如果|若|要是|假如|否则|当|在", re.I
)
QUESTION = re.compile(r"？|\?(?=[\"”’')]?(?:\s|$))")
"""A question mark at the end of a word; links have them inside."""
NUM_WORDS = 3
"""In common with another tool, before a step is said to speak of that one."""
COMMON = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "for",
        "to",
        "in",
        "on",
        "at",
        "by",
        "and",
        "or",
        "with",
        "from",
        "get",
        "use",
        "run",
        "return",
        "returns",
        "one",
        "this",
        "that",
        "id",
    ]
)


def row_fault(row: Mapping[str, Any]) -> str | None:
    """The first thing that is wrong; None if nothing is."""
    tools = {tool["function"]["name"]: tool["function"] for tool in row["tools"]}
    queries = [message["content"] for message in row["messages"] if message["role"] == "user"]
    turns, plan = row["gold"]["turns"], row["gold"]["plan"]
    for fault in (graph_fault(plan), schema_fault(turns, tools), coverage_fault(plan, turns)):
        if fault:
            return fault
    if len(queries) != len(turns):
        return f"{len(queries)} queries and {len(turns)} answers"
    return dialogue_fault(queries, turns, tools, row["meta"]["language"])


def graph_fault(plan: Mapping[str, Any]) -> str | None:
    """Steps numbered in order, each needing earlier ones only, with exactly the edges that they imply."""
    steps, edges = plan["steps"], set[tuple[int, int]]()
    for number, step in enumerate(steps, 1):
        if step["id"] != number:
            return f"step {step['id']} stands at position {number}"
        sources = [a["step"] for a in step["arguments"].values() if "step" in a]
        sources += [condition["step"] for condition in step.get("when", ())]
        if any(not 0 < source < number for source in sources):
            return f"step {number} needs one that isn't before it"
        edges |= {(source, number) for source in sources}
    if edges != {(source, target) for source, target, _ in plan["edges"]}:
        return "the edges aren't those that the steps imply"
    return None


def schema_fault(turns: Sequence[Mapping[str, Any]], tools: Mapping[str, Any]) -> str | None:
    """Each planned call conforms to its tool, but for what an earlier answer fills in."""
    for turn in turns:
        for step in turn["steps"]:
            tool = tools.get(step["tool"])
            if tool is None:
                return f"{step['tool']} isn't among the candidate tools"
            parameters = tool["parameters"]
            given, taken = step["arguments"], step["takes"]
            if missing := set(parameters.get("required", ())) - set(given) - set(taken):
                return f"{step['tool']} needs {min(missing)}"
            for name in (*given, *taken):
                if name not in parameters.get("properties", {}):
                    return f"{step['tool']} has no parameter {name}"
            for name, value in given.items():
                checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
                validator = jsonschema.Draft202012Validator(
                    parameters["properties"][name], format_checker=checker
                )
                if not validator.is_valid(value):
                    return f"{step['tool']}.{name}={value!r} doesn't conform to its schema"
    return None


def coverage_fault(plan: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> str | None:
    """Every step is planned at last, with every value; every value was said by then, none twice as new."""
    final: dict[int, Mapping[str, Any]] = {}
    said: dict[str, Any] = {}
    for turn in turns:
        for slot, saying in turn["says"].items():
            if slot in said:
                return f"{slot} is said in two turns"
            said[slot] = saying["value"]
        final |= {step["id"]: step for step in turn["steps"]}
        for step in turn["steps"]:
            for name, argument in plan["steps"][step["id"] - 1]["arguments"].items():
                if name in step["arguments"] and argument.get("slot") not in said:
                    return f"step {step['id']} has {name} before the user said it"
    for step in plan["steps"]:
        values = {name: a["value"] for name, a in step["arguments"].items() if "step" not in a}
        if step["id"] not in final or final[step["id"]]["arguments"] != values:
            return f"step {step['id']} is never planned with all of its values"
    return None


def dialogue_fault(
    queries: Sequence[str], turns: Sequence[Mapping[str, Any]], tools: Mapping[str, Any], language: str
) -> str | None:
    """Words against gold: what is said, what is kept back, what each step and each reply speaks of."""
    for number, (query, turn) in enumerate(zip(queries, turns, strict=True)):
        for fault in _query_faults(query, turn, language):
            return f"query {number}: {fault}"
        for fault in _step_faults(turn, tools, language):
            return f"answer {number}: {fault}"
        if bool(turn["asks"]) != bool(QUESTION.search(turn["reply"])):
            return f"answer {number}: {'no question asked' if turn['asks'] else 'a question for nothing'}"
    return None


def _query_faults(query: str, turn: Mapping[str, Any], language: str) -> Iterator[str]:
    for slot, saying in turn["says"].items():
        if not _says(query, saying["value"], saying["spoken"], language):
            yield f"{slot}={saying['value']!r} isn't said"
    for slot, saying in turn["asks"].items():
        told = _told(turn["reply"])
        for place, text in (("query", query), ("plan", " ".join(turn["plan"])), ("reply", told)):
            if _leaks(text, saying, turn["says"].values(), language):
                yield f"{slot}={saying['value']!r} is kept back, but stands in the {place}"
    conditional = any(step["when"] for step in turn["steps"])
    if turn["kind"] == "request" and conditional and not IF_WORDS.search(query.lower()):
        yield "no condition is said"


def _says(text: str, value: Any, spoken: Sequence[str], language: str) -> bool:
    return mentions(text, value, language) or any(word in text for word in spoken)


def _told(reply: str) -> str:
    """A reply without its questions, which may list the choices of an enumeration."""
    sentences = re.split(r"(?<=[.!?:])\s+|(?<=[。！？：])", reply)
    return " ".join(part for part in sentences if not QUESTION.search(part))


def _leaks(text: str, kept: Mapping[str, Any], said: Iterable[Mapping[str, Any]], language: str) -> bool:
    """Whether a text tells a value that is kept back, not by telling another that happens to hold it."""
    value = kept["value"]
    if value in (None, "", [], {}) or isinstance(value, bool):
        return False
    if isinstance(value, int | float):  # "one more thing" tells no number
        return bool(re.search(rf"(?<![\d.,:/-]){re.escape(str(value))}(?![\d:/-]|[.,]\d)", text)) and not any(
            str(value) in str(other["value"]) for other in said
        )
    if any(value == other["value"] or str(value) in str(other["value"]) for other in said):
        return False
    return _says(text, value, kept["spoken"], language)


def _step_faults(turn: Mapping[str, Any], tools: Mapping[str, Any], language: str) -> Iterator[str]:
    place = {step["id"]: number for number, step in enumerate(turn["steps"], 1)}
    for number, (text, step) in enumerate(zip(turn["plan"], turn["steps"], strict=True), 1):
        for name, value in step["arguments"].items():
            if not _says(text, value, step["spoken"].get(name, ()), language):
                yield f"step {number} doesn't say {name}={value!r}"
        for source in step["depends_on"]:
            here = place.get(source)
            if here is not None and not re.search(rf"(?:[Ss]tep ?{here}\b|第 ?{here} ?步)", text):
                yield f"step {number} doesn't speak of step {here}"
        if step["when"] and not STEP_IF.match(text):
            yield f"step {number} doesn't begin with its condition"
        if not step["when"] and (
            other := _another_tool(text, step["tool"], [tools[other["tool"]] for other in turn["steps"]])
        ):
            yield f"step {number} speaks of what {other} does, not {step['tool']}"


def _another_tool(text: str, name: str, tools: Sequence[Mapping[str, Any]]) -> str | None:
    """The tool that a step's text speaks of where it has no word in common with its own."""
    shared = {tool["name"]: words_in_common(text, tool) for tool in tools}
    best = max(shared, key=lambda other: shared[other])
    return best if shared[name] == 0 and shared[best] >= NUM_WORDS else None


def words_in_common(text: str, tool: Mapping[str, Any]) -> int:
    """How many words a text has in common with a tool's name and description; pairs of characters in Chinese."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_.-]+", " ", tool["name"])
    about = f"{name} {tool['description']}"
    return len(_features(text) & _features(about))


def _features(text: str) -> set[str]:
    plain = text.casefold()
    words = {word[:5] for word in re.findall(r"[a-z]{3,}", plain) if word not in COMMON}
    runs = re.findall(r"[\u4e00-\u9fff]{2,}", plain)
    return words | {run[i : i + 2] for run in runs for i in range(len(run) - 1)}
