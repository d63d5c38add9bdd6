"""Trains the runs of a list, one after the other in one process: ``_ablation_worker.py RUNS.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from magic_megatron import platform
from magic_megatron.config.sft import SftConfig
from recipes.command import compose, typed


def main() -> None:
    platform.activate("rehearsal")
    from magic_megatron.sft.preflight import plan_run
    from magic_megatron.sft.processes import distributed
    from magic_megatron.sft.trainer import train

    configs = [typed(SftConfig, compose("sft", run)) for run in json.loads(Path(sys.argv[1]).read_text())]
    if not configs:
        return
    with distributed(configs[0].platform):
        for config in configs:
            train(plan_run(config, world_size=1))


if __name__ == "__main__":
    main()
