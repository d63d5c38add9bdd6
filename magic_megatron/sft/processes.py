"""Process groups of a run: torch.distributed, then megatron-core's parallel state on top."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.platform import PlatformConfig
from magic_megatron.platform import PLATFORMS


def world_size() -> int:
    """Processes that torchrun started, 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def distributed(platform: PlatformConfig) -> Iterator[None]:
    """torch.distributed over this run's processes; a run without torchrun is a world of one."""
    if platform.num_threads is not None:
        torch.set_num_threads(platform.num_threads)
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    alone = "RANK" not in os.environ
    dist.init_process_group(
        PLATFORMS[platform.name].backend,
        store=dist.HashStore() if alone else None,
        rank=0 if alone else -1,
        world_size=1 if alone else -1,
        timeout=datetime.timedelta(minutes=30),
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def model_parallel(parallel: ParallelConfig, seed: int) -> Iterator[None]:
    """Megatron-Core's process groups for one layout, inside ``distributed``."""
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tp,
        pipeline_model_parallel_size=parallel.pp,
        context_parallel_size=parallel.cp,
        expert_model_parallel_size=parallel.ep,
        expert_tensor_parallel_size=parallel.etp,
    )
    model_parallel_cuda_manual_seed(seed)
    try:
        yield
    finally:
        parallel_state.destroy_model_parallel()
