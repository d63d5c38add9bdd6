"""Values of verl's config that differ between a GPU and a rehearsal, and the environment of its processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magic_megatron.platform.fork_server import Modules, fork_server

REHEARSAL_ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    # Lets vLLM's worker live in the engine's process.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
COMMON_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "disabled",
}
PRELOADED = Modules(
    early=("vllm.entrypoints.openai.api_server", "sentence_transformers", "peft", "datasets", "tensordict"),
    late=(
        "verl.workers.engine_workers",
        "verl.workers.rollout.vllm_rollout.vllm_async_server",
        "verl.experimental.agent_loop",
        "verl.experimental.reward_loop",
        "vllm.v1.worker.cpu_worker",
        "transfer_queue",
    ),
)
"""What a run's processes import, as far as none of it imports Megatron-Core, which a worker has to prepare for."""
_TORCH_NAMES = {"fp32": "float32", "bf16": "bfloat16"}


def verl_environment(platform: str) -> dict[str, str]:
    """What every process of a run needs in its environment, the driver's before verl is imported."""
    return COMMON_ENVIRONMENT | (REHEARSAL_ENVIRONMENT if platform == "rehearsal" else {})


@contextmanager
def worker_executable(platform: str, environment: dict[str, str], log: Path) -> Iterator[dict[str, str]]:
    """What Ray's runtime environment says of the interpreter of a run's workers, for the time of the ``with`` block.

    Enter it early: in rehearsal the imports go on beside the caller.
    """
    if platform != "rehearsal":
        yield {}
        return
    without_threads = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    with fork_server(PRELOADED, environment | without_threads, log) as executable:
        yield {"py_executable": executable}


def platform_overrides(platform: str, dtype: str) -> dict[str, Any]:
    """To be laid over verl's config.

    Args:
        platform: ``rehearsal`` or ``cuda``.
        dtype: ``fp32`` or ``bf16``, of the rollout, so that it agrees with the trainer.
    """
    rollout: dict[str, Any] = {"dtype": _TORCH_NAMES[dtype]}
    model: dict[str, Any] = {}
    if platform == "rehearsal":
        # A CPU has no memory that sleeps, and vLLM there can't take back what a seeded generator drew for a prompt of
        # which it has read a part.
        rollout |= {"free_cache_engine": False, "enable_sleep_mode": False, "enable_chunked_prefill": False}
        rollout |= {"engine_kwargs": {"vllm": {"distributed_executor_backend": "uni"}}}
        model = {"override_config": {"attn_implementation": "sdpa"}}
    return {
        "actor_rollout_ref": {"model": model, "rollout": rollout},
        "trainer": {"device": "cpu" if platform == "rehearsal" else "cuda"},
        "transfer_queue": {"backend": {"SimpleStorage": {"num_data_storage_units": 1}}},
    }
