"""``python -m evaluation.score``: score given predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from evaluation import benchmarks
from evaluation.command import start
from evaluation.results import headline, judge, read_predictions, write_gold, write_results
from recipes.command import make_folder, typed


@dataclass(frozen=True)
class Gold:
    """Where the benchmark's data lies."""

    data: str | None


ASKING = ("variants", "num_shots", "num_trials", "thinking", "generation", "concurrency")
"""What a benchmark's recipe may set of ``recipes/eval.yaml`` and decides nothing here."""


@dataclass(frozen=True)
class Chosen:
    """Which benchmark, and what of it: the keys that asking and scoring have in common."""

    benchmark: str
    output_dir: str
    subtask: str | None
    language: str | None
    mode: str | None
    embedding: str | None
    gold: Gold
    options: dict[str, Any]

    @property
    def chosen(self) -> dict[str, Any]:
        """What ``results.json`` says of how it came about."""
        keys = ("benchmark", "subtask", "language", "mode", "embedding", "options")
        return {key: getattr(self, key) for key in keys}

    @property
    def source(self) -> benchmarks.Source:
        """Which part of the benchmark, over which data."""
        return benchmarks.Source(
            subtask=self.subtask,
            data=self.gold.data,
            language=self.language,
            mode=self.mode,
            embedding=self.embedding,
            options=self.options,
        )


@dataclass(frozen=True)
class ScoreSettings(Chosen):
    """``recipes/score.yaml``."""

    predictions: str


def main(config: DictConfig) -> None:
    """Write ``results.json`` with a verdict per line of the predictions, in their order."""
    keys = [str(key) for key in config if key not in ASKING]
    settings = typed(ScoreSettings, OmegaConf.masked_copy(config, keys))
    benchmark = benchmarks.load(settings.benchmark, settings.source)
    aliases: Mapping[str, str] = getattr(benchmark, "aliases", {})
    predictions = read_predictions(settings.predictions, {*benchmark.ids, *aliases})
    output_dir = Path(settings.output_dir)
    make_folder("output_dir", output_dir)
    results = {**settings.chosen, **judge(benchmark, predictions)}
    write_results(output_dir, results)
    write_gold(output_dir, benchmark, (one.id for one in predictions))
    num_missing = len(set(benchmark.ids) - {aliases.get(one.id, one.id) for one in predictions})
    missing = f"; {num_missing} samples of the data have no prediction" if num_missing else ""
    print(headline(results) + missing)


if __name__ == "__main__":
    start("score", main)
