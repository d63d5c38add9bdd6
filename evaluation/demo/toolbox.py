"""Tools by name: their schemas for the model, its calls checked and run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema

from evaluation.jsonl import quote


class ToolError(Exception):
    """A tool can't do what it was asked. The message is given to the model."""


@dataclass(frozen=True)
class Tool:
    """One function that the model may call.

    Attributes:
        parameters: JSON schema of its arguments; ``run`` gets what conforms, as keywords.
        run: returns the text for the model, or raises ToolError.
    """

    name: str
    description: str
    parameters: dict[str, dict[str, Any]]
    run: Callable[..., str]

    @property
    def schema(self) -> dict[str, Any]:
        """As OpenAI's ``tools`` has it. Every argument is required, and no other is allowed."""
        parameters = {
            "type": "object",
            "properties": self.parameters,
            "required": list(self.parameters),
            "additionalProperties": False,
        }
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


class Toolbox:
    """The tools of one agent."""

    def __init__(self, tools: Sequence[Tool], max_characters: int) -> None:
        """``max_characters``: a longer result is cut."""
        self._tools = {tool.name: tool for tool in tools}
        self._max_characters = max_characters

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """What the model is told."""
        return [tool.schema for tool in self._tools.values()]

    def run(self, name: str, arguments: str) -> tuple[str, bool]:
        """(result, whether it is one) of a call as the model wrote it; an error's text says what is wrong."""
        try:
            result = self._run(name, arguments)
        except ToolError as error:
            return f"error: {error}", False
        result = result.encode("utf-8", "replace").decode()  # a file's name may hold half a character
        if len(result) > self._max_characters:
            left_out = len(result) - self._max_characters
            result = f"{result[: self._max_characters]}\n… ({left_out} more characters)"
        return result, True

    def _run(self, name: str, arguments: str) -> str:
        tool = self._tools.get(name)
        if tool is None:
            raise ToolError(f"no tool {quote(name)}; there are {', '.join(self._tools)}")
        values = read_arguments(arguments)
        validator = jsonschema.Draft202012Validator(tool.schema["function"]["parameters"])
        for error in validator.iter_errors(values):
            where = ".".join(str(part) for part in error.path) or "arguments"
            raise ToolError(f"{where}: {error.message[:300]}")
        return tool.run(**values)


def read_arguments(text: str) -> dict[str, Any]:
    """The arguments of a call; none at all are none.

    Raises:
        ToolError: no JSON object.
    """
    try:
        values = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        raise ToolError(f"the arguments are no JSON: {quote(text)}") from None
    if not isinstance(values, dict):
        raise ToolError(f"the arguments are no JSON object: {quote(text)}")
    return values
