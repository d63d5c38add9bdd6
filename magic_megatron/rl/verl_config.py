"""From this project's recipe to verl's config: every key of ours that verl has a place for, in one table.

verl's own defaults come from the flattened config that it ships, so that an unknown key is found by its structure.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from magic_megatron.config.rl import RlConfig
from magic_megatron.platform.verl_settings import platform_overrides
from magic_megatron.rl.engines.overrides import engine_overrides
from recipes.command import InputError

_RESUMED = ["model", "optimizer", "extra"]
_DEFAULTS = {
    "fsdp2": "_generated_ppo_trainer.yaml",
    "megatron": "_generated_ppo_megatron_trainer.yaml",
}


def verl_config(rl: RlConfig, orders: dict[str, Path], resume_from: Path | None) -> DictConfig:
    """verl's config for the run.

    Args:
        orders: order files of the data, ``train`` and ``validation``.
        resume_from: a whole checkpoint, or None to begin.

    Raises:
        InputError: ``verl`` names a key that verl doesn't have, or a value that can't be trained with.
    """
    config = OmegaConf.load(str(files("verl.trainer.config") / _DEFAULTS[rl.engine.name]))
    assert isinstance(config, DictConfig)
    parts = (
        _data(rl, orders),
        _actor(rl),
        _rollout(rl),
        _trainer(rl, resume_from),
        platform_overrides(rl.platform.name, rl.platform.dtype),
        {"actor_rollout_ref": engine_overrides(rl.engine, rl.platform)},
        {"magic": _magic(rl)},
    )
    for part in parts:
        config.merge_with(OmegaConf.create(part))
    OmegaConf.set_struct(config, True)
    try:
        config.merge_with(OmegaConf.create(rl.verl))
    except OmegaConfBaseException as error:
        raise InputError(
            f"verl.{error.full_key}: verl 0.9.1 has no such key; its keys are in verl/trainer/config"
        ) from None
    _check_entropy(rl, config)
    return config


def _check_entropy(rl: RlConfig, config: DictConfig) -> None:
    """The chunked entropy of verl's Megatron engine writes into logits that its backward pass needs."""
    key = "actor_rollout_ref.actor.megatron.entropy_from_logits_with_chunking"
    if rl.engine.name == "megatron" and OmegaConf.select(config, key):
        raise InputError(
            f"verl.{key}=true: verl 0.9.1 has no gradient through it under engine=megatron; leave"
            " entropy_from_logits_with_chunking=false"
        )


def _data(rl: RlConfig, orders: dict[str, Path]) -> dict[str, Any]:
    return {
        "data": {
            "train_files": str(orders["train"]),
            "val_files": str(orders["validation"]),
            "custom_cls": {"path": "pkg://magic_megatron.rl.dataset", "name": "PromptDataset"},
            "train_batch_size": rl.train.batch_size,
            "max_prompt_length": rl.data.max_prompt_length,
            "max_response_length": rl.data.max_response_length,
            "dataloader_num_workers": 0,  # a resumed loader must be where it was
            "shuffle": False,  # the order file is shuffled
            "validation_shuffle": False,
            "apply_chat_template_kwargs": rl.data.chat_template_kwargs,
        }
    }


def _actor(rl: RlConfig) -> dict[str, Any]:
    algorithm, optim = rl.algorithm, rl.optim
    actor = {
        "optim": {
            "lr": optim.lr,
            "lr_warmup_steps": optim.warmup_steps,
            "weight_decay": optim.weight_decay,
            "betas": [optim.beta1, optim.beta2],
            "clip_grad": optim.clip_grad,
        },
        "clip_ratio": algorithm.clip_ratio_high,
        "clip_ratio_low": algorithm.clip_ratio_low,
        "clip_ratio_high": algorithm.clip_ratio_high,
        "clip_ratio_c": algorithm.clip_ratio_c,
        "loss_agg_mode": algorithm.loss_aggregation,
        "use_kl_loss": algorithm.kl_coef > 0,
        "kl_loss_coef": algorithm.kl_coef,
        "kl_loss_type": algorithm.kl_type,
        "calculate_entropy": True,
        "checkpoint": {"save_contents": [*_RESUMED, "hf_model"], "load_contents": _RESUMED},
        "data_loader_seed": rl.train.seed,
        "ppo_mini_batch_size": rl.train.batch_size,
    }
    return {
        "actor_rollout_ref": {"model": {"path": rl.model.path}, "actor": actor},
        "algorithm": {"adv_estimator": "grpo", "norm_adv_by_std_in_grpo": True},
        "critic": {"enable": False},
    }


def _rollout(rl: RlConfig) -> dict[str, Any]:
    rollout = rl.rollout
    return {
        "actor_rollout_ref": {
            "rollout": {
                "name": "vllm",
                "n": rollout.n,
                "temperature": rollout.temperature,
                "top_p": rollout.top_p,
                "top_k": rollout.top_k,
                "seed": rl.seed,
                "tensor_model_parallel_size": rollout.tensor_parallel_size,
                "gpu_memory_utilization": rollout.gpu_memory_utilization,
                "max_num_seqs": rollout.max_num_seqs,
                "max_num_batched_tokens": rollout.max_num_batched_tokens,
                "max_model_len": rl.data.max_prompt_length + rl.data.max_response_length,
                "enforce_eager": rollout.enforce_eager,
                "calculate_log_probs": True,
                "val_kwargs": {"n": 1},
                "agent": {
                    "num_workers": rollout.num_workers,
                    "default_agent_loop": "planning",
                    "agent_loop_config_path": str(files("magic_megatron.rl.agents") / "agents.yaml"),
                },
                "checkpoint_engine": {"update_weights_bucket_megabytes": rollout.update_bucket_mb},
            }
        },
        "reward": {
            "num_workers": rollout.num_workers,
            "custom_reward_function": {
                "path": "pkg://magic_megatron.rl.rewards.verl_reward",
                "name": "compute_score",
                "reward_kwargs": {"settings": asdict(rl.reward)},
            },
        },
    }


def _trainer(rl: RlConfig, resume_from: Path | None) -> dict[str, Any]:
    trainer: dict[str, Any] = {
        "total_epochs": 1,
        "total_training_steps": rl.train.num_steps,
        "nnodes": rl.nodes,
        "n_gpus_per_node": rl.gpus_per_node,
        "logger": [],
        "project_name": "magic_megatron",
        "experiment_name": Path(rl.output_dir).name,
        "save_freq": rl.train.save_interval,
        "test_freq": rl.validation.interval or -1,
        "val_before_train": rl.validation.before and resume_from is None,
        "default_local_dir": str(Path(rl.output_dir) / "checkpoints"),
        "resume_mode": "resume_path" if resume_from else "disable",
        "resume_from_path": str(resume_from) if resume_from else None,
        "v1": {
            "sampler": {
                "custom_sampler": {
                    "path": "pkg://magic_megatron.rl.replay_buffer",
                    "name": "WatchedReplayBuffer",
                },
                "sampler_kwargs": {"timeout_s": rl.watchdog.timeout_s, "output_dir": rl.output_dir},
            }
        },
    }
    return {"trainer": trainer}


def _magic(rl: RlConfig) -> dict[str, Any]:
    """What the trainer, the agent loops and the loss read beside verl's keys."""
    return {
        "output_dir": rl.output_dir,
        "seed": rl.train.seed,
        "num_updates": rl.train.num_updates,
        "keep_checkpoints": rl.train.keep_checkpoints,
        "save_rollouts": rl.save_rollouts,
        "rollout_only": rl.rollout_only,
        "algorithm": asdict(rl.algorithm),
        "env": rl.env,
        "train_only": rl.train_only,
    }
