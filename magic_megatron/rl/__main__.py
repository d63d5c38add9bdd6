"""``python -m magic_megatron.rl``: reinforcement learning with verl, vLLM and Ray."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from magic_megatron import platform
from magic_megatron.config.rl import RlConfig
from magic_megatron.rl.arguments import full_names
from recipes.command import run, typed


def main(config: DictConfig) -> None:
    rl = typed(RlConfig, config)
    # Imported late: --help and a mistyped key shouldn't wait for torch.
    from magic_megatron.rl.run import run_rl

    run_rl(rl)


if __name__ == "__main__":
    sys.argv[1:] = full_names(sys.argv[1:])
    run("rl", main, defaults={"platform": platform.detect()})
