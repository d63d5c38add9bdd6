"""``python -m evaluation``: have a model do one benchmark or several, and score it."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from evaluation.command import start
from evaluation.results import headline
from evaluation.runner import evaluate, failure
from evaluation.settings import EvalSettings
from evaluation.suite import take_suite
from recipes.command import typed


def main(config: DictConfig) -> None:
    """Do one benchmark. Ends with status 1 if a request failed after its retries."""
    settings = typed(EvalSettings, config)
    results = evaluate(settings)
    print(headline(results))
    if problem := failure(results, settings.output_dir):
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    suite = take_suite(sys.argv)
    start("eval", suite.main if suite else main)
