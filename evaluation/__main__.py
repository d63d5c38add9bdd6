"""``python -m evaluation``: ask an endpoint for a benchmark's answers and score them."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from evaluation import benchmarks
from evaluation.client import ChatClient, Endpoint, Generation
from evaluation.command import start
from evaluation.journal import Journal, hold
from evaluation.results import headline, judge, write_results
from evaluation.runner import Run
from evaluation.score import Gold
from recipes.command import InputError, typed


@dataclass(frozen=True)
class EvalSettings:
    """``recipes/eval.yaml``."""

    benchmark: str
    output_dir: str
    subtask: str | None
    language: str | None
    mode: str | None
    embedding: str | None
    gold: Gold
    num_shots: Literal[0, 5]
    limit: int | None
    seed: int
    thinking: bool
    resume: Literal["auto", "never"]
    endpoint: Endpoint
    generation: Generation

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit={self.limit}: too few; give 1 or more, or null for all")

    def identity(self) -> dict[str, Any]:
        """What decides the answers: all but where the model is served and how patiently it is asked."""
        return {
            "benchmark": self.benchmark,
            "subtask": self.subtask,
            "language": self.language,
            "mode": self.mode,
            "embedding": self.embedding,
            "data_sha256": _digest(Path(self.gold.data)) if self.gold.data else None,
            "num_shots": self.num_shots,
            "limit": self.limit,
            "seed": self.seed,
            "thinking": self.thinking,
            "model": self.endpoint.model,
            "generation.max_tokens": self.generation.max_tokens,
            "generation.temperature": self.generation.temperature,
            "generation.top_p": self.generation.top_p,
        }


def main(config: DictConfig) -> None:
    """Ask for what has no answer yet, then write ``predictions.jsonl`` and ``results.json``.

    Ends with status 1 if a request failed after its retries: the sample is listed in ``errors`` and counts in
    no metric, and the same command asks for it again.
    """
    settings = typed(EvalSettings, config)
    benchmark = _load(settings)
    output_dir = Path(settings.output_dir)
    with hold(output_dir):
        journal = Journal(output_dir, settings.identity(), settings.resume)
        ids = benchmark.ids[: settings.limit]
        errors = _ask(settings, benchmark, journal, ids)
        results = {
            "benchmark": settings.benchmark,
            "subtask": settings.subtask,
            **judge(benchmark, journal.finish(ids)),
            "errors": [{"id": i, "error": errors[i]} for i in ids if i in errors],
            "totals": {
                **journal.totals(),
                "model": settings.endpoint.model,
                "endpoint": settings.endpoint.shown_url,
            },
        }
        write_results(output_dir, results)
    print(headline(results))
    if errors:
        first = next(iter(errors.values()))
        sys.exit(
            f"error: {len(errors)} of {len(ids)} requests failed ({first}); see errors in "
            f"{output_dir / 'results.json'}, mend the endpoint or the settings, and run this command again"
        )


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of all files below a folder with their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _load(settings: EvalSettings) -> benchmarks.Benchmark:
    """The benchmark, with a prompt for every sample that is to be asked."""
    source = benchmarks.Source(
        subtask=settings.subtask,
        data=settings.gold.data,
        language=settings.language,
        mode=settings.mode,
        embedding=settings.embedding,
        num_shots=settings.num_shots,
    )
    benchmark = benchmarks.load(settings.benchmark, source)
    for sample_id in benchmark.ids[: settings.limit]:
        if not benchmark.prompt(sample_id):
            raise InputError(
                f"data={settings.gold.data}: {sample_id} has no prompt; "
                f"the file must hold prompt_{settings.num_shots}shot, or messages"
            )
    return benchmark


def _ask(
    settings: EvalSettings, benchmark: benchmarks.Benchmark, journal: Journal, ids: Sequence[str]
) -> dict[str, str]:
    """Ask for the samples without an answer; what failed, by id."""
    open_ids = [sample_id for sample_id in ids if sample_id not in journal.answers]
    if not open_ids:
        return {}
    client = ChatClient(settings.endpoint, settings.generation, settings.seed, settings.thinking)
    endpoint = settings.endpoint
    run = Run(client, endpoint.concurrency, endpoint.give_up_after, benchmark.prompt, journal.append)
    asyncio.run(run.ask_all(open_ids, num_done=len(ids) - len(open_ids)))
    return run.errors


if __name__ == "__main__":
    start("eval", main)
