"""An engine's stage of the model, from verl's config and the policy's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer.transformer_config import TransformerConfig

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.models.gpt import build_model
from magic_megatron.models.huggingface_shards import load_huggingface
from magic_megatron.models.transformer_config import transformer_config
from magic_megatron.models.weights import load_weights
from magic_megatron.moe.router import use_balanced_router
from magic_megatron.platform.specs import decoder_block_spec
from magic_megatron.rl.engines.settings import MegatronSettings
from recipes.command import InputError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# What verl's engine can be told and this one doesn't do, with the values that mean "off".
_UNSUPPORTED = {
    "virtual_pipeline_model_parallel_size": (None, 1),
    "dynamic_context_parallel": (False,),
    "use_fused_kernels": (False,),
    "use_megatron_fsdp": (False,),
    "pad_to_length": (False,),
    "use_remove_padding": (True,),
}


def core_config(engine: Any, model: ModelConfig, settings: MegatronSettings) -> TransformerConfig:
    """Megatron-Core's view of the model under the layout of ``engine``, verl's ``McoreEngineConfig``.

    Raises:
        InputError: a feature of verl's engine that this one doesn't have.
    """
    for key, allowed in _UNSUPPORTED.items():
        if getattr(engine, key) not in allowed:
            raise InputError(
                f"actor_rollout_ref.actor.megatron.{key}={getattr(engine, key)}: this engine has"
                f" {key}={allowed[0]} only; leave it to the recipe"
            )
    etp = engine.expert_tensor_parallel_size
    parallel = ParallelConfig(
        tp=engine.tensor_model_parallel_size,
        pp=engine.pipeline_model_parallel_size,
        cp=engine.context_parallel_size,
        ep=engine.expert_model_parallel_size,
        etp=engine.tensor_model_parallel_size if etp is None else etp,
        sequence_parallel=engine.sequence_parallel,
    )
    core = transformer_config(
        model,
        parallel,
        settings.platform,
        DTYPES[settings.dtype],
        recompute=settings.recompute,
        moe_capacity_factor=settings.moe.capacity_factor,
    )
    # verl's micro-batches differ in length, and so does what pipeline stages send each other.
    core.variable_seq_lengths = True
    return core


def build_chunk(
    model: ModelConfig, core: TransformerConfig, settings: MegatronSettings, folder: Path
) -> GPTModel:
    """This rank's stage with its weights.

    Args:
        folder: the policy's, in Hugging Face format.

    Raises:
        InputError: weights that are missing, damaged or not the model's.
    """
    spec = decoder_block_spec(core, settings.platform)
    if model.is_moe:
        use_balanced_router(spec)
    assert model.vocab_size is not None, "config.json has it"
    chunk = build_model(
        model,
        core,
        spec,
        vocab_size=model.vocab_size,
        sequence_length=model.max_position_embeddings,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    ).to(torch.cuda.current_device())
    if settings.init_from is not None:
        load_weights(chunk, Path(settings.init_from), "engine.init_from")
    else:
        load_huggingface(chunk, model, folder, "model.path")
    return chunk
