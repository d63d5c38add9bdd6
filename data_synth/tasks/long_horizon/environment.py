"""The APIs of a dialogue with their faults: the simulator, records that aren't there, calls that fail at first.

Faults belong to calls, not to moments: an environment that is made from its record answers the same calls alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.operators.plan import Condition
from data_synth.simulator.conforms import canonical
from data_synth.simulator.simulator import Answer, Simulator
from data_synth.simulator.steering import Path, Wish
from data_synth.tools.tool import Tool

Kind = Literal["unavailable", "not_found", "conflict"]


@dataclass(frozen=True, slots=True)
class Fault:
    """The first ``times`` calls of ``tool`` with exactly these arguments fail with ``message``."""

    tool: str
    arguments: Mapping[str, Any]
    message: str
    times: int


@dataclass(frozen=True, slots=True)
class Absent:
    """A record that doesn't exist, though the user believes so; the simulator says it."""

    entity: str
    identity: str


class Environment:
    """APIs that can be replayed.

    Args:
        tools: name to tool.
        seed: of the simulator.
        language: of texts in answers.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        seed: str,
        language: str,
        wishes: Iterable[Wish] = (),
        faults: Iterable[Fault] = (),
        absent: Iterable[Absent] = (),
    ) -> None:
        self.seed, self.language = seed, language
        self.simulator = Simulator(tools, seed, language=language, wishes=wishes)
        self.faults: list[Fault] = []
        self.absent: list[Absent] = []
        self._left: dict[str, int] = {}
        for fault in faults:
            self.inject(fault)
        for record in absent:
            self.remove(record)

    def inject(self, fault: Fault) -> None:
        """Let a call fail."""
        self.faults.append(fault)
        self._left[_key(fault.tool, fault.arguments)] = fault.times

    def remove(self, record: Absent) -> None:
        """Let a record not exist; before the first call."""
        self.absent.append(record)
        self.simulator.store.delete(record.entity, record.identity)

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        expect: Iterable[Condition] = (),
        need: Iterable[Path] = (),
    ) -> Answer:
        """The answer, or the error of a fault.

        Raises:
            UnsteerableError: as ``Simulator.call``.
        """
        key = _key(name, arguments)
        if self._left.get(key, 0):
            self._left[key] -= 1
            message = next(f.message for f in reversed(self.faults) if _key(f.tool, f.arguments) == key)
            return Answer({"error": message}, is_error=True)
        return self.simulator.call(name, arguments, expect, need)

    def to_record(self) -> dict[str, Any]:
        """As JSON, for ``gold``."""
        return {
            "seed": self.seed,
            "language": self.language,
            "wishes": [wish.to_record() for wish in self.simulator.wishes],
            "faults": [
                {"tool": f.tool, "arguments": dict(f.arguments), "message": f.message, "times": f.times}
                for f in self.faults
            ],
            "absent": [{"entity": a.entity, "identity": a.identity} for a in self.absent],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], tools: Mapping[str, Tool]) -> Environment:
        """An environment that hasn't been called yet and answers as the recorded one did."""
        return cls(
            tools,
            record["seed"],
            record["language"],
            [Wish.from_record(wish) for wish in record["wishes"]],
            [Fault(**fault) for fault in record["faults"]],
            [Absent(**absent) for absent in record["absent"]],
        )


def _key(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}{canonical(dict(arguments))}"
