"""Everything about a run that can be checked before any process group starts."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magic_megatron.config.layout import data_parallel_size, model_misfits
from magic_megatron.config.sft import SftConfig, check_batch, range_problems, size_problems
from magic_megatron.data.dataset import PackedDataset
from magic_megatron.data.pair import check_tokenizer
from magic_megatron.models.checkpoint_weights import CheckpointReader
from magic_megatron.models.gpt import vocabulary_size
from magic_megatron.sft.checkpoints import newest_record, step_of
from magic_megatron.sft.wandb_log import check_wandb
from recipes.command import InputError

# What a resumed run must share with the run it goes on from; the rest (layout, saving, logging) may change.
_FIXED = (
    *("model", "moe", "optim", "data", "seed", "init_from"),
    *("train.seed", "train.global_batch_size"),
)
# The data itself is compared by its hash.
_MOVABLE = ("data.path", "data.validation_path")


@dataclass(frozen=True)
class RunPlan:
    """A checked run. ``vocab_size`` is the embedding's, ``first_step`` the number of steps already done."""

    config: SftConfig
    dataset: PackedDataset
    validation: PackedDataset | None
    vocab_size: int
    dp: int
    num_steps: int
    checkpoint: Path | None
    first_step: int

    @property
    def tokenizer(self) -> Path:
        return self.dataset.manifest.tokenizer_path


def plan_run(config: SftConfig, world_size: int) -> RunPlan:
    """Check the recipe against itself, the data, the output folder and ``world_size`` processes.

    Raises:
        InputError: the first thing that is wrong, with its key, value and fix.
    """
    plan, problems = inspect_run(config, world_size)
    for problem in problems:
        raise problem
    assert plan is not None
    return plan


def num_processes(config: SftConfig, started: int) -> int:
    """Processes of the run: those that were started, or that a dry run supposes.

    Raises:
        InputError: ``world_size`` says something else.
    """
    if config.world_size is None:
        return started
    if config.world_size != started and not config.dry_run:
        raise InputError(
            f"world_size={config.world_size}: {started} processes were started; start that many with torchrun, or"
            " leave the key out"
        )
    return config.world_size


def inspect_run(config: SftConfig, world_size: int) -> tuple[RunPlan | None, list[InputError]]:
    """The plan of a run and everything that is wrong with it; a plan only if nothing is."""
    problems = Problems()
    problems.found += size_problems(config)
    countable = not problems.found
    problems.found += range_problems(config)
    problems.attempt(lambda: check_wandb(config.logging.wandb))
    dp = problems.attempt(lambda: data_parallel_size(config.parallel, world_size)) if countable else None
    if countable and config.parallel.is_countable:
        problems.found += model_misfits(config.parallel, config.model, config.data.sequence_length)
    if dp is not None:
        problems.attempt(lambda: check_batch(config.train, dp))
    dataset = problems.attempt(lambda: _open_data(config)) if countable else None
    if config.init_from is not None:
        problems.attempt(lambda: CheckpointReader(Path(config.init_from or ""), "init_from"))
    problems.attempt(lambda: _check_writable(Path(config.output_dir)))
    if dataset is None:
        return None, problems.found
    validation = problems.attempt(lambda: _validation(config, dataset))
    tokenizer_length = dataset.manifest.vocab_size
    vocab_size = problems.attempt(
        lambda: vocabulary_size(config.model, tokenizer_length, max(config.parallel.tp, 1))
    )
    num_steps = problems.attempt(lambda: _num_steps(config, dataset))
    if num_steps is None:
        return None, problems.found
    problems.attempt(lambda: _check_warmup(config, num_steps))
    checkpoint = problems.attempt(lambda: _checkpoint_to_resume(config, num_steps, data_digest(dataset)))
    if problems.found:
        return None, problems.found
    assert dp is not None and vocab_size is not None
    return (
        RunPlan(
            config=config,
            dataset=dataset,
            validation=validation,
            vocab_size=vocab_size,
            dp=dp,
            num_steps=num_steps,
            checkpoint=checkpoint,
            first_step=step_of(checkpoint) if checkpoint else 0,
        ),
        [],
    )


class Problems:
    """What checks refused, in their order."""

    def __init__(self) -> None:
        self.found: list[InputError] = []

    def attempt[T](self, check: Callable[[], T]) -> T | None:
        """The value of ``check``; ``None`` if it raised an ``InputError``, which is kept."""
        try:
            return check()
        except InputError as problem:
            self.found.append(problem)
            return None


def _open_data(config: SftConfig) -> PackedDataset:
    dataset = PackedDataset(
        config.data.path,
        sequence_length=config.data.sequence_length,
        pad_multiple=config.data.pad_multiple,
        seed=config.train.seed,
        mixture=config.data.mixture,
    )
    check_tokenizer(dataset.manifest, dataset.manifest.tokenizer_path)
    return dataset


def _check_warmup(config: SftConfig, num_steps: int) -> None:
    if config.optim.warmup_steps >= max(num_steps, 1):
        raise InputError(
            f"optim.warmup_steps={config.optim.warmup_steps}: must be below the {num_steps} steps of the run;"
            f" try optim.warmup_steps={num_steps // 10}"
        )


def _validation(config: SftConfig, dataset: PackedDataset) -> PackedDataset | None:
    if config.data.validation_path is None:
        return None
    held_out = PackedDataset(
        config.data.validation_path,
        sequence_length=config.data.sequence_length,
        pad_multiple=config.data.pad_multiple,
        seed=0,
        mixture=None,
    )
    if held_out.manifest.tokenizer_sha256 != dataset.manifest.tokenizer_sha256:
        raise InputError(
            f"data.validation_path={config.data.validation_path}: made with another tokenizer than data.path; export"
            f" it again with tokenizer={dataset.manifest.tokenizer_path}"
        )
    return held_out


def data_digest(dataset: PackedDataset) -> str:
    """SHA-256 over those of the tokens' and labels' files, as the export's manifest has them."""
    files = dataset.manifest.files
    digests = [files[name]["sha256"] for name in sorted(files) if name.endswith((".bin", ".idx"))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _num_steps(config: SftConfig, dataset: PackedDataset) -> int:
    if config.train.num_steps is not None:
        return config.train.num_steps
    steps = dataset.num_packs(config.train.num_epochs) // config.train.global_batch_size
    if steps < 1:
        raise InputError(
            f"train.global_batch_size={config.train.global_batch_size}: {config.train.num_epochs} epochs of"
            f" {dataset.num_packs(1)} packs don't fill one; lower it, or set train.num_steps to repeat the data"
        )
    return steps


def _checkpoint_to_resume(config: SftConfig, num_steps: int, data_sha256: str) -> Path | None:
    folder = Path(config.output_dir)
    newest = newest_record(folder)
    if newest is None:
        return None
    checkpoint, record = newest
    if config.resume == "never":
        raise InputError(
            f"resume=never: output_dir={folder} already holds {checkpoint.name}; give another output_dir,"
            " or resume=auto to go on from it"
        )
    now = dataclasses.asdict(config)
    for key in _FIXED:
        _check_same(key, _lookup(record.recipe, key), _lookup(now, key), folder)
    if num_steps < step_of(checkpoint):
        raise InputError(
            f"train.num_steps={num_steps}: the run in output_dir={folder} has done {step_of(checkpoint)} steps;"
            " give at least that many, or another output_dir"
        )
    if record.trainer.get("data_sha256") != data_sha256:
        raise InputError(
            f"data.path={config.data.path}: not the data that output_dir={folder} was trained on so far; give the"
            " former path, or another output_dir"
        )
    return checkpoint


def _check_same(key: str, before: Any, now: Any, folder: Path) -> None:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            _check_same(f"{key}.{name}", before.get(name), now.get(name), folder)
    elif before != now and key not in _MOVABLE:
        raise InputError(
            f"{key}={now}: the run in output_dir={folder} has {key}={before}; give that again to go on with it,"
            " or another output_dir"
        )


def _lookup(recipe: dict[str, Any], key: str) -> Any:
    node: Any = recipe
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _check_writable(folder: Path) -> None:
    parent = folder
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        raise InputError(
            f"output_dir={folder}: {parent} is not a folder that can be written ({error.strerror}); choose another one,"
            " or make room"
        ) from None
