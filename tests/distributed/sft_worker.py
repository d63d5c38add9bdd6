"""Several SFT runs in one start of processes: ``sft_worker.py RUNS.json``, alone or as ranks.

``RUNS.json`` is a list of runs: ``forget``, folders that are removed before it, and ``overrides``, which are composed,
checked and trained as ``magic_megatron.sft`` would.
"""

import json
import shutil
import sys
from pathlib import Path

import torch.distributed as dist

from magic_megatron import platform

platform.activate("rehearsal")

from magic_megatron.config.sft import SftConfig  # noqa: E402
from magic_megatron.sft.preflight import plan_run  # noqa: E402
from magic_megatron.sft.processes import distributed, world_size  # noqa: E402
from magic_megatron.sft.trainer import train  # noqa: E402
from recipes.command import compose, typed  # noqa: E402


def main() -> None:
    runs = json.loads(Path(sys.argv[1]).read_text())
    configs = [typed(SftConfig, compose("sft", run["overrides"])) for run in runs]
    with distributed(configs[0].platform):
        for config, run in zip(configs, runs, strict=True):
            if dist.get_rank() == 0:
                for folder in run["forget"]:
                    shutil.rmtree(folder)
            dist.barrier()
            train(plan_run(config, world_size()))


if __name__ == "__main__":
    main()
