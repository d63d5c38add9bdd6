"""``torchrun … -m magic_megatron.sft``: supervised fine-tuning on Megatron-Core."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

from omegaconf import DictConfig

from magic_megatron import platform
from magic_megatron.config.sft import SftConfig
from recipes.command import InputError, run, typed


def main(config: DictConfig) -> None:
    sft = typed(SftConfig, config)
    _quieten_upstream()
    if sft.dry_run and os.environ.get("RANK", "0") != "0":
        return
    platform.activate(
        platform.detect() if sft.dry_run else sft.platform.name
    )  # a dry run for GPUs needs none
    # Imported late: megatron must not be imported before the platform is active.
    from magic_megatron.sft.preflight import num_processes, plan_run
    from magic_megatron.sft.processes import distributed, world_size

    size = num_processes(sft, world_size())
    if sft.dry_run:
        from magic_megatron.sft.dry_run import dry_run

        sys.exit(dry_run(sft, size))
    from magic_megatron.sft.trainer import train

    plan = plan_run(sft, size)
    try:
        with distributed(sft.platform):
            train(plan)
    finally:
        if sft.logging.report and os.environ.get("RANK", "0") == "0":
            _write_report(Path(sft.output_dir))


def _write_report(folder: Path) -> None:
    """However the run ended, as far as it came; a page must not hide why it did."""
    from magic_megatron.sft.report.page import write_report

    try:
        write_report([folder], folder / "report.html")
    except (InputError, OSError) as error:
        print(f"no report.html: {error}", file=sys.stderr)
        return
    print(f"wrote {folder / 'report.html'}")


def _quieten_upstream() -> None:
    """Deprecations inside megatron and torch, said by every process, would bury the progress line."""
    logging.getLogger("megatron").setLevel(logging.ERROR)
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module=r"megatron|torch")


if __name__ == "__main__":
    run("sft", main, defaults={"platform": platform.detect()})
