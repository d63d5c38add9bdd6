"""``python -m evaluation.efficiency``: see ``recipes/efficiency.yaml`` for its keys."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig
from tqdm import tqdm

from evaluation.command import start
from evaluation.efficiency.levels import judge_requests, metrics, sum_up, table
from evaluation.efficiency.load import LoadClient, Question, Target
from evaluation.efficiency.plot import draw
from evaluation.efficiency.prompts import local_count, make_prompts, server_count
from evaluation.jsonl import encode, read_lines, read_text, replace, write_lines
from evaluation.results import write_results
from recipes.command import InputError, hold_folder, typed

FILES = ("results.json", "levels.jsonl", "settings.json", "efficiency.svg")


@dataclass(frozen=True)
class EfficiencySettings:
    """``recipes/efficiency.yaml``."""

    output_dir: str
    concurrency: int | list[int]
    num_requests: int | list[int]
    num_warmup: int
    input_tokens: int
    output_tokens: int
    ignore_eos: bool
    continuous_usage: bool
    api: Literal["chat", "completions"]
    tokenizer: str | None
    temperature: float
    seed: int
    resume: Literal["auto", "never"]
    endpoint: Target

    def __post_init__(self) -> None:
        if len(_list(self.concurrency)) != len(_list(self.num_requests)):
            raise InputError(
                f"num_requests={self.num_requests}: give one for each of concurrency={self.concurrency}"
            )
        if len(set(_list(self.concurrency))) < len(_list(self.concurrency)) or not _list(self.concurrency):
            raise InputError(f"concurrency={self.concurrency}: give every level once, one at least")
        for key, values, least in (
            ("concurrency", _list(self.concurrency), 1),
            ("num_requests", _list(self.num_requests), 1),
            ("num_warmup", [self.num_warmup], 0),
            ("input_tokens", [self.input_tokens], 1),
            ("output_tokens", [self.output_tokens], 1),
        ):
            if min(values) < least:
                raise InputError(f"{key}={min(values)}: too small; give {least} or more")
        if self.temperature < 0:
            raise InputError(f"temperature={self.temperature}: negative; give 0 or more")

    @property
    def levels(self) -> list[tuple[int, int]]:
        """(concurrency, number of requests) of each."""
        return list(zip(_list(self.concurrency), _list(self.num_requests), strict=True))

    def identity(self) -> dict[str, Any]:
        """What decides a level's figures, beside concurrency and number of requests."""
        keys = ("num_warmup", "input_tokens", "output_tokens", "ignore_eos", "continuous_usage", "api")
        more = {"temperature": self.temperature, "seed": self.seed, "model": self.endpoint.model}
        return {key: getattr(self, key) for key in keys} | more | {"endpoint": self.endpoint.shown_url}


def main(config: DictConfig) -> None:
    """Measure the levels that aren't measured yet, then write ``results.json`` and the plot.

    Ends with status 1 if requests failed: they are counted and in no figure, and the same command measures
    their levels again, with other prompts.
    """
    settings = typed(EfficiencySettings, config)
    output_dir = Path(settings.output_dir)
    with hold_folder("output_dir", output_dir):
        done = _read_levels(output_dir, settings)
        asyncio.run(_measure(settings, output_dir, done))
        lines = [done[level] for level in settings.levels]
        levels = [sum_up(line["concurrency"], line["wall_s"], line["requests"]) for line in lines]
        write_results(output_dir, _results(settings, lines, levels))
        replace(output_dir / "efficiency.svg", draw({settings.endpoint.model: levels}).encode())
    print(table(levels))
    _tell_length(settings, levels)
    if num_errors := sum(level["num_errors"] for level in levels):
        first = next(request["error"] for line in lines for request in line["requests"] if "error" in request)
        sys.exit(
            f"error: {num_errors} of {sum(level['num_requests'] for level in levels)} requests failed ({first}); "
            f"see errors in {output_dir / 'results.json'}, mend the endpoint or the settings, and run this "
            "command again: it measures those levels anew"
        )


async def _measure(
    settings: EfficiencySettings, output_dir: Path, done: dict[tuple[int, int], dict[str, Any]]
) -> None:
    """Add to ``done`` each level that isn't there, or had failures, and put it on disk."""
    question = Question(
        settings.api,
        settings.output_tokens,
        settings.ignore_eos,
        settings.continuous_usage,
        settings.temperature,
        settings.seed,
    )
    for level in tqdm(settings.levels, unit="level", desc="measuring"):
        earlier = done.get(level)
        if earlier and not any("error" in request for request in earlier["requests"]):
            continue
        attempt = earlier["attempt"] + 1 if earlier else 0
        async with LoadClient(settings.endpoint, question) as client:
            done[level] = await _measure_level(settings, client, level, attempt)
        write_lines(output_dir / "levels.jsonl", done.values())


async def _measure_level(
    settings: EfficiencySettings, client: LoadClient, level: tuple[int, int], attempt: int
) -> dict[str, Any]:
    concurrency, num_requests = level
    count = (
        local_count(settings.tokenizer, settings.api)
        if settings.tokenizer
        else server_count(client, settings.endpoint, settings.api)
    )
    expected = settings.output_tokens if settings.ignore_eos else None
    seed = f"{settings.seed} {concurrency} {attempt}"
    prompts = await make_prompts(count, settings.input_tokens, settings.num_warmup + num_requests, seed)
    warmup, measured = prompts[: settings.num_warmup], prompts[settings.num_warmup :]
    if warmup:
        tried = judge_requests((await client.record_all(warmup, len(warmup)))[0], concurrency, expected)
        if all("error" in request for request in tried):
            sys.exit(
                f"error: concurrency {concurrency}: no answer before the measurement ({tried[0]['error']}); "
                "mend the endpoint or the settings, and run this command again"
            )
    recordings, wall_s = await client.record_all(measured, concurrency)
    return {
        "concurrency": concurrency,
        "attempt": attempt,
        "wall_s": round(wall_s, 6),
        "requests": judge_requests(recordings, concurrency, expected),
    }


def _results(
    settings: EfficiencySettings, lines: list[dict[str, Any]], levels: list[dict[str, Any]]
) -> dict[str, Any]:
    requests = [request for line in lines for request in line["requests"]]
    whole = [request for request in requests if "error" not in request]
    return {
        "benchmark": "efficiency",
        "subtask": None,
        "metrics": metrics(levels),
        "num_samples": len(whole),
        "input_tokens": settings.input_tokens,
        "output_tokens": settings.output_tokens,
        "levels": levels,
        "errors": [request for request in requests if "error" in request],
        "totals": {
            "prompt_tokens": sum(request["prompt_tokens"] or 0 for request in whole),
            "completion_tokens": sum(request["completion_tokens"] for request in whole),
            "wall_s": round(sum(line["wall_s"] for line in lines), 3),
            "model": settings.endpoint.model,
            "endpoint": settings.endpoint.shown_url,
        },
    }


def _read_levels(output_dir: Path, settings: EfficiencySettings) -> dict[tuple[int, int], dict[str, Any]]:
    """The levels that the folder holds, by concurrency and number of requests.

    Raises:
        InputError: they were measured with other settings.
    """
    if settings.resume == "never":
        for name in FILES:
            (output_dir / name).unlink(missing_ok=True)
    path = output_dir / "settings.json"
    if not path.exists():
        replace(path, encode(settings.identity(), indent=1) + b"\n")
    before = json.loads(path.read_bytes())
    for key, value in settings.identity().items():
        if before.get(key) != value:
            raise InputError(
                f"{key}={value}: {output_dir} holds a run with {key}={before.get(key)}; "
                "give the same, another output_dir, or resume=never"
            )
    levels = output_dir / "levels.jsonl"
    if not levels.exists():
        return {}
    lines = read_lines("output_dir", str(levels), read_text("output_dir", str(levels)))
    return {(line["concurrency"], len(line["requests"])): line for _, line in lines}


def _tell_length(settings: EfficiencySettings, levels: list[dict[str, Any]]) -> None:
    """Say on standard error where the server counted prompts of another length, or had them in a cache."""
    for level in levels:
        told = level.get("prompt_tokens")
        if told and (told["min"], told["max"]) != (settings.input_tokens,) * 2:
            print(
                f"warning: concurrency {level['concurrency']}: the server counts {told['min']} to {told['max']} "
                f"tokens in prompts that were to have {settings.input_tokens}",
                file=sys.stderr,
            )
        if level.get("cached_tokens", {}).get("max", 0) > settings.input_tokens // 4:
            print(
                f"warning: concurrency {level['concurrency']}: the server had prompts in its cache; "
                "take another seed",
                file=sys.stderr,
            )


def _list(value: int | list[int]) -> list[int]:
    return [value] if isinstance(value, int) else value


if __name__ == "__main__":
    start("efficiency", main)
