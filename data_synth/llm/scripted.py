"""The scripted model: a seeded grammar per role instead of a network. The embedded default of every pipeline.

A role's grammar is a function of the request's variables and a random stream; it registers itself:

    @scripted("query")
    def write_query(variables: Mapping[str, Any], rng: Random) -> Any: ...
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from data_synth.llm.model import Request

type Grammar = Callable[[Mapping[str, Any], Random], Any]

_GRAMMARS: dict[str, Grammar] = {}


def scripted(role: str) -> Callable[[Grammar], Grammar]:
    """Register the decorated function as the grammar of ``role``; it returns the answer as a JSON value."""

    def register(grammar: Grammar) -> Grammar:
        if role in _GRAMMARS:
            raise ValueError(f"role {role} has two grammars")
        _GRAMMARS[role] = grammar
        return grammar

    return register


class ScriptedModel:
    """Answers from the registered grammars; the same request has the same answer in any process.

    Args:
        seed: of the run; with another one the same requests have other answers.
    """

    name = "scripted"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def complete(self, request: Request) -> str:
        """The grammar's answer as JSON text.

        Raises:
            KeyError: no grammar for the role was imported.
        """
        prompt = json.dumps([message["content"] for message in request.messages], ensure_ascii=False)
        digest = hashlib.sha256(f"{self._seed}/{request.role}/{request.seed}/{prompt}".encode()).hexdigest()
        answer = _GRAMMARS[request.role](request.variables, Random(digest))
        return json.dumps(answer, ensure_ascii=False)

    def usage(self) -> dict[str, Any]:
        """As of a model that costs nothing."""
        return {"model": self.name}
