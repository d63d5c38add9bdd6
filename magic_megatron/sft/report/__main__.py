"""``python -m magic_megatron.sft.report``: see ``recipes/sft_report.yaml`` for its keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from magic_megatron.sft.report.page import write_report
from recipes.command import InputError, make_folder, run, typed


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
    output = _output(config, runs)
    write_report(runs, output)
    print(f"wrote {output}")


def _output(config: ReportConfig, runs: list[str]) -> Path:
    if config.output is None:
        if len(runs) > 1:
            raise InputError(
                f"output=null: {len(runs)} runs have no folder in common; give a file, such as"
                " output=runs/compared.html"
            )
        return Path(runs[0]) / "report.html"
    path = Path(config.output)
    make_folder("output", path.parent)
    if path.is_dir():
        raise InputError(f"output={path}: is a folder; give a file, such as {path / 'report.html'}")
    return path


if __name__ == "__main__":
    run("sft_report", main)
