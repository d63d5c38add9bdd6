"""A planning row: one prompt, one answer, scored by the reward of its task."""

from __future__ import annotations

import json
from typing import Any

from magic_megatron.rl.agents.base import Agent, TurnOutput


class PlanningAgent(Agent):
    """Answers a row of the verl parquet file that ``data_synth.export`` writes.

    verl passes no tools of a row to the template: they come from ``extra_info.tools``. The reward is left to verl's
    reward workers.
    """

    async def episode(self, sampling_params: dict[str, Any], row: dict[str, Any]) -> list[TurnOutput]:
        tools = json.loads(row["extra_info"].get("tools") or "[]")
        return [await self.turn(list(row["raw_prompt"]), tools, sampling_params, row, 0)]
