"""Is a message the gold call, and does a row hold together? Read and replayed from scratch; nothing here makes rows.

``verify`` raises nothing, whatever the text, and evaluates none of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jsonschema

from data_synth import strict_json
from data_synth.filters.grounding import mentions
from data_synth.simulator.simulator import Simulator
from data_synth.simulator.steering import Wish
from data_synth.tools.tool import Tool

type Similarity = Callable[[str, str], float]

REPLY = "reply"
_MESSAGE = re.compile(r"<think>(?P<thought>.*?)</think>\s*<tool_call>(?P<call>.*?)</tool_call>", re.DOTALL)
_TAG = re.compile(r"</?(?:think|tool_call)>")


def verify(
    gold: Mapping[str, Any],
    text: str,
    turn: int = 0,
    similarity: Similarity | None = None,
    threshold: float = 0.8,
) -> tuple[bool, str]:
    """Whether ``text`` makes the gold call of one assistant message.

    Args:
        gold: the row's ``gold``.
        text: what a model said.
        turn: number of the assistant message, from 0.
        similarity: of two replies, up to 1; None: the same words, whatever the case and punctuation.
        threshold: of the similarity (0.8: formulas, long-horizon reward).

    Returns:
        the verdict, and the first thing that is wrong ("ok" if nothing is).
    """
    call = read_call(text)
    if isinstance(call, str):
        return False, call
    right = gold["turns"][turn]["call"]
    if call["name"] != right["name"]:
        return False, f"calls {call['name']} instead of {right['name']}"
    if call["name"] != REPLY:
        same = _canonical(call["arguments"]) == _canonical(right["arguments"])
        return same, "ok" if same else "other arguments than the gold call's"
    said, wanted = call["arguments"].get("content"), right["arguments"]["content"]
    if not isinstance(said, str) or call["arguments"].keys() != {"content"}:
        return False, "reply takes content, a string"
    same = _plain(said) == _plain(wanted) if similarity is None else similarity(said, wanted) >= threshold
    return same, "ok" if same else "says something else"


def read_call(text: str) -> dict[str, Any] | str:
    """The one call of a message, or what is wrong with its format."""
    found = _MESSAGE.fullmatch(text.strip())
    if found is None or _TAG.search(found["thought"]) or _TAG.search(found["call"]):
        return "not of the form <think>…</think><tool_call>…</tool_call>"
    try:
        call = strict_json.loads(found["call"])
    except (ValueError, RecursionError):
        return "the call isn't JSON"
    if not isinstance(call, dict) or call.keys() != {"name", "arguments"}:
        return "a call has a name and arguments, and nothing else"
    if not isinstance(call["name"], str) or not isinstance(call["arguments"], dict):
        return "the name is no text, or the arguments are no object"
    return call


def verify_row(row: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a row's parts agree: rounds, strict calls, schemas, where values come from, and a replay of the APIs."""
    calls: list[dict[str, Any]] = []
    for message in row["messages"]:
        if message["role"] == "assistant":
            call = read_call(message["content"])
            if isinstance(call, str):
                return False, f"message {len(calls)}: {call}"
            calls.append(call)
    if calls != [turn["call"] for turn in row["gold"]["turns"]]:
        return False, "the messages' calls aren't the gold calls"
    wrong = next(_faults(row, calls), None)
    return wrong is None, wrong or "ok"


def _faults(row: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from _wrong_rounds(row["messages"], calls)
    yield from _wrong_schemas(row, calls)
    yield from _from_nowhere(row)
    yield from _wrong_answers(row)
    yield from _wrong_label(row)


def _wrong_rounds(messages: Sequence[Mapping[str, Any]], calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """System, then user, assistant, and after it a tool's answer, or the user where the assistant has spoken."""
    expected = ["system", "user"]
    for call in calls:
        expected += ["assistant", "user" if call["name"] == REPLY else "tool"]
    if calls and calls[-1]["name"] == REPLY:
        expected.pop()  # the dialogue ends with the assistant's words
    if [message["role"] for message in messages] != expected:
        yield "the rounds aren't user, thought and call, answer"


def _wrong_schemas(row: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in row["tools"]}
    if len(schemas) != len(row["tools"]) or REPLY not in schemas:
        yield "two tools have one name, or reply is missing"
    validators = {name: jsonschema.Draft202012Validator(schema) for name, schema in schemas.items()}
    for number, call in enumerate(calls):
        if call["name"] not in schemas:
            yield f"message {number}: no tool {call['name']}"
        elif call["arguments"].keys() - schemas[call["name"]]["properties"].keys():
            yield f"message {number}: {call['name']} has no such parameter"
        elif not validators[call["name"]].is_valid(call["arguments"]):
            yield f"message {number}: the arguments of {call['name']} aren't valid"


def _from_nowhere(row: Mapping[str, Any]) -> Iterator[str]:
    """Arguments that neither the user has said nor an API has answered before."""
    heard, observed, turns = "", list[Any](), iter(row["gold"]["turns"])
    language = row["meta"]["language"]
    for message in row["messages"]:
        if message["role"] == "user":
            heard += f"\n{message['content']}"
        elif message["role"] == "tool":
            observed += list(_leaves(json.loads(message["content"])))
        elif message["role"] == "assistant":
            turn = next(turns)
            if turn["call"]["name"] == REPLY:
                continue
            for name, value in turn["call"]["arguments"].items():
                words = turn.get("words", {}).get(name, {})
                for leaf in _leaves(value):
                    answered = any(type(one) is type(leaf) and one == leaf for one in observed)
                    if name in turn["sources"] and not answered:
                        yield f"{turn['call']['name']}.{name}={leaf!r} isn't in an earlier answer"
                    elif not answered and not _said(heard, leaf, words, language):
                        yield f"{turn['call']['name']}.{name}={leaf!r} comes from nowhere"


def _said(heard: str, leaf: Any, words: Mapping[str, str], language: str) -> bool:
    if isinstance(leaf, str) and leaf in words and words[leaf].casefold() in heard.casefold():
        return True
    return mentions(heard, leaf, language)


def _wrong_answers(row: Mapping[str, Any]) -> Iterator[str]:
    """What the APIs of the recorded environment answer to the same calls isn't what the row says."""
    record = row["gold"]["environment"]
    tools = {tool["name"]: Tool(**tool) for tool in record["tools"]}
    wishes = [Wish.from_record(wish) for wish in record["wishes"]]
    simulator = Simulator(tools, record["seed"], language=record["language"], wishes=wishes)
    for absent in record["absent"]:
        simulator.store.delete(absent["entity"], absent["identity"])
    left = {_canonical([fault["tool"], fault["arguments"]]): fault["times"] for fault in record["faults"]}
    errors = {_canonical([fault["tool"], fault["arguments"]]): fault["message"] for fault in record["faults"]}
    answers = (json.loads(m["content"]) for m in row["messages"] if m["role"] == "tool")
    for turn in row["gold"]["turns"]:
        call = turn["call"]
        if call["name"] == REPLY:
            continue
        key = _canonical([call["name"], call["arguments"]])
        if left.get(key, 0):
            left[key] -= 1
            answer: Any = {"error": errors[key]}
        else:
            answer = simulator.call(call["name"], call["arguments"]).value
        if _canonical(answer) != _canonical(next(answers)):
            yield f"{call['name']} answers something else when it is called again"
        if turn.get("failed", False) != ("error" in answer):
            yield f"{call['name']} failed, or didn't, against the gold"


def _wrong_label(row: Mapping[str, Any]) -> Iterator[str]:
    """Steps of the plan without an answer make a dialogue unsuccessful, and nothing else does."""
    gold = row["gold"]
    answered = [turn["step"] for turn in gold["turns"] if "step" in turn and not turn.get("failed")]
    steps = [step["id"] for step in gold["plan"]["steps"]]
    if len(set(answered)) != len(answered):
        yield "a step was answered twice"
    if (gold["label"] == "successful") != (sorted(answered) == steps):
        yield f"labelled {gold['label']} with {len(answered)} of {len(steps)} steps done"
    done: set[int] = set()
    needs: dict[int, set[int]] = {step: set() for step in steps}
    for source, target, _ in gold["plan"]["edges"]:
        needs[target].add(source)
    for step in answered:
        if not needs[step] <= done:
            yield f"step {step} comes before what it needs"
        done.add(step)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
