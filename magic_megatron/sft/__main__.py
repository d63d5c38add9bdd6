"""``torchrun … -m magic_megatron.sft``: supervised fine-tuning on Megatron-Core."""

from __future__ import annotations

import logging
import warnings

from omegaconf import DictConfig

from magic_megatron import platform
from magic_megatron.config.sft import SftConfig
from recipes.command import run, typed


def main(config: DictConfig) -> None:
    sft = typed(SftConfig, config)
    _quieten_upstream()
    platform.activate(sft.platform.name)
    # Imported late: megatron must not be imported before the platform is active.
    from magic_megatron.sft.preflight import plan_run
    from magic_megatron.sft.processes import distributed, world_size
    from magic_megatron.sft.trainer import train

    plan = plan_run(sft, world_size())
    with distributed(sft.platform):
        train(plan)


def _quieten_upstream() -> None:
    """Deprecations inside megatron and torch, said by every process, would bury the progress line."""
    logging.getLogger("megatron").setLevel(logging.ERROR)
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module=r"megatron|torch")


if __name__ == "__main__":
    run("sft", main, defaults={"platform": platform.detect()})
