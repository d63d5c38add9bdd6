"""Lumos-style rows: subgoals of a task, in one answer or in turns, alone (``plan``) or with actions (``ground``).

Source of the formats: allenai/lumos, ``data/prompt_convertion.py`` (plan and ground, onetime and iterative).
Grounded rows name variables, so that ``R3 = QA(R2, …)`` says which subgoals need which; the others say it in words
("identified in Subgoal 1") or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_synth.tasks.procedural.dag import close
from data_synth.tasks.procedural.worfbench import RowError
from data_synth.tasks.procedural.workflow import CHINESE, Candidate, GoldPlan, Node

LICENCE = "ODC-BY-1.0"
_SUBGOAL = re.compile(r"Subgoal ([0-9]{1,3}):\s*(.+?)(?=;?\s*Subgoal [0-9]{1,3}:|;?\s*\Z)", re.DOTALL)
_ACTION = re.compile(
    r"(?P<results>(?:R[0-9]+|Output)(?:,\s*(?:R[0-9]+|Output))*)\s*=\s*(?P<name>[A-Za-z]\w*)\((?P<rest>.*)",
    re.DOTALL,
)
_VARIABLE = re.compile(r"\bR[0-9]{1,3}\b")
_REFERENCE = re.compile(r"\b[Ss]ubgoals? ([0-9]{1,3})(?:(?:, | and |, and )([0-9]{1,3}))*")
_OFFERED = re.compile(r"available action list is[^\n]*\n(?P<entries>[^\n]+)")
_ENTRY = re.compile(r"([A-Za-z]\w*)\(([^)]*)\):\s*([^;]+)")


def is_lumos(row: Mapping[str, Any]) -> bool:
    """Whether the row looks like one of Lumos's."""
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return False
    return "Subgoal" in "".join(str(message.get("content", "")) for message in messages)


def parse_lumos(row: Mapping[str, Any]) -> GoldPlan:
    """The row's task and subgoals; their order by variables or references, None where the row has neither.

    Raises:
        RowError: ``no_task``, ``no_subgoals``, ``subgoals_not_in_order`` or ``ungrounded_subgoal``.
    """
    messages = row["messages"]
    asked = [str(m["content"]) for m in messages if m.get("role") == "user"]
    answered = [str(m["content"]) for m in messages if m.get("role") == "assistant"]
    if not asked or not answered:
        raise RowError("no_task")
    task = _task(asked[0])
    grounded = "to be grounded" in asked[0]
    subgoals = _subgoals(asked if grounded else answered)
    actions = _actions(subgoals, asked, answered) if grounded else [[] for _ in subgoals]
    pairs = _by_variables(actions) | _by_words(subgoals)
    nodes = tuple(
        Node(text, tuple(dict.fromkeys(name for _, name, _ in done)))
        for text, done in zip(subgoals, actions, strict=True)
    )
    return GoldPlan(
        kind="qa",
        task=task,
        nodes=nodes,
        edges=close(len(nodes), sorted(pairs)) if pairs or len(nodes) == 1 else None,
        own=_offered(asked[0]),
        language="zh" if CHINESE.search(task) else "en",
        source=f"lumos/{row.get('dataset', '')}".rstrip("/"),
        licence=LICENCE,
        structure=repr((task, subgoals)),
    )


def _task(text: str) -> str:
    found = re.search(r"Task:\s*(.+?)(?:; Initial Environment Description|\s*\n|\Z)", text, re.DOTALL)
    if found is None or not found[1].strip():
        raise RowError("no_task")
    return found[1].strip()


def _subgoals(texts: Sequence[str]) -> list[str]:
    """In order; a grounded row repeats results between them, which are left out."""
    found: list[str] = []
    for text in texts:
        body = text.split(" The grounding could be based on", 1)[0]
        for number, words in _SUBGOAL.findall(body):
            if int(number) != len(found) + 1:
                raise RowError("subgoals_not_in_order")
            found.append(words.strip().rstrip(";").strip())
    if not found:
        raise RowError("no_subgoals")
    return found


type _Call = tuple[list[str], str, list[str]]
"""Variables set, action, variables read."""


def _actions(subgoals: Sequence[str], asked: Sequence[str], answered: Sequence[str]) -> list[list[_Call]]:
    """The calls of each subgoal: an answer each, or all in one answer, which is read if it has a call for each."""
    if len(asked) == len(subgoals) == len(answered):
        done = [_calls(answer) for answer in answered]
    else:
        calls = _calls(answered[0])
        done = [calls] if len(subgoals) == 1 else [[call] for call in calls]
    if len(done) != len(subgoals) or not all(done):
        raise RowError("ungrounded_subgoal")
    return done


def _calls(text: str) -> list[_Call]:
    calls: list[_Call] = []
    for part in re.split(r";\s+(?=(?:R[0-9]+|Output)[^;=]*=)", text.strip()):
        match = _ACTION.fullmatch(part.strip())
        if match is None:
            return []
        calls.append((_VARIABLE.findall(match["results"]), match["name"], _VARIABLE.findall(match["rest"])))
    return calls


def _by_variables(actions: Sequence[Sequence[_Call]]) -> set[tuple[int, int]]:
    """Subgoals that set a variable, with the later ones that read it."""
    owner: dict[str, int] = {}
    pairs: set[tuple[int, int]] = set()
    for number, calls in enumerate(actions, 1):
        for results, _, reads in calls:
            pairs |= {(owner[name], number) for name in reads if owner.get(name, number) != number}
            owner |= dict.fromkeys(results, number)
    return pairs


def _by_words(subgoals: Sequence[str]) -> set[tuple[int, int]]:
    pairs: set[tuple[int, int]] = set()
    for number, text in enumerate(subgoals, 1):
        for found in _REFERENCE.finditer(text):
            pairs |= {(int(source), number) for source in re.findall(r"[0-9]+", found[0])}
    return {(a, b) for a, b in pairs if 0 < a <= len(subgoals) and a != b}


def _offered(text: str) -> tuple[Candidate, ...]:
    found = _OFFERED.search(text)
    if found is None:
        return ()
    entries = {name: (parameters, about) for name, parameters, about in _ENTRY.findall(found["entries"])}
    return tuple(_candidate(name, *entry) for name, entry in entries.items())


def _candidate(name: str, parameters: str, about: str) -> Candidate:
    names = [part.strip() for part in parameters.split(",") if part.strip()]
    schema = {"type": "object", "properties": {part: {} for part in names}, "required": names}
    return Candidate(name, about.strip().rstrip(".") + ".", schema, "question answering")
