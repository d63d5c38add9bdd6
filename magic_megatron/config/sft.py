"""The recipe of supervised fine-tuning. Every default is in ``recipes/``; nothing here has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.config.moe import MoeConfig
from magic_megatron.config.platform import PlatformConfig
from recipes.command import InputError


@dataclass(frozen=True)
class DataConfig:
    """Where the indexed pair lies and how its rows are packed.

    ``path`` is the prefix of ``<path>_text_document.{bin,idx}``; ``validation_path`` that of held-out rows, if any.
    ``pad_multiple`` is what each row's length is padded to inside a pack; it divides by 2·cp and doesn't depend on it,
    so that packs don't either. ``mixture`` says how often an epoch sees the rows of a task or domain; once where it is
    silent, or ``None``.
    """

    path: str
    validation_path: str | None
    sequence_length: int
    pad_multiple: int
    mixture: dict[str, float] | None


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with a cosine schedule after a linear warm-up. ``eps`` and the rest as in torch's AdamW."""

    lr: float
    min_lr: float
    warmup_steps: int
    weight_decay: float
    beta1: float
    beta2: float
    eps: float
    clip_grad: float


@dataclass(frozen=True)
class TrainConfig:
    """Sizes count packs. ``num_steps=None`` trains ``num_epochs`` over the data."""

    num_steps: int | None
    num_epochs: int
    global_batch_size: int
    micro_batch_size: int
    seed: int
    save_interval: int
    keep_checkpoints: int
    async_save: bool
    routing_interval: int
    validation_interval: int
    recompute: Literal["none", "full"]


@dataclass(frozen=True)
class LoggingConfig:
    """What is written for people beside ``metrics.jsonl`` and TensorBoard. ``report`` is of the end of the run."""

    wandb: Literal["offline", "online", "disabled"]
    wandb_project: str
    report: bool


@dataclass(frozen=True)
class SftConfig:
    """``recipes/sft.yaml``, composed.

    ``world_size=None`` is as many processes as were started; ``dry_run`` checks everything and trains nothing.
    """

    model: ModelConfig
    parallel: ParallelConfig
    moe: MoeConfig
    data: DataConfig
    optim: OptimConfig
    train: TrainConfig
    logging: LoggingConfig
    cluster: ClusterConfig
    platform: PlatformConfig
    seed: int
    output_dir: str
    resume: Literal["auto", "never"]
    init_from: str | None
    dry_run: bool
    world_size: int | None


def check_values(config: SftConfig) -> None:
    """Ranges that a type can't express.

    Raises:
        InputError: naming key, value and fix of the first.
    """
    for problem in (*size_problems(config), *range_problems(config)):
        raise problem


def size_problems(config: SftConfig) -> Iterator[InputError]:
    """Numbers of things that can't be: nothing that is counted with them can be looked at."""
    positive = {
        "train.num_epochs": config.train.num_epochs,
        "train.global_batch_size": config.train.global_batch_size,
        "train.micro_batch_size": config.train.micro_batch_size,
        "train.save_interval": config.train.save_interval,
        "train.keep_checkpoints": config.train.keep_checkpoints,
        "train.routing_interval": config.train.routing_interval,
        "train.validation_interval": config.train.validation_interval,
        "data.sequence_length": config.data.sequence_length,
        "data.pad_multiple": config.data.pad_multiple,
    }
    if config.world_size is not None:
        positive["world_size"] = config.world_size
    for key, value in positive.items():
        if value < 1:
            yield InputError(f"{key}={value}: must be at least 1; try {key}=1")
    if config.train.num_steps is not None and config.train.num_steps < 0:
        yield InputError(
            f"train.num_steps={config.train.num_steps}: must not be negative; try train.num_steps=100"
        )


def range_problems(config: SftConfig) -> Iterator[InputError]:
    """Values of the optimizer that make no sense, and rows whose padding doesn't split."""
    if config.optim.lr <= 0 or not 0 <= config.optim.min_lr <= config.optim.lr:
        yield InputError(
            f"optim.lr={config.optim.lr}: must be positive and not below optim.min_lr={config.optim.min_lr};"
            " try optim.lr=1e-5"
        )
    for key, beta in (("beta1", config.optim.beta1), ("beta2", config.optim.beta2)):
        if not 0 <= beta < 1:
            yield InputError(f"optim.{key}={beta}: must lie in [0, 1); try optim.{key}=0.9")
    for key in ("weight_decay", "clip_grad", "eps", "warmup_steps"):
        if getattr(config.optim, key) < 0:
            yield InputError(
                f"optim.{key}={getattr(config.optim, key)}: must not be negative; try optim.{key}=0"
            )
    multiple = 2 * config.parallel.cp if config.parallel.cp > 1 else 1
    if config.data.pad_multiple % multiple:
        yield InputError(
            f"data.pad_multiple={config.data.pad_multiple}: must divide by 2·cp={multiple};"
            f" try data.pad_multiple={multiple}"
        )


def check_batch(train: TrainConfig, dp: int) -> None:
    """A step's packs must split into micro-batches over the replicas.

    Raises:
        InputError: naming the nearest global batch that does.
    """
    unit = train.micro_batch_size * dp
    if train.global_batch_size % unit:
        nearest = -(-train.global_batch_size // unit) * unit
        raise InputError(
            f"train.global_batch_size={train.global_batch_size}: must divide by micro_batch_size·dp ="
            f" {train.micro_batch_size}·{dp} = {unit}; try train.global_batch_size={nearest}"
        )
