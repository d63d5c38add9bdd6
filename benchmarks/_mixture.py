"""Row lengths of a five-task mixture, for benchmarks: what the paper's data may look like, since it isn't public.

Log-normal lengths in tokens of Qwen3's tokenizer. Medians are ours, after the format of each task's rows in the
paper's appendices: prompts with tool schemas are long, trajectories of many turns longer still, and some of them
longer than a pack of 22,528 tokens. Rows are as many for each task. ``scheduling`` has the lengths that
data_synth's rows of the natural_plan difficulty have with a tokenizer of 2,048 entries: three subtasks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEQUENCE_LENGTH = 22_528
SHORTEST = 64
# task: medians and spreads (of the logarithm) of its subtasks, drawn alike often.
TASKS: dict[str, tuple[tuple[float, float], ...]] = {
    "decomposition": ((700.0, 0.5),),
    "tool_augmented": ((3000.0, 0.6),),
    "scheduling": ((300.0, 0.3), (750.0, 0.6), (510.0, 0.2)),
    "procedural": ((1200.0, 0.6),),
    "long_horizon": ((8000.0, 0.7),),
}


def row_lengths(num_rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of ``num_rows`` rows in random order, and which of ``TASKS`` each belongs to."""
    random = np.random.default_rng(seed)
    task_ids = random.integers(0, len(TASKS), num_rows)
    lengths = np.empty(num_rows)
    for number, subtasks in enumerate(TASKS.values()):
        rows = np.flatnonzero(task_ids == number)
        medians, spreads = np.array(subtasks)[random.integers(0, len(subtasks), len(rows))].T
        lengths[rows] = medians * np.exp(spreads * random.standard_normal(len(rows)))
    return np.maximum(lengths, SHORTEST).astype(np.int64), task_ids
