"""``python -m evaluation.report``: see ``recipes/report.yaml`` for its keys."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from evaluation.command import start
from evaluation.jsonl import encode, replace
from evaluation.report.browser import BrowserLimits
from evaluation.report.page import compare_entrants, make_section, render
from evaluation.report.run_folder import read_run
from evaluation.report.sources import GoldFiles
from evaluation.report.statistics import Resampling
from recipes.command import InputError, make_folder, typed


@dataclass(frozen=True)
class ReportSettings:
    """``recipes/report.yaml``."""

    runs: str | list[str]
    output: str
    summary: str | None
    num_examples: int
    bootstrap: Resampling
    browser: BrowserLimits
    gold: GoldFiles

    def __post_init__(self) -> None:
        if self.num_examples < 0:
            raise InputError(f"num_examples={self.num_examples}: negative; give 0 or more")
        if not self.runs:
            raise InputError(f"runs={self.runs}: no run; give a folder or a list of folders")
        for key, value in (
            ("bootstrap.num_resamples", self.bootstrap.num_resamples),
            ("browser.max_samples", self.browser.max_samples),
            ("browser.max_characters", self.browser.max_characters),
        ):
            if value < 1:
                raise InputError(f"{key}={value}: too small; give 1 or more")


def main(config: DictConfig) -> None:
    """Write the page and ``summary.json``: a run's objects, or with several runs those objects by run.

    Ends with status 1 if training and held-out data share an instance, after writing both.
    """
    settings = typed(ReportSettings, config)
    folders = [settings.runs] if isinstance(settings.runs, str) else settings.runs
    runs = [read_run(folder) for folder in folders]
    output = Path(settings.output)
    summary = Path(settings.summary) if settings.summary else output.with_name("summary.json")
    for key, path in (("output", output), ("summary", summary)):
        if path.is_dir():
            raise InputError(f"{key}={path}: is a folder; give the name of a file")
        make_folder(key, path.parent)
    sections = [make_section(run, settings.num_examples) for run in runs]
    compared = compare_entrants(runs, settings.gold, settings.bootstrap, settings.browser)
    replace(output, render(sections, compared).encode("utf-8", "replace"))
    summaries = {str(section.run.path): section.summary for section in sections}
    alone = sections[0].summary if len(sections) == 1 else summaries
    replace(summary, encode(alone, indent=1) + b"\n")
    print(f"wrote {output} and {summary}")
    for section in sections:
        if section.run.num_shared_instances:
            sys.exit(
                f"error: {section.run.path}: {section.run.num_shared_instances} held-out instances are in "
                "the training data too, so that its accuracy says nothing; make both again with split=train "
                "and split=test"
            )


if __name__ == "__main__":
    start("report", main)
