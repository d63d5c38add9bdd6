"""The tasks of ``python -m data_synth task=…``: a name, its settings, what makes its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_synth.config import Settings
from data_synth.tasks.decomposition.settings import DecompositionRun
from data_synth.tasks.decomposition.task import DecompositionTask
from data_synth.tasks.procedural.settings import ProceduralRun
from data_synth.tasks.procedural.task import ProceduralTask
from data_synth.tasks.scheduling.settings import SchedulingSettings
from data_synth.tasks.scheduling.task import SchedulingTask
from data_synth.tasks.tool_augmented.settings import ToolAugmentedRun
from data_synth.tasks.tool_augmented.task import ToolAugmentedTask


@dataclass(frozen=True)
class Entry:
    """A task; ``make(settings)`` gives a ``data_synth.tasks.base.Task``."""

    settings: type[Settings]
    make: Any


TASKS = {
    "scheduling": Entry(SchedulingSettings, SchedulingTask),
    "decomposition": Entry(DecompositionRun, DecompositionTask),
    "procedural": Entry(ProceduralRun, ProceduralTask),
    "tool_augmented": Entry(ToolAugmentedRun, ToolAugmentedTask),
}
