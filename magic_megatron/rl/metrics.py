"""From a step's samples and verl's metrics to a line of ``metrics.jsonl``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magic_megatron.rl.episodes import Turn, final_turns
from magic_megatron.rl.xxpo import ACTION, THINK

# verl's names, and ours
RENAMED = {
    "actor/entropy": "entropy",
    "actor/kl_loss": "kl",
    "actor/grad_norm": "grad_norm",
    "actor/lr": "lr",
    "actor/pg_loss": "policy_loss",
    "actor/pg_clipfrac": "clip_fraction",
    "actor/load_balancing_loss": "load_balancing_loss",
    "actor/aux_loss": "aux_loss",
    "actor/z_loss": "z_loss",
    "actor/max_vio": "max_vio",
    "actor/max_vio_worst_layer": "max_vio_worst_layer",
    "actor/num_dropped_tokens": "num_dropped_tokens",
    "response_length/mean": "response_length",
    "perf/total_num_tokens": "num_tokens",
    "perf/throughput": "tokens_per_s",
    "timing_s/step": "step_time_s",
}
SHOWN = ("reward", "entropy", "kl", "grad_norm", "step_time_s")
PHASES = (
    "gen",
    "reward",
    "old_log_prob",
    "ref",
    "adv",
    "update_actor",
    "save_checkpoint",
    "update_weights",
    "testing",
)


def step_metrics(
    step: int,
    metrics: Mapping[str, Any],
    turns: Sequence[Turn],
    advantages: np.ndarray,
    num_asked: int,
    max_response_length: int,
) -> dict[str, Any]:
    """One line: ours by the names of the docs, and what verl's loss reported under ``actor/magic/``.

    Args:
        advantages: of ``turns``, shape (len(turns),).
        num_asked: episodes that were begun.
        max_response_length: tokens; verl's own share of truncated ones counts all as long as the batch's longest.
    """
    line: dict[str, Any] = {"step": step}
    line |= {ours: float(metrics[theirs]) for theirs, ours in RENAMED.items() if theirs in metrics}
    line |= {
        name.removeprefix("actor/magic/"): float(value)
        for name, value in metrics.items()
        if name.startswith("actor/magic/")
    }
    for name, segment in (("entropy_think", THINK), ("entropy_act", ACTION)):
        if not any(segment in turn.segments for turn in turns):
            line.pop(name, None)  # a mean over no token
    line |= {
        f"time/{phase}_s": float(metrics[f"timing_s/{phase}"])
        for phase in PHASES
        if f"timing_s/{phase}" in metrics
    }
    line |= {
        name.removeprefix("magic/"): float(value)
        for name, value in metrics.items()
        if name.startswith("magic/")
    }
    line |= {name: float(value) for name, value in metrics.items() if name.startswith("validation")}
    if turns:
        line["truncated"] = _mean(len(turn.response_ids) >= max_response_length for turn in turns)
    line |= reward_metrics(turns, advantages, num_asked)
    return line


def reward_metrics(turns: Sequence[Turn], advantages: np.ndarray, num_asked: int) -> dict[str, float]:
    """Means over episodes, in all and by task; the spread of advantages by task.

    One that its environment lost before the first turn has no samples; it is known by the ``num_asked``.
    """
    by_turn = dict(zip((turn.row for turn in turns), advantages, strict=True))
    counted = [turn for turn in final_turns(turns) if turn.counts]
    line: dict[str, float] = {
        "num_samples": len(turns),
        "num_episodes": len(final_turns(turns)),
        "num_lost": num_asked - len(counted),
        "num_turns": len(turns) / max(1, len(final_turns(turns))),
    }
    if not counted:
        return line
    line["reward"] = _mean(turn.reward for turn in counted)
    for task, members in _by_task(counted).items():
        line[f"reward/{task}"] = _mean(turn.reward for turn in members)
        line[f"advantage_std/{task}"] = float(np.std([by_turn[turn.row] for turn in members]))
        line[f"groups_with_signal/{task}"] = _share_with_signal(members)
        for part in sorted({name for turn in members for name in turn.parts}):
            line[f"parts/{task}/{part}"] = _mean(turn.parts[part] for turn in members if part in turn.parts)
        if won := [turn.won for turn in members if turn.won is not None]:
            line[f"success/{task}"] = _mean(won)
    if valid := [turn.valid for turn in turns if turn.valid is not None]:
        line["valid_actions"] = _mean(valid)
    return line


def validation_metrics(turns: Sequence[Turn]) -> dict[str, float]:
    """``validation/<task>/<greedy|sampled>``: the share of answers with every part right, or of games won."""
    line: dict[str, float] = {}
    for task, members in _by_task(final_turns(turns)).items():
        for sampling in ("greedy", "sampled"):
            drawn = [turn for turn in members if turn.sampling == sampling and turn.counts]
            if drawn:
                line[f"validation/{task}/{sampling}"] = _mean(is_right(turn) for turn in drawn)
                line[f"validation_reward/{task}/{sampling}"] = _mean(turn.reward for turn in drawn)
    return line


def is_right(turn: Turn) -> bool:
    """A game that was won; an answer whose every part is 1."""
    return turn.won if turn.won is not None else bool(turn.parts) and min(turn.parts.values()) >= 1


def _share_with_signal(members: Sequence[Turn]) -> float:
    """Of groups whose rewards differ: the others teach nothing."""
    groups: dict[str, set[float]] = defaultdict(set)
    for turn in members:
        groups[turn.group].add(turn.reward)
    return _mean(len(rewards) > 1 for rewards in groups.values())


def _by_task(turns: Sequence[Turn]) -> dict[str, list[Turn]]:
    tasks: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        tasks[turn.task].append(turn)
    return dict(sorted(tasks.items()))


def _mean(values: Any) -> float:
    return float(np.mean([float(value) for value in values]))


def summary_line(step: int, line: Mapping[str, Any]) -> str:
    """What is shown of a step, or of a validation, in one line."""
    prefixes = ("reward/", "success/") if "reward" in line else ("validation/",)
    shown = [
        f"{name} {value:.3g}" for name, value in line.items() if name in SHOWN or name.startswith(prefixes)
    ]
    return f"step {step}: " + ", ".join(shown)
