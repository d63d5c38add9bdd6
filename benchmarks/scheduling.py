"""Certified scheduling puzzles per second and core: our enumerators against CP-SAT on every instance.

The straightforward way builds a CP-SAT model of every instance and lets CP-SAT enumerate its solutions
(calendar, trip), or prove the optimum, that no second set of friends reaches it, and the earliest end
(meeting). Both ways draw the same instances with the same code and certify those with exactly one solution:
stages 1 to 4 of the generator. The figures of stages 1 to 5, with prompts and answers, which cost both ways
the same, are printed too. `natural_plan` difficulty, one process, one thread, CPU time.

    python benchmarks/scheduling.py [--full]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from random import Random
from typing import Any

from data_synth.tasks.scheduling import certificate
from data_synth.tasks.scheduling.settings import SUBTASKS, SchedulingSettings
from data_synth.tasks.scheduling.task import SchedulingTask, examine
from recipes.command import compose, typed

TARGET = 10.0
NUM_INSTANCES = {"calendar": 1500, "meeting": 600, "trip": 1200}
FULL_TIMES = 10
WARM_UP = 10


def main() -> None:
    """Measure every subtask and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"{FULL_TIMES} times the instances")
    times = FULL_TIMES if parser.parse_args().full else 1
    config = compose("synth", ["difficulty=natural_plan", "split=all", "output_dir=unused"])
    task = SchedulingTask(typed(SchedulingSettings, config))
    print(
        f"ours: exact enumerators of data_synth in Python; baseline: ortools {version('ortools')} CP-SAT, one worker"
    )
    results = [_compare(task, subtask, NUM_INSTANCES[subtask] * times) for subtask in SUBTASKS]
    print(json.dumps(results))


def _compare(task: SchedulingTask, subtask: str, num_instances: int) -> dict[str, Any]:
    for certify in (_enumerate, _ask_cp_sat):
        _measure(task, subtask, range(-WARM_UP, 0), certify)
    numbers = range(num_instances)
    ours, ours_s, text_s = _measure(task, subtask, numbers, _enumerate)
    baseline, baseline_s, _ = _measure(task, subtask, numbers, _ask_cp_sat)
    if ours != baseline:
        raise RuntimeError(f"{subtask}: ours certifies other instances than CP-SAT")
    rates = len(ours) / ours_s, len(baseline) / baseline_s
    whole = len(ours) / (ours_s + text_s), len(baseline) / (baseline_s + text_s)
    print(
        f"{subtask}: {len(ours)} of {num_instances} instances have one solution; ours {rates[0]:,.0f}/s, "
        f"CP-SAT {rates[1]:,.1f}/s, ratio {rates[0] / rates[1]:.1f} "
        f"(with text {whole[0]:,.0f}/s, {whole[1]:,.1f}/s, {whole[0] / whole[1]:.1f})"
    )
    return {
        "name": f"scheduling/{subtask}",
        "ratio": round(rates[0] / rates[1], 2),
        "target": TARGET,
        "better": "higher",
        "ours": round(rates[0], 2),
        "baseline": round(rates[1], 2),
        "unit": "certified rows/s/core",
    }


def _measure(
    task: SchedulingTask, subtask: str, numbers: range, certify: Callable[[Any], bool]
) -> tuple[list[int], float, float]:
    """Which of the numbered instances are certified; CPU seconds for that, and for their text."""
    certified, certifying_s, writing_s = [], 0.0, 0.0
    for number in numbers:
        rng = Random(f"benchmark/{number}")
        starts = time.process_time()
        puzzle = task.draw(subtask, task.size(subtask, number), rng)
        unique = certify(puzzle)
        certifying_s += time.process_time() - starts
        if unique:
            certified.append(number)
            starts = time.process_time()
            puzzle.fingerprint()
            task.integrate(puzzle, puzzle.solve(), subtask, abs(number), rng)
            writing_s += time.process_time() - starts
    return certified, certifying_s, writing_s


def _enumerate(puzzle: Any) -> bool:
    return examine(puzzle)[1] is None


def _ask_cp_sat(puzzle: Any) -> bool:
    return puzzle.contradiction() is None and certificate.prove(puzzle)[0] == 1


if __name__ == "__main__":
    main()
