"""A run's parts in Megatron-Core: this rank's stage of the model, its wrapper, optimizer and schedule."""

from __future__ import annotations

from pathlib import Path

import torch
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.models.gpt import GPTModel
from megatron.core.optimizer import MegatronOptimizer, OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from megatron.core.transformer.module import Float16Module
from megatron.core.transformer.transformer_config import TransformerConfig

from magic_megatron.config.sft import SftConfig
from magic_megatron.models.gpt import build_model
from magic_megatron.models.initialization import initialize_weights
from magic_megatron.models.transformer_config import transformer_config
from magic_megatron.models.weights import load_weights
from magic_megatron.moe.router import use_balanced_router
from magic_megatron.platform.specs import decoder_block_spec
from magic_megatron.sft.preflight import RunPlan

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def core_config(config: SftConfig) -> TransformerConfig:
    """Megatron-Core's view of the recipe."""
    return transformer_config(
        config.model,
        config.parallel,
        config.platform.name,
        _DTYPES[config.platform.dtype],
        recompute=config.train.recompute,
        moe_capacity_factor=config.moe.capacity_factor,
    )


def build_chunk(plan: RunPlan, core: TransformerConfig) -> GPTModel:
    """This rank's stage: with weights from the seed or ``init_from``; unset where a checkpoint will set them."""
    config = plan.config
    spec = decoder_block_spec(core, config.platform.name)
    if config.model.is_moe:
        use_balanced_router(spec)
    chunk = build_model(
        config.model,
        core,
        spec,
        vocab_size=plan.vocab_size,
        sequence_length=config.train.micro_batch_size * config.data.sequence_length,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    ).to(torch.cuda.current_device())
    if config.init_from is not None and plan.checkpoint is None:
        load_weights(chunk, Path(config.init_from), "init_from")
    elif plan.checkpoint is None:
        initialize_weights(chunk, config.seed)
    return chunk


def wrap(chunk: GPTModel, core: TransformerConfig, config: SftConfig) -> DistributedDataParallel:
    """``chunk`` with gradient buffers in float32 for the distributed optimizer."""
    overlap = config.platform.overlap_communication
    ddp_config = DistributedDataParallelConfig(
        use_distributed_optimizer=True,
        grad_reduce_in_fp32=True,
        overlap_grad_reduce=overlap,
        overlap_param_gather=overlap,
    )
    module = Float16Module(core, chunk) if config.platform.dtype == "bf16" else chunk
    ddp = DistributedDataParallel(core, ddp_config, module)
    ddp.train()
    if overlap:
        core.no_sync_func = ddp.no_sync
    return ddp


def build_optimizer(config: SftConfig, ddp: DistributedDataParallel) -> MegatronOptimizer:
    """AdamW, its state spread over the data-parallel ranks."""
    optim = config.optim
    return get_megatron_optimizer(
        OptimizerConfig(
            optimizer="adam",
            lr=optim.lr,
            min_lr=optim.min_lr,
            weight_decay=optim.weight_decay,
            adam_beta1=optim.beta1,
            adam_beta2=optim.beta2,
            adam_eps=optim.eps,
            clip_grad=optim.clip_grad,
            bf16=config.platform.dtype == "bf16",
            params_dtype=_DTYPES[config.platform.dtype],
            use_distributed_optimizer=True,
            overlap_param_gather=ddp.ddp_config.overlap_param_gather,
        ),
        [ddp],
    )


def build_scheduler(
    config: SftConfig, optimizer: MegatronOptimizer, num_steps: int
) -> OptimizerParamScheduler:
    """Linear warm-up, then a cosine down to ``optim.min_lr`` at ``num_steps``."""
    optim = config.optim
    return OptimizerParamScheduler(
        optimizer,
        init_lr=0.0,
        max_lr=optim.lr,
        min_lr=optim.min_lr,
        lr_warmup_steps=optim.warmup_steps,
        lr_decay_steps=max(num_steps, 1),
        lr_decay_style="cosine",
        start_wd=optim.weight_decay,
        end_wd=optim.weight_decay,
        wd_incr_steps=max(num_steps, 1),
        wd_incr_style="constant",
    )
