"""``python -m magic_megatron.rl.report``: see ``recipes/rl_report.yaml`` for its keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from magic_megatron.drawing.plots import PICTURES
from magic_megatron.drawing.runs import file_to_write, report_file
from magic_megatron.rl.report.page import write_picture, write_report
from magic_megatron.rl.report.run_folder import group_runs, read_runs
from recipes.command import InputError, run, typed


@dataclass(frozen=True)
class ReportConfig:
    """``recipes/rl_report.yaml``."""

    runs: str | list[str]
    labels: list[str] | None
    output: str | None
    figure: str | None
    panels: str | list[str] | None

    def __post_init__(self) -> None:
        if not self.runs:
            raise InputError(f"runs={self.runs}: no run; give the output_dir of one, or a list of them")
        if self.panels is not None and self.figure is None:
            raise InputError(
                f"panels={self.panels}: for a picture; give figure=FILE too, or leave panels out"
            )


def main(recipe: DictConfig) -> None:
    config = typed(ReportConfig, recipe)
    paths = [config.runs] if isinstance(config.runs, str) else config.runs
    output = report_file(paths, config.output)
    figure = None if config.figure is None else _figure(config.figure)
    groups = group_runs(read_runs(paths), config.labels)
    if figure is not None:
        panels = [config.panels] if isinstance(config.panels, str) else config.panels
        write_picture(groups, panels, figure)
        print(f"wrote {figure}")
    write_report(groups, output)
    print(f"wrote {output}")


def _figure(given: str) -> Path:
    path = file_to_write("figure", given, "report.png")
    if path.suffix not in PICTURES:
        raise InputError(f"figure={path}: no kind of picture; end it with {', '.join(PICTURES)}")
    return path


if __name__ == "__main__":
    run("rl_report", main)
