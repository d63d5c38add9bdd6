"""Weights between checkpoints of ``magic_megatron.sft`` and Hugging Face folders.

``python -m magic_megatron.convert direction=to_hf|from_hf source=FOLDER target=FOLDER``: one process, no GPU,
checkpoints of any layout. One layer and one safetensors file are in memory at a time.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from magic_megatron.config.model import ModelConfig
from magic_megatron.models.checkpoint_weights import CheckpointReader, resolve_checkpoint, write_weights
from magic_megatron.models.huggingface import (
    all_weights,
    huggingface_names,
    join,
    split,
    weight_groups,
    weight_shape,
)
from magic_megatron.models.huggingface_config import generation_config, huggingface_config, model_config
from magic_megatron.models.huggingface_folder import SafetensorsReader, SafetensorsWriter
from recipes.command import InputError, make_folder, run, typed

_EMBEDDING = "embedding.word_embeddings.weight"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


@dataclass(frozen=True)
class ConvertConfig:
    """``recipes/convert.yaml``."""

    direction: Literal["to_hf", "from_hf"]
    source: str
    target: str
    dtype: Literal["float32", "bfloat16"] | None
    max_shard_bytes: int
    overwrite: bool


def main(recipe: DictConfig) -> None:
    config = typed(ConvertConfig, recipe)
    if config.max_shard_bytes < 1:
        raise InputError(f"max_shard_bytes={config.max_shard_bytes}: must be at least 1; try 5000000000")
    source, target = Path(config.source), Path(config.target)
    if not source.is_dir():
        raise InputError(f"source={source}: no such folder; give the folder to convert")
    if config.direction == "to_hf":
        source = resolve_checkpoint(source)
        print(f"reading {source}")
    _check_target(source, target, config.overwrite)
    convert = _to_huggingface if config.direction == "to_hf" else _from_huggingface
    convert(config, source, target)
    print(f"wrote {target}")


def _to_huggingface(config: ConvertConfig, source: Path, target: Path) -> None:
    reader = CheckpointReader(source, "source")
    model = _trained_model(source)
    vocab_size = reader.shape(_EMBEDDING)[0]
    shapes = {name: weight_shape(name, model, vocab_size) for name in all_weights(model)}
    _check_shapes(reader, shapes, source)
    dtype = _dtype(config.dtype, stored=reader.dtype(_EMBEDDING))
    _check_room(target, shapes, dtype)
    pad, eos = _special_tokens(source / "tokenizer")
    fields = huggingface_config(model, vocab_size=vocab_size, dtype=_name(dtype), bos=pad, eos=eos)
    with _written_aside(target) as folder:
        writer = SafetensorsWriter(folder, config.max_shard_bytes)
        for group in _progress(weight_groups(model)):
            for name, weight in reader.read(group).items():
                parts = split(name, weight.to(dtype), model)
                for part_name, part in zip(huggingface_names(name), parts, strict=True):
                    writer.add(part_name, part)
        writer.close()
        _write_json(folder / "config.json", fields)
        _write_json(folder / "generation_config.json", generation_config(bos=pad, eos=eos, pad=pad))
        _copy_tokenizer(source / "tokenizer", folder)


def _from_huggingface(config: ConvertConfig, source: Path, target: Path) -> None:
    model = _published_model(source)
    reader = SafetensorsReader(source)
    vocab_size = model.vocab_size
    assert vocab_size is not None, "config.json has it"
    shapes = {name: weight_shape(name, model, vocab_size) for name in all_weights(model)}
    reader.check(_published_shapes(shapes, model))
    dtype = _dtype(config.dtype, stored=reader.read(huggingface_names(_EMBEDDING)[0]).dtype)
    _check_room(target, shapes, dtype)
    with _written_aside(target) as folder, _progress(list(shapes)) as bar:

        def read(name: str) -> Tensor:
            bar.update()
            weight = join(name, [reader.read(part) for part in huggingface_names(name)], model)
            # A copy, for a view would keep its whole file in memory.
            return weight.clone() if len(huggingface_names(name)) == 1 else weight

        write_weights(folder, shapes, dtype, read)
        (folder / "recipe.yaml").write_text(
            yaml.safe_dump({"model": dataclasses.asdict(model)}, sort_keys=False)
        )
        _copy_tokenizer(source, folder / "tokenizer")


def _check_target(source: Path, target: Path, overwrite: bool) -> None:
    if target.resolve() == source.resolve():
        raise InputError(f"target={target}: is the source; give another folder")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise InputError(f"target={target}: exists; give another folder, or overwrite=true to replace it")
    if not any((target / name).is_file() for name in ("config.json", "metadata.json")):
        raise InputError(f"target={target}: holds no earlier conversion to overwrite; give another folder")


def _trained_model(checkpoint: Path) -> ModelConfig:
    """The ``model`` of the recipe that a checkpoint was trained with."""
    path = checkpoint / "recipe.yaml"
    if not path.is_file():
        raise InputError(f"source={checkpoint}: recipe.yaml is missing; copy it from the run's folder")
    recipe = OmegaConf.load(path)
    if not isinstance(recipe, DictConfig) or "model" not in recipe:
        raise InputError(f"source={checkpoint}: recipe.yaml has no model; copy the one of the run's folder")
    return typed(ModelConfig, recipe.model)


def _published_model(folder: Path) -> ModelConfig:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"source={folder}: config.json is missing; give the folder of a Hugging Face model")
    try:
        fields = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"source={folder}: config.json is damaged ({error}); copy it again") from error
    try:
        return model_config(fields, name=folder.resolve().name)
    except InputError as error:
        raise InputError(f"source={folder}: {error}") from error


def _published_shapes(
    shapes: Mapping[str, tuple[int, ...]], model: ModelConfig
) -> dict[str, tuple[int, ...]]:
    """Of the Hugging Face weights that Megatron's weights of ``shapes`` consist of."""
    published: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        parts = split(name, torch.empty(shape, device="meta"), model)
        published.update(zip(huggingface_names(name), (tuple(part.shape) for part in parts), strict=True))
    return published


def _check_room(target: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> None:
    needed = sum(math.prod(shape) for shape in shapes.values()) * dtype.itemsize
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"target={target}: {needed / 1e9:.3f} GB of weights, but {free / 1e9:.3f} GB are free there; make room,"
            " or choose a folder on another disk"
        )


def _check_shapes(reader: CheckpointReader, shapes: Mapping[str, tuple[int, ...]], source: Path) -> None:
    for name, expected in shapes.items():
        stored = reader.shape(name)
        if stored != expected:
            raise InputError(
                f"source={source}: {name} is {list(stored)} there, {list(expected)} by its recipe.yaml;"
                " copy the recipe.yaml of the run that wrote it"
            )


def _dtype(wanted: str | None, stored: torch.dtype) -> torch.dtype:
    return stored if wanted is None else getattr(torch, wanted)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _special_tokens(folder: Path) -> tuple[int | None, int | None]:
    """Ids of the padding token, which Qwen also names as its first, and of the one that ends an answer.

    ``None`` for what the tokenizer's files don't say.
    """
    if not all((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return None, None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    ids = []
    for key in ("pad_token", "eos_token"):
        token = settings.get(key)
        content = token["content"] if isinstance(token, dict) else token
        ids.append(None if content is None else tokenizer.token_to_id(content))
    return ids[0], ids[1]


def _copy_tokenizer(source: Path, target: Path) -> None:
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            target.mkdir(exist_ok=True)
            shutil.copy(source / name, target / name)


def _progress[T](work: list[T]) -> tqdm[T]:
    return tqdm(work, desc="convert", unit="part", mininterval=0.5 if sys.stderr.isatty() else 5)


@contextmanager
def _written_aside(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that takes its name, and its place, when everything is written."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_folder("target", target.parent)
    make_folder("target", partial)
    try:
        yield partial
    except OSError as error:
        shutil.rmtree(partial)
        raise InputError(
            f"target={target}: can't be written ({error}); make room, or choose a folder on another disk"
        ) from error
    except BaseException:
        shutil.rmtree(partial)
        raise
    if target.exists():
        replaced = target.with_name(f".{target.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
        partial.rename(target)
        shutil.rmtree(replaced)
    else:
        partial.rename(target)


def _write_json(path: Path, fields: dict[str, object]) -> None:
    path.write_text(json.dumps(fields, indent=2) + "\n")


if __name__ == "__main__":
    run("convert", main)
