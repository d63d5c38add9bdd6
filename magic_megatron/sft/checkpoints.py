"""Checkpoints of a run: Megatron-Core's sharded format; which are there, which is whole, and going on from it.

``output_dir/checkpoints/step_0000100/`` is complete because it has that name: ``saving`` writes it as
``.step_0000100.partial`` and renames it when every rank is done. Beside the shards lie ``recipe.yaml``,
``trainer.json``, the tokenizer, and ``integrity.json`` with the SHA-256 of all of them.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
import yaml

from magic_megatron.sft.integrity import find_damage
from recipes.command import InputError

_FOLDER = re.compile(r"step_(\d{7,})")


@dataclass(frozen=True)
class CheckpointRecord:
    """What a checkpoint says of the run that wrote it."""

    recipe: dict[str, Any]
    trainer: dict[str, Any]


def complete_checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoint folders of a run, oldest first."""
    folder = output_dir / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _FOLDER.fullmatch(path.name)), key=step_of)


def step_of(checkpoint: Path) -> int:
    """Training steps behind a checkpoint, from its folder's name."""
    match = _FOLDER.fullmatch(checkpoint.name)
    assert match is not None, checkpoint
    return int(match.group(1))


def newest_record(output_dir: Path) -> tuple[Path, CheckpointRecord] | None:
    """The newest checkpoint whose own account can be read; ``None`` if there is no checkpoint at all.

    Raises:
        InputError: none of those that are there can be read.
    """
    damage = {}
    for checkpoint in reversed(complete_checkpoints(output_dir)):
        try:
            recipe = yaml.safe_load((checkpoint / "recipe.yaml").read_text())
            trainer = json.loads((checkpoint / "trainer.json").read_text())
            return checkpoint, CheckpointRecord(dict(recipe), dict(trainer))
        except OSError as error:
            damage[checkpoint] = f"{Path(error.filename).name}: {error.strerror}"
        except (ValueError, TypeError, yaml.YAMLError) as error:
            damage[checkpoint] = " ".join(str(error).split())
    if damage:
        raise _none_is_whole(output_dir, damage)
    return None


def newest_whole(output_dir: Path) -> Path:
    """The newest checkpoint of a run that has some, all of whose files are as they were written. Collective.

    Those that are damaged are named and set aside as ``step_0000100.damaged``.

    Raises:
        InputError: none is whole; they are left as they are.
    """
    listed = [complete_checkpoints(output_dir)]
    dist.broadcast_object_list(listed, src=0)
    damage: dict[Path, str] = {}
    for checkpoint in reversed(listed[0]):
        found = find_damage(checkpoint)
        if found is None:
            if dist.get_rank() == 0:
                _set_aside(damage, checkpoint)
            return checkpoint
        damage[checkpoint] = found
    raise _none_is_whole(output_dir, damage)


def _set_aside(damage: dict[Path, str], used: Path) -> None:
    for checkpoint, found in damage.items():
        aside = checkpoint.with_name(f"{checkpoint.name}.damaged")
        number = 1
        while aside.exists():
            number += 1
            aside = checkpoint.with_name(f"{checkpoint.name}.damaged{number}")
        checkpoint.rename(aside)
        print(
            f"warning: checkpoint {checkpoint} is damaged ({found}); set aside as {aside.name}, going on from"
            f" {used.name}",
            file=sys.stderr,
        )


def _none_is_whole(output_dir: Path, damage: dict[Path, str]) -> InputError:
    listed = ", ".join(f"{path.name} ({found})" for path, found in damage.items())
    return InputError(
        f"output_dir={output_dir}: no checkpoint of the run there is whole: {listed}; copy one back, or start anew"
        " in another output_dir"
    )
