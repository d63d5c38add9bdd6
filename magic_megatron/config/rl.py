"""The recipe of reinforcement learning. Every default is in ``recipes/``; nothing here has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from magic_megatron.config.platform import PlatformConfig
from magic_megatron.config.rl_algorithm import AlgorithmConfig
from magic_megatron.config.rl_engine import EngineConfig
from magic_megatron.config.rl_reward import RewardConfig
from recipes.command import InputError


@dataclass(frozen=True)
class PolicyConfig:
    """Hugging Face folder of the policy before the run, which is the reference of the KL term too."""

    path: str


@dataclass(frozen=True)
class RlDataConfig:
    """Parquet files that ``data_synth.export format=parquet`` writes; not used where there is an environment.

    ``tasks=None`` takes all tasks of the files. Lengths count tokens. ``overlong`` says what becomes of a prompt that
    is longer than ``max_prompt_length``: ``error`` refuses the run, ``drop`` leaves the row out and counts it.
    ``chat_template_kwargs`` hold for every row; without ``enable_thinking`` a row is asked to think iff its own answer
    in the training data does.
    """

    train: list[str]
    validation: list[str]
    tasks: list[str] | None
    max_prompt_length: int
    max_response_length: int
    overlong: Literal["error", "drop"]
    chat_template_kwargs: dict[str, Any]


@dataclass(frozen=True)
class RlTrainConfig:
    """Sizes count prompts. ``num_updates`` is the optimizer steps that a step's samples are split into."""

    num_steps: int
    batch_size: int
    num_updates: int
    seed: int
    save_interval: int
    keep_checkpoints: int


@dataclass(frozen=True)
class ValidationConfig:
    """``num_prompts`` per task, each answered once greedily and ``num_samples`` times as in training.

    ``interval`` counts steps; 0 validates never. ``before`` does so before the first step too.
    """

    num_prompts: int
    num_samples: int
    interval: int
    before: bool


@dataclass(frozen=True)
class RlOptimConfig:
    """AdamW at a constant rate after a linear warm-up, as verl's engines build it."""

    lr: float
    warmup_steps: int
    weight_decay: float
    beta1: float
    beta2: float
    clip_grad: float


@dataclass(frozen=True)
class RolloutConfig:
    """vLLM and the drawing of answers. ``n`` is the group's size."""

    n: int
    temperature: float
    top_p: float
    top_k: int
    tensor_parallel_size: int
    gpu_memory_utilization: float
    max_num_seqs: int
    max_num_batched_tokens: int
    enforce_eager: bool
    num_workers: int
    update_bucket_mb: int


@dataclass(frozen=True)
class RayConfig:
    """``address=None`` starts Ray on this machine for the time of the run; ``auto`` or host:port joins a cluster."""

    address: str | None
    num_cpus: int | None
    object_store_bytes: int | None
    log_to_driver: bool


@dataclass(frozen=True)
class WatchdogConfig:
    """The run ends with an error when no answer was finished for ``timeout_s`` seconds."""

    timeout_s: float


@dataclass(frozen=True)
class ScheduleConfig:
    """In which order tasks are trained; ``rl/schedule=``.

    ``mixed`` draws every batch from all tasks, in proportion to their rows or to ``weights``; ``single`` trains
    ``task`` alone; ``domain_wise`` one task of ``order`` after another, an equal share of the steps each.
    """

    name: Literal["mixed", "single", "domain_wise"]
    task: str | None
    order: list[str] | None
    weights: dict[str, float] | None


@dataclass(frozen=True)
class RlConfig:
    """``recipes/rl.yaml``, composed.

    ``verl`` is laid over verl's own config last, for whatever this recipe has no key for.
    """

    model: PolicyConfig
    data: RlDataConfig
    train: RlTrainConfig
    validation: ValidationConfig
    optim: RlOptimConfig
    algorithm: AlgorithmConfig
    engine: EngineConfig
    reward: RewardConfig
    rollout: RolloutConfig
    schedule: ScheduleConfig
    ray: RayConfig
    watchdog: WatchdogConfig
    platform: PlatformConfig
    env: dict[str, Any]
    nodes: int
    gpus_per_node: int
    seed: int
    output_dir: str
    resume: Literal["auto", "never"]
    save_rollouts: bool
    rollout_only: bool
    train_only: str | None
    dry_run: bool
    verl: dict[str, Any]


def check_values(config: RlConfig) -> None:
    """Ranges that a type can't express.

    Raises:
        InputError: naming key, value and fix of the first.
    """
    for problem in (*_count_problems(config), *_range_problems(config)):
        raise problem


def _count_problems(config: RlConfig) -> Iterator[InputError]:
    positive = {
        "train.num_steps": config.train.num_steps,
        "train.batch_size": config.train.batch_size,
        "train.num_updates": config.train.num_updates,
        "train.save_interval": config.train.save_interval,
        "train.keep_checkpoints": config.train.keep_checkpoints,
        "validation.num_prompts": config.validation.num_prompts,
        "data.max_prompt_length": config.data.max_prompt_length,
        "data.max_response_length": config.data.max_response_length,
        "rollout.tensor_parallel_size": config.rollout.tensor_parallel_size,
        "rollout.max_num_seqs": config.rollout.max_num_seqs,
        "rollout.num_workers": config.rollout.num_workers,
        "nodes": config.nodes,
        "gpus_per_node": config.gpus_per_node,
    }
    for key, value in positive.items():
        if value < 1:
            yield InputError(f"{key}={value}: must be at least 1; try {key}=1")
    if config.rollout.n < 2:
        yield InputError(
            f"rollout.n={config.rollout.n}: a group's advantage needs two answers or more; try rollout.n=8"
        )


def _range_problems(config: RlConfig) -> Iterator[InputError]:
    if config.rollout.temperature <= 0:
        yield InputError(
            f"rollout.temperature={config.rollout.temperature}: equal answers have no advantage;"
            " try rollout.temperature=0.9"
        )
    if not 0 < config.rollout.top_p <= 1:
        yield InputError(f"rollout.top_p={config.rollout.top_p}: must lie in (0, 1]; try rollout.top_p=0.96")
    if config.optim.lr <= 0:
        yield InputError(f"optim.lr={config.optim.lr}: must be positive; try optim.lr=1e-6")
    if config.watchdog.timeout_s <= 0:
        yield InputError(
            f"watchdog.timeout_s={config.watchdog.timeout_s}: must be positive; try watchdog.timeout_s=1800"
        )
    world, tp = config.nodes * config.gpus_per_node, config.rollout.tensor_parallel_size
    if world % tp:
        yield InputError(
            f"rollout.tensor_parallel_size={tp}: must divide the run's {world} GPUs (nodes · gpus_per_node)"
        )
    if config.rollout_only and config.train_only:
        yield InputError(
            "rollout_only=true: excludes train_only, which trains on saved rollouts; leave one out"
        )
    if config.train_only and config.algorithm.advantage == "episode_and_step":
        yield InputError(
            f"algorithm={config.algorithm.name}: its step advantages need each turn's reward and observation, which"
            " saved rollouts don't have; leave train_only out, or choose grpo, epo or xxpo"
        )
