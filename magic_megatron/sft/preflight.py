"""Everything about a run that can be checked before any process group starts."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from magic_megatron.config.layout import check_model_fits, data_parallel_size
from magic_megatron.config.sft import SftConfig, check_batch, check_values
from magic_megatron.data.dataset import PackedDataset
from magic_megatron.data.pair import check_tokenizer
from magic_megatron.models.checkpoint_weights import CheckpointReader
from magic_megatron.models.gpt import vocabulary_size
from magic_megatron.sft.checkpoints import newest_record, step_of
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
    check_values(config)
    dp = data_parallel_size(config.parallel, world_size)
    check_model_fits(config.parallel, config.model, config.data.sequence_length)
    check_batch(config.train, dp)
    dataset = PackedDataset(
        config.data.path,
        sequence_length=config.data.sequence_length,
        pad_multiple=config.data.pad_multiple,
        seed=config.train.seed,
        mixture=config.data.mixture,
    )
    check_tokenizer(dataset.manifest, dataset.manifest.tokenizer_path)
    vocab_size = vocabulary_size(config.model, dataset.manifest.vocab_size, config.parallel.tp)
    num_steps = _num_steps(config, dataset)
    if config.optim.warmup_steps >= max(num_steps, 1):
        raise InputError(
            f"optim.warmup_steps={config.optim.warmup_steps}: must be below the {num_steps} steps of the run;"
            f" try optim.warmup_steps={num_steps // 10}"
        )
    if config.init_from is not None:
        CheckpointReader(Path(config.init_from), "init_from")
    checkpoint = _checkpoint_to_resume(config, num_steps, data_digest(dataset))
    _check_writable(Path(config.output_dir))
    return RunPlan(
        config=config,
        dataset=dataset,
        validation=_validation(config, dataset),
        vocab_size=vocab_size,
        dp=dp,
        num_steps=num_steps,
        checkpoint=checkpoint,
        first_step=step_of(checkpoint) if checkpoint else 0,
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


def write_recipe(config: SftConfig) -> None:
    """The resolved recipe, beside what the run writes."""
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "recipe.yaml.partial"
    partial.write_text(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))
    partial.replace(folder / "recipe.yaml")


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
