"""A level of concurrency in numbers: means and percentiles over whole answers, failures apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from evaluation.efficiency.stream import IncompleteError, Recording, read

PERCENTILES = (50, 90, 99)
TIMES = ("ttft_s", "tpot_s", "latency_s")


def judge_requests(
    recordings: Sequence[Recording], concurrency: int, expected_tokens: int | None
) -> list[dict[str, Any]]:
    """A line per request: its times, or what was wrong with it.

    Args:
        expected_tokens: answers of another length are failures; None where any length will do.
    """
    lines = []
    for number, recording in enumerate(recordings):
        line: dict[str, Any] = {"id": f"{concurrency}/{number}"}
        try:
            timing = read(recording)
        except IncompleteError as error:
            lines.append({**line, "error": str(error)})
            continue
        if expected_tokens is not None and timing.completion_tokens != expected_tokens:
            told = f"{timing.completion_tokens} tokens instead of {expected_tokens}: the server ends answers itself"
            lines.append({**line, "error": told})
        else:
            lines.append({**line, **asdict(timing)})
    return lines


def sum_up(concurrency: int, wall_s: float, requests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A level's figures; where no answer is whole, times and throughput are absent.

    ``output_tokens_per_s`` and ``requests_per_s`` are of whole answers over the level's wall time.
    """
    whole = [request for request in requests if "error" not in request]
    level: dict[str, Any] = {
        "concurrency": concurrency,
        "num_requests": len(requests),
        "num_errors": len(requests) - len(whole),
        "wall_s": round(wall_s, 6),
    }
    for key in TIMES:
        values = [request[key] for request in whole if request[key] is not None]
        if values:
            level[key] = _distribution(values)
    if whole:
        num_tokens = sum(request["completion_tokens"] for request in whole)
        level["output_tokens_per_s"] = round(num_tokens / wall_s, 6)
        level["requests_per_s"] = round(len(whole) / wall_s, 6)
        level["completion_tokens"] = _range([request["completion_tokens"] for request in whole])
    for key in ("prompt_tokens", "cached_tokens"):
        told = [request[key] for request in whole if request[key] is not None]
        if told:
            level[key] = _range(told)
    return level


def metrics(levels: Sequence[dict[str, Any]]) -> dict[str, float]:
    """``ttft_s@10`` and the like: the means that Table 7 has, and the throughput, at each concurrency."""
    figures: dict[str, float] = {}
    for level in levels:
        at = f"@{level['concurrency']}"
        figures |= {key + at: level[key]["mean"] for key in TIMES if key in level}
        if "output_tokens_per_s" in level:
            figures["output_tokens_per_s" + at] = level["output_tokens_per_s"]
    return figures


def table(levels: Sequence[dict[str, Any]]) -> str:
    """The levels for the terminal; mean / median / 99th percentile."""
    titles = "  ".join(f"{title:<22}" for title in ("TTFT s", "TPOT s", "latency s"))
    rows = [f"concurrency  requests  errors  {titles}  tokens/s"]
    for level in levels:
        cells = [
            " / ".join(f"{level[key][name]:.4g}" for name in ("mean", "p50", "p99")) if key in level else "–"
            for key in TIMES
        ]
        speed = f"{level['output_tokens_per_s']:.1f}" if "output_tokens_per_s" in level else "–"
        rows.append(
            f"{level['concurrency']:>11}  {level['num_requests']:>8}  {level['num_errors']:>6}  "
            + "  ".join(f"{cell:<22}" for cell in cells)
            + f"  {speed}"
        )
    return "\n".join(rows)


def _distribution(values: Sequence[float]) -> dict[str, float]:
    figures = {"mean": np.mean(values)} | {f"p{q}": np.percentile(values, q) for q in PERCENTILES}
    return {name: round(float(value), 9) for name, value in figures.items()}


def _range(counts: Sequence[int]) -> dict[str, int]:
    return {"min": min(counts), "max": max(counts)}
