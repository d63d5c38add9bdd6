"""Values of verl's config that differ between a GPU and a rehearsal, and the environment of its processes."""

from __future__ import annotations

from typing import Any

REHEARSAL_ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}
COMMON_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "disabled",
}
_TORCH_NAMES = {"fp32": "float32", "bf16": "bfloat16"}


def verl_environment(platform: str) -> dict[str, str]:
    """What every process of a run needs in its environment, the driver's before verl is imported."""
    return COMMON_ENVIRONMENT | (REHEARSAL_ENVIRONMENT if platform == "rehearsal" else {})


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
