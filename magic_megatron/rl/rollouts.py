"""Rollouts on disk: ``<output_dir>/rollouts/000012.jsonl`` has the samples of step 12, one assistant turn a line.

The trainer writes them, ``train_only`` replays them token by token, ``python -m magic_megatron.rl.show`` shows them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recipes.command import InputError

FOLDER = "rollouts"
_MOST_HELD = 4  # tokens that can share a character: UTF-8 has no longer one than four bytes


@dataclass(frozen=True)
class Sample:
    """One assistant turn of one episode. A task of a single turn has ``turn`` 0 alone.

    Attributes:
        step: training step that it was drawn for, from 1.
        group: row or instance id; the samples of a step with the same group are compared with one another.
        sample: place within the group, from 0. All turns of an episode share it.
        prompt_ids: what the engine was given, without padding: [P].
        response_ids: what it sampled, the token that ended it included: [T].
        tokens: texts of the response's tokens, as ``TokenTexts`` cuts them: [T].
        log_probs: of the sampled tokens under the rollout's policy, nats: [T]; None where they weren't asked for, and
            a None within where the value wasn't finite.
        entropies: of the trainer's policy at each token, nats: [T]; None as above.
        segments: 0 neither, 1 think, 2 action: [T].
        reward: of the episode where this is its last turn; earlier turns may say 0. Before advantages.
        parts: the reward's parts, each in [0, 1]; a part that the task doesn't have is absent or None.
        reason: one line for people.
        advantage: of every token of the response; None before advantages were computed.
        won: whether the episode ended in success; None outside environments, as is ``valid``.
        valid: whether the turn's action was admissible.
        lost: the environment broke off, so that the episode isn't in the loss.
    """

    step: int
    group: str
    sample: int
    turn: int
    task: str
    prompt: str
    response: str
    prompt_ids: list[int]
    response_ids: list[int]
    tokens: list[str]
    log_probs: list[float | None] | None
    entropies: list[float | None] | None
    segments: list[int]
    reward: float
    parts: dict[str, float | None]
    reason: str
    advantage: float | None
    won: bool | None
    valid: bool | None
    lost: bool

    def __post_init__(self) -> None:
        for name in ("tokens", "segments", "log_probs", "entropies"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.response_ids):
                raise ValueError(f"{name} has {len(values)} values for {len(self.response_ids)} response_ids")


_SAMPLE = TypeAdapter(Sample)
_NULLABLE = ("log_probs", "entropies", "advantage", "won", "valid")


class RolloutWriter:
    """Writes a step's samples in one piece: the file of a step is whole, or it isn't there."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is made where it isn't there; a run's is ``output_dir/rollouts``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def write(self, step: int, samples: Iterable[Sample]) -> Path:
        """Write, or replace after a resume, the file of ``step``; numbers that aren't finite become null.

        Returns:
            The file, on disk when this returns.

        Raises:
            OSError: the disk is full, or the folder can't be written.
        """
        path = self.folder / f"{step:06d}.jsonl"
        partial = path.with_suffix(".jsonl.partial")
        with partial.open("wb") as file:
            for sample in samples:
                assert sample.step == step, f"a sample of step {sample.step} among those of step {step}"
                file.write(_encode(sample))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return path


def read(
    paths: str | Path | Sequence[str | Path], steps: Container[int] | None = None, *, key: str = "rollouts"
) -> Iterator[Sample]:
    """Samples in the order of the files and their lines, one in memory at a time.

    Args:
        paths: run folders, their ``rollouts`` folders, or files, as ``key`` of a recipe names them.
        steps: only samples of these; None for all. Files named after another step aren't opened.

    Raises:
        InputError: there are no rollouts, or a line isn't a sample; it names file, line and field.
    """
    listed = [paths] if isinstance(paths, str | Path) else paths
    for path in listed:
        for file in _files(key, Path(path), steps):
            yield from (sample for sample in _read_file(key, file) if steps is None or sample.step in steps)


class TokenTexts:
    """Texts of single tokens that join to the text of the whole.

    A character whose bytes are spread over several tokens stands whole with its last token, and the tokens before have
    an empty text. Tokenizers that decode a token differently at the start of a text (SentencePiece) aren't meant.
    """

    def __init__(self, tokenizer: Any) -> None:
        """``tokenizer``: one of transformers, byte-level as Qwen's."""
        self._tokenizer = tokenizer
        self._whole: dict[int, str] = {}

    def __call__(self, token_ids: Sequence[int]) -> list[str]:
        """[T] ids to [T] texts, special tokens as they are written."""
        texts = [""] * len(token_ids)
        start = 0
        for place, token in enumerate(token_ids):
            held = token_ids[start : place + 1]
            text = self._decode_one(token) if len(held) == 1 else self._decode(held)
            if "\ufffd" in text and len(held) < _MOST_HELD and place + 1 < len(token_ids):
                continue
            texts[place], start = text, place + 1
        return texts

    def _decode_one(self, token: int) -> str:
        if token not in self._whole:
            self._whole[token] = self._decode([token])
        return self._whole[token]

    def _decode(self, token_ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def _encode(sample: Sample) -> bytes:
    """A line of strict JSON in UTF-8; escaped where a text holds half a surrogate pair, as a model may emit."""
    record = {field.name: getattr(sample, field.name) for field in fields(sample)}
    for name in ("log_probs", "entropies"):
        if record[name] is not None:
            record[name] = [_finite(value) for value in record[name]]
    record["advantage"] = _finite(record["advantage"])
    try:
        return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(record, allow_nan=False) + "\n").encode()


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _files(key: str, path: Path, steps: Container[int] | None) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{key}={path}: not there; give a run's output_dir, its {FOLDER} folder, or a file")
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    numbered = sorted((int(file.stem), file) for file in folder.glob("*.jsonl") if file.stem.isdecimal())
    if not numbered:
        raise InputError(
            f"{key}={path}: no {FOLDER}/000001.jsonl or the like; give the output_dir of a run that has saved rollouts"
        )
    chosen = [file for step, file in numbered if steps is None or step in steps]
    if not chosen:
        first, last = numbered[0][0], numbered[-1][0]
        raise InputError(
            f"{key}={path}: none of the wanted steps; it has {len(numbered)} from {first} to {last}"
        )
    return chosen


def _read_file(key: str, path: Path) -> Iterator[Sample]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _parse(line)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{key}={path}: line {number}: {_explain(error)}; the file isn't whole or has another format,"
                    " leave it out or make it again"
                ) from None


def _parse(line: bytes) -> Sample:
    record = json.loads(line)
    return _SAMPLE.validate_python(dict.fromkeys(_NULLABLE) | record if isinstance(record, dict) else record)


def _explain(error: ValueError | RecursionError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return f"no JSON ({error})"
