"""The tasks of ``python -m data_synth task=…``: a name, its settings, what makes its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_synth.config import Settings
from data_synth.tasks.decomposition.settings import DecompositionRun
from data_synth.tasks.decomposition.task import DecompositionTask
from data_synth.tasks.long_horizon.settings import LongHorizonRun
from data_synth.tasks.long_horizon.task import LongHorizonTask
from data_synth.tasks.mixture.settings import MixtureRun
from data_synth.tasks.mixture.task import MixtureTask
from data_synth.tasks.procedural.settings import ProceduralRun
from data_synth.tasks.procedural.task import ProceduralTask
from data_synth.tasks.scheduling.settings import SchedulingSettings
from data_synth.tasks.scheduling.task import SchedulingTask
from data_synth.tasks.tool_augmented.settings import ToolAugmentedRun
from data_synth.tasks.tool_augmented.task import ToolAugmentedTask


@dataclass(frozen=True)
class Entry:
    """A task; ``make(settings)`` gives a ``data_synth.tasks.base.Task``.

    Attributes:
        asks_model: rows come from answers of ``llm=…``.
        near_duplicates: rows are compared by what the user says; not for puzzles, which differ in few words.
        accepted, advice: what an accepted row is, and what helps where none is, for the error; ``{subtask}`` is one.
    """

    settings: type[Settings]
    make: Any
    asks_model: bool = True
    near_duplicates: bool = True
    accepted: str = "that passes all filters"
    advice: str = "loosen {task}.* or filters.*"


TASKS = {
    "decomposition": Entry(DecompositionRun, DecompositionTask),
    "tool_augmented": Entry(ToolAugmentedRun, ToolAugmentedTask),
    "scheduling": Entry(
        SchedulingSettings,
        SchedulingTask,
        asks_model=False,
        near_duplicates=False,
        accepted="with one solution",
        advice="loosen difficulty.{subtask}.*",
    ),
    "procedural": Entry(
        ProceduralRun,
        ProceduralTask,
        advice="lower procedural.num_nodes.{subtask}.*, or add to procedural.sources",
    ),
    "long_horizon": Entry(
        LongHorizonRun,
        LongHorizonTask,
        advice="lower long_horizon.levels.{subtask}.*, or give more tools with tools.path",
    ),
}
"""By name; ``all`` joins them."""


def entry(name: str) -> Entry:
    """The task called ``name``, ``all`` included."""
    if name == "all":
        return Entry(
            MixtureRun, lambda settings: MixtureTask(settings, {n: e.make for n, e in TASKS.items()})
        )
    return TASKS[name]
