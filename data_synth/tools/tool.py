"""A tool as every part of ``data_synth`` sees it: OpenAI's function schema, an output schema, where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KIND = "x-kind"
"""Key of a property's schema that names what its value is, such as ``city`` or ``booking_id``; models don't see it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that an agent can call.

    Attributes:
        name: unique in a collection; ``[A-Za-z0-9_-]{1,64}``.
        description: in the words of its documentation.
        parameters: JSON schema of type ``object``.
        output: JSON schema of what a call returns, of type ``object``.
        domain: what it is about, such as ``hotels``.
        source: where it was imported from.
        licence: SPDX identifier of the source.
        hints: for the scripted model and the simulator (phrases, effect on an entity); may be empty.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    output: Mapping[str, Any]
    domain: str = ""
    source: str = ""
    licence: str = ""
    hints: Mapping[str, Any] = field(default_factory=dict)

    @property
    def properties(self) -> Mapping[str, Any]:
        """Parameter name to its schema."""
        return self.parameters.get("properties", {})

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the parameters that a call must have, in the schema's order."""
        return tuple(self.parameters.get("required", ()))

    def to_openai(self) -> dict[str, Any]:
        """As a request's ``tools`` and a row's ``tools`` hold it; keys of our own are left out."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": _public(self.parameters),
        }
        return {"type": "function", "function": function}

    def to_record(self) -> dict[str, Any]:
        """As a line of ``tools.jsonl``."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_world(self) -> dict[str, Any]:
        """As a row's ``gold`` holds it: as far as its simulated answers depend on it."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "output": self.output,
            "hints": {key: self.hints[key] for key in ("effect",) if key in self.hints},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Tool:
        """What ``to_record`` gave."""
        return cls(**record)


def _public(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {key: _public(value) for key, value in schema.items() if not str(key).startswith("x-")}
    return [_public(value) for value in schema] if isinstance(schema, list | tuple) else schema
