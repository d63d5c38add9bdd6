"""From a recipe's engine to verl's keys."""

from __future__ import annotations

import dataclasses
from typing import Any

from magic_megatron.config.platform import PlatformConfig
from magic_megatron.config.rl_engine import EngineConfig
from magic_megatron.rl.engines.settings import MegatronSettings

MODEL_ENGINES = {"fsdp2": "dp", "megatron": "megatron"}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def engine_overrides(engine: EngineConfig, platform: PlatformConfig) -> dict[str, Any]:
    """Keys for verl's ``actor_rollout_ref``, nested, which make actor and reference policy run on ``engine``.

    They fit a config that verl composed with ``model_engine=`` of ``MODEL_ENGINES[engine.name]``. Megatron's
    workers must also be of ``engines.worker.PolicyWorker``.
    """
    chosen = _megatron(engine, platform) if engine.name == "megatron" else _fsdp(engine, platform)
    batches = {
        "log_prob_use_dynamic_bsz": engine.dynamic_batch,
        "log_prob_max_token_len_per_gpu": engine.max_log_prob_tokens,
        "log_prob_micro_batch_size_per_gpu": engine.micro_batch_size,
    }
    updates = {
        "use_dynamic_bsz": engine.dynamic_batch,
        "ppo_max_token_len_per_gpu": engine.max_tokens,
        "ppo_micro_batch_size_per_gpu": engine.micro_batch_size,
    }
    return {
        "model": {
            "use_remove_padding": engine.name == "megatron" or platform.name == "cuda",
            "enable_gradient_checkpointing": engine.recompute == "full",
            "use_fused_kernels": False,
        },
        "actor": {**chosen, **updates, "strategy": engine.name},
        "rollout": batches,
        "ref": {**chosen, **batches, "strategy": engine.name},
    }


def _megatron(engine: EngineConfig, platform: PlatformConfig) -> dict[str, Any]:
    parallel = engine.parallel
    settings = MegatronSettings(
        platform=platform.name,
        dtype=platform.dtype,
        recompute=engine.recompute,
        init_from=engine.init_from,
        moe=engine.moe,
    )
    on_gpu = platform.name == "cuda"
    return {
        "megatron": {
            "tensor_model_parallel_size": parallel.tp,
            "pipeline_model_parallel_size": parallel.pp,
            "context_parallel_size": parallel.cp,
            "expert_model_parallel_size": parallel.ep,
            "expert_tensor_parallel_size": parallel.etp,
            "sequence_parallel": parallel.uses_sequence_parallel,
            "use_distributed_optimizer": True,
            "param_offload": engine.offload_params and on_gpu,
            "optimizer_offload": engine.offload_optimizer and on_gpu,
            "override_mcore_model_config": dataclasses.asdict(settings),
        }
    }


def _fsdp(engine: EngineConfig, platform: PlatformConfig) -> dict[str, Any]:
    on_gpu = platform.name == "cuda"
    return {
        "fsdp_config": {
            "ulysses_sequence_parallel_size": engine.parallel.cp,
            "param_offload": engine.offload_params and on_gpu,
            "optimizer_offload": engine.offload_optimizer and on_gpu,
            "use_torch_compile": on_gpu,
            "dtype": _DTYPES[platform.dtype],
            "mixed_precision": {
                "param_dtype": platform.dtype,
                "reduce_dtype": "fp32",
                "buffer_dtype": "fp32",
            },
        }
    }
