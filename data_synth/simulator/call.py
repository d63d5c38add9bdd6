"""What is asked of the simulator: one call, with what decides its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from data_synth.simulator.effects import Effect
from data_synth.simulator.steering import Steering
from data_synth.simulator.store import Record
from data_synth.tools.tool import Tool


@dataclass
class Call:
    """What one answer is written from.

    Attributes:
        key: text of tool and arguments.
        record: the record that the call is about; None where there is none.
        stream: names the random numbers.
        draft: what the model wrote; None without a model.
    """

    tool: Tool
    effect: Effect
    arguments: Mapping[str, Any]
    key: str
    record: Record | None
    stream: str
    steering: Steering
    draft: Any = None

    @cached_property
    def rng(self) -> Random:
        """Seeded at its first use: most of what is known needs none."""
        return Random(self.stream)
