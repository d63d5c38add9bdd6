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
    platform.activate(sft.platform.name)
    # Imported late: megatron must not be imported before the platform is active.
    from magic_megatron.sft.preflight import plan_run
    from magic_megatron.sft.processes import distributed, world_size
    from magic_megatron.sft.trainer import train

    plan = plan_run(sft, world_size())
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
