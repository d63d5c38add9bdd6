"""``python -m magic_megatron.sft.report``: see ``recipes/sft_report.yaml`` for its keys."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import DictConfig

from magic_megatron.drawing.runs import report_file
from magic_megatron.sft.report.page import write_report
from recipes.command import InputError, run, typed


@dataclass(frozen=True)
class ReportConfig:
    """``recipes/sft_report.yaml``."""

    runs: str | list[str]
    output: str | None


def main(recipe: DictConfig) -> None:
    config = typed(ReportConfig, recipe)
    runs = [config.runs] if isinstance(config.runs, str) else config.runs
    if not runs:
        raise InputError("runs=[]: no run; give the output_dir of one, or a list of them")
    output = report_file(runs, config.output)
    write_report(runs, output)
    print(f"wrote {output}")


if __name__ == "__main__":
    run("sft_report", main)
