"""The CPU as a platform of verl, in the terms of its ``PlatformBase``."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase

ROLLOUT_VARIABLES = (
    "VERL_PLATFORM",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_CPU_OMP_THREADS_BIND",
    "OMP_NUM_THREADS",
    "TORCHDYNAMO_DISABLE",
    "VLLM_ENABLE_V1_MULTIPROCESSING",
)


def _device_module() -> types.ModuleType:
    """``torch.cpu`` with the memory and random-state functions that verl expects of ``torch.<device>``."""
    module = types.ModuleType("magic_megatron.platform.verl_platform.torch_cpu")
    for name, value in vars(torch.cpu).items():
        if not name.startswith("__"):
            setattr(module, name, value)
    for name in ("empty_cache", "ipc_collect", "reset_peak_memory_stats", "set_per_process_memory_fraction"):
        setattr(module, name, _nothing)
    for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"):
        setattr(module, name, _resident_bytes)
    substitutes: dict[str, Any] = {
        "manual_seed": torch.manual_seed,
        "manual_seed_all": torch.manual_seed,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: torch.set_rng_state(state),
        "mem_get_info": _free_and_total_bytes,
        "get_device_name": lambda device=None: "cpu",
        "current_device": lambda: torch.device("cpu"),
    }
    for name, value in substitutes.items():
        setattr(module, name, value)
    return module


def _nothing(*args: Any, **kwargs: Any) -> None:
    """For memory that no device holds."""


def _resident_bytes(device: Any = None) -> int:
    return int(psutil.Process().memory_info().rss)


def _free_and_total_bytes(device: Any = None) -> tuple[int, int]:
    memory = psutil.virtual_memory()
    return memory.available, memory.total


class PlatformCPU(PlatformBase):
    """One CPU as the device of every process.

    A run declares logical GPUs to Ray (``ray.init(num_gpus=…)``), so that verl's placement stays as it is.
    Weights reach the rollout engine through shared memory, as there is no IPC between devices.
    """

    _module = _device_module()

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> types.ModuleType:
        return self._module

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Never found by itself: a CPU is everywhere, and only ``VERL_PLATFORM=cpu`` means it."""
        return False

    def current_device(self) -> Any:
        """A device, not an index: ``tensor.to(0)`` would mean an accelerator."""
        return torch.device("cpu")

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        torch.cpu.set_device(device_index)

    def synchronize(self, device_index: int | None = None) -> None:
        torch.cpu.synchronize(device_index)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        return None

    def empty_cache(self) -> None:
        return None

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        return None

    def profiler_stop(self) -> None:
        return None

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False

    def rollout_env_vars(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ROLLOUT_VARIABLES if name in os.environ}

    def cudart(self) -> Any:
        return None
