"""The frozen sets of MagicEval: read, checked against their SHA-256, and written as a chat.

The paper's sets are its users' logs and stay with its authors. These are ours, made by ``data_synth.magic_eval`` on
tools that training never sees; scores on them aren't comparable with the paper's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

import evaluation
from evaluation.benchmarks import Message, Source
from evaluation.tool_text import system_text
from recipes.command import InputError

FOLDER = Path(evaluation.__path__[0]) / "data"
SHA256 = {
    "magic_eval_plan": "c592be713bcce948f433c23c0d91d6de0f0fd176d942e51ec6a64fa86855b61d",
    "magic_eval_tool": "454e51b0d2d5bad8d9479b9a2acfceb6f433cae00e0f08c8e68a17eb6a6f1192",
}
SCENARIOS = ("general", "dependency", "condition", "context_inheritance")
LANGUAGES = ("en", "zh")


class _Row(BaseModel):
    """A line of a set; ``wanted`` has an entry for each assistant's message."""

    model_config = ConfigDict(extra="forbid")

    id: str
    scenario: str
    language: str
    instance: str
    tools: list[str]
    messages: list[dict[str, Any]]
    wanted: list[list[Any]]


class _Set(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    tools: dict[str, dict[str, dict[str, Any]]]
    rows: list[_Row]


@dataclass(frozen=True)
class Dialogue:
    """A row.

    Attributes:
        messages: the whole dialogue, golden answers included.
        tools: OpenAI's function schemas.
        wanted: of each assistant's message, the steps of its plan or its calls.
    """

    id: str
    scenario: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...]
    wanted: tuple[list[Any], ...]

    @property
    def places(self) -> list[int]:
        """Where in ``messages`` the assistant speaks."""
        return [place for place, message in enumerate(self.messages) if message["role"] == "assistant"]

    def prompt(self, place: int) -> list[Message]:
        """What comes before ``messages[place]``, as plain turns: tools in the system's words, answers as users'."""
        system, *rest = self.messages[:place]
        turns: list[Message] = [{"role": "system", "content": system_text(system["content"], self.tools)}]
        was_tool = False
        for message in rest:
            if message["role"] != "tool":
                turns.append({"role": message["role"], "content": message["content"]})
            else:
                response = f"<tool_response>\n{message['content']}\n</tool_response>"
                if was_tool:
                    turns[-1]["content"] += f"\n{response}"
                else:
                    turns.append({"role": "user", "content": response})
            was_tool = message["role"] == "tool"
        return turns


def read_set(name: str, source: Source) -> dict[str, Dialogue]:
    """The dialogues of ``source`` by id: the frozen set's, or those of the file ``data``.

    Raises:
        InputError: no such subtask or language, a frozen file that was changed, or a file of another form.
    """
    for key, value, known in (
        ("subtask", source.subtask, SCENARIOS),
        ("language", source.language, LANGUAGES),
    ):
        if value not in (None, *known):
            raise InputError(f"{key}={value}: {name} has {', '.join(known)}; leave it out for all")
    content = _read(name, source.data)
    try:
        read = _Set.model_validate_json(content)
        if read.name != name:
            raise InputError(f"data={source.data}: holds {read.name}; give a file of {name}")
        dialogues = [_dialogue(row, read.tools) for row in read.rows if _is_chosen(row, source)]
    except (ValidationError, KeyError, AssertionError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        raise InputError(
            f"data={source.data}: {first}; make a file with python -m data_synth.magic_eval"
        ) from None
    if not dialogues:
        raise InputError(f"data={source.data}: no such row in it; check subtask and language")
    return {dialogue.id: dialogue for dialogue in dialogues}


def _read(name: str, path: str | None) -> bytes:
    file = Path(path) if path is not None else FOLDER / f"{name}.json"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"data={file}: {error.strerror}; give a readable file, or none for the frozen set"
        ) from None
    if path is None and hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise InputError(f"data=null: {file} isn't the frozen set (SHA-256 differs); check it out again")
    return content


def _is_chosen(row: _Row, source: Source) -> bool:
    return source.subtask in (None, row.scenario) and source.language in (None, row.language)


def _dialogue(row: _Row, tools: Mapping[str, Mapping[str, dict[str, Any]]]) -> Dialogue:
    known = tools[row.language]
    dialogue = Dialogue(
        row.id,
        row.scenario,
        tuple(row.messages),
        tuple({"type": "function", "function": known[tool]} for tool in row.tools),
        tuple(row.wanted),
    )
    _check(dialogue.messages, len(row.wanted))
    return dialogue


def _check(messages: Sequence[Message], num_wanted: int) -> None:
    assert all({"role", "content"} <= message.keys() for message in messages), (
        "a message has role and content"
    )
    assert [message["role"] for message in messages[:2]] == ["system", "user"], "system and user come first"
    num_answers = sum(message["role"] == "assistant" for message in messages)
    assert num_answers == num_wanted > 0, "each assistant's message has what is wanted of it"
