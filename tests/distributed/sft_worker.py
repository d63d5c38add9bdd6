"""Several SFT runs in one start of processes: ``torchrun … sft_worker.py RUNS.json``.

``RUNS.json`` is a list of override lists; each is composed, checked and trained as ``magic_megatron.sft`` would.
"""

import json
import sys
from pathlib import Path

from magic_megatron import platform
from magic_megatron.config.sft import SftConfig
from recipes.command import compose, typed


def main() -> None:
    platform.activate("rehearsal")
    from magic_megatron.sft.preflight import plan_run
    from magic_megatron.sft.processes import distributed, world_size
    from magic_megatron.sft.trainer import train

    runs = json.loads(Path(sys.argv[1]).read_text())
    configs = [typed(SftConfig, compose("sft", overrides)) for overrides in runs]
    with distributed(configs[0].platform):
        for config in configs:
            train(plan_run(config, world_size()))


if __name__ == "__main__":
    main()
