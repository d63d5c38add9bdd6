"""``summary.json``: a run in a few numbers. What a stage hasn't done is absent, never zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from evaluation.report.run_folder import Evaluation, RunFolder

HEADLINE = "calendar"


def summarise(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The objects ``synth``, ``sft``, ``rl`` and ``eval``, each with its ``wall_s`` in seconds.

    ``loss_first`` is that of the first step, ``loss_last`` the mean over the last twentieth of the steps;
    ``reward_first`` and ``reward_last`` are means over the first and the last fifth. ``accuracy_before`` and
    ``accuracy_after`` are of calendar puzzles; other subtasks have theirs under their own names.
    """
    stages = {"synth": _synth(run), "sft": _sft(run), "rl": _rl(run), "eval": _evaluation(run)}
    return {
        name: {**figures, **_wall_s(run, name)} for name, figures in stages.items() if figures is not None
    }


def _synth(run: RunFolder) -> dict[str, Any] | None:
    if run.manifests:
        return {"num_rows": sum(manifest["num_rows"] for manifest in run.manifests)}
    return None if run.training is None else {"num_rows": run.training.num_rows}


def _sft(run: RunFolder) -> dict[str, Any] | None:
    if not run.metrics:
        return None
    first, last = run.metrics[0], run.metrics[-1]
    figures = {
        "loss_first": first["loss"],
        "loss_last": fmean(line["loss"] for line in run.metrics[-math.ceil(len(run.metrics) / 20) :]),
        "num_tokens": sum(line["num_tokens"] for line in run.metrics),
    }
    if last.get("max_vio") is not None:
        figures["max_vio_last"] = last["max_vio"]
    return figures


def _rl(run: RunFolder) -> dict[str, Any] | None:
    if not run.rl:
        return None
    rewards = [float(line["reward"]) for line in run.rl]
    fifth = math.ceil(len(rewards) / 5)
    return {
        "reward_first": fmean(rewards[:fifth]),
        "reward_last": fmean(rewards[-fifth:]),
        "num_steps": len(rewards),
    }


def _evaluation(run: RunFolder) -> dict[str, Any] | None:
    figures: dict[str, Any] = {}
    when: dict[str, Mapping[str, Evaluation]] = {"before": run.before, "after": run.after}
    for name, evaluations in when.items():
        for subtask, evaluation in evaluations.items():
            prefix = "" if subtask == HEADLINE else f"{subtask}_"
            if evaluation.accuracy is not None:
                figures[f"{prefix}accuracy_{name}"] = evaluation.accuracy
                figures[f"{prefix}num_samples"] = evaluation.results["num_samples"]
    return figures or None


def _wall_s(run: RunFolder, name: str) -> dict[str, float]:
    """Seconds of the stages that belong to ``name``: ``eval`` has eval_before and eval_after."""
    own = [stage for stage in run.stages if stage["stage"] == name or stage["stage"].startswith(f"{name}_")]
    return {"wall_s": round(sum(stage["wall_s"] for stage in own), 3)} if own else {}
