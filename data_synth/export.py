"""``python -m data_synth.export``: rows to training files (Megatron's indexed pair, verl's parquet).

Two passes over the input: the first checks every row and keeps a sample to train a tokenizer on, the second
renders, tokenizes and writes batch by batch. Memory holds a batch, the sample and a few bytes per row.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig

from data_synth.writers.acceptance import Acceptance
from data_synth.writers.parquet import ParquetWriter
from data_synth.writers.rows import Row, Survey, read_rows, show_progress, survey
from data_synth.writers.staging import REJECTED, check_folder, staged, write_manifest
from data_synth.writers.vocabulary import CONTROL_TOKENS, check_vocab_size
from recipes.command import InputError, run, typed

FORMATS = ("indexed", "parquet")


@dataclass(frozen=True)
class ExportConfig:
    """``recipes/export.yaml``, composed. ``vocab_size`` and ``tokenizer_rows`` are for ``tokenizer=null``."""

    input: str | list[str]
    output_dir: str
    format: str | list[str]
    tokenizer: str | None
    vocab_size: int
    tokenizer_rows: int
    batch_rows: int
    num_threads: int

    @property
    def paths(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input

    @property
    def formats(self) -> list[str]:
        return [self.format] if isinstance(self.format, str) else self.format

    @property
    def trains_tokenizer(self) -> bool:
        return self.tokenizer is None and "indexed" in self.formats


class Writer(Protocol):
    """One format. ``close`` completes its files and returns what the manifest says of them."""

    def add(self, rows: list[Row]) -> None: ...

    def close(self) -> dict[str, Any]: ...


def main(config: DictConfig) -> None:
    """Export, or say what is wrong before anything in ``output_dir`` changes."""
    settings = typed(ExportConfig, config)
    _check(settings)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if settings.num_threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(settings.num_threads)
    check_folder(Path(settings.output_dir), settings.paths)
    found = survey(settings.paths, settings.tokenizer_rows if settings.trains_tokenizer else 0)
    with staged(Path(settings.output_dir)) as folder:
        manifest = _export(settings, found, folder)
        write_manifest(folder, manifest)
    print(json.dumps({key: value for key, value in manifest.items() if key.startswith("num_")}))


def _check(settings: ExportConfig) -> None:
    for name in settings.formats:
        if name not in FORMATS:
            raise InputError(f"format={name}: no such format; choose among {', '.join(FORMATS)}")
    for key, values in (("format", settings.formats), ("input", settings.paths)):
        if not values or len(set(values)) < len(values):
            raise InputError(f"{key}=[{','.join(values)}]: name one or more, each once: {key}=[a,b]")
    for key in ("tokenizer_rows", "batch_rows", "num_threads"):
        if getattr(settings, key) < 1:
            raise InputError(f"{key}={getattr(settings, key)}: must be at least 1; leave it out")
    if settings.tokenizer and "indexed" not in settings.formats:
        raise InputError(f"tokenizer={settings.tokenizer}: format=parquet writes text; leave it out")
    if settings.trains_tokenizer:
        check_vocab_size(settings.vocab_size)
    elif settings.tokenizer and not (Path(settings.tokenizer) / "tokenizer.json").is_file():
        raise InputError(
            f"tokenizer={settings.tokenizer}: no tokenizer.json there; give a folder in HF format, or"
            " tokenizer=null to train one"
        )


def _export(settings: ExportConfig, found: Survey, folder: Path) -> dict[str, Any]:
    """Write every format into ``folder``; what the manifest says of them."""
    manifest: dict[str, Any] = {}
    writers: list[Writer] = []
    control: tuple[str, ...] = CONTROL_TOKENS
    if "indexed" in settings.formats:
        indexed, control, manifest = _open_indexed(settings, found, folder)
        writers.append(indexed)
    if "parquet" in settings.formats:
        writers.append(ParquetWriter(folder))
    rows = show_progress(read_rows(settings.paths), "exporting", found.num_rows)
    with Acceptance(control, folder / REJECTED) as acceptance:
        for batch in batched(rows, settings.batch_rows):
            accepted = acceptance.filter(batch)
            for writer in writers:
                writer.add(accepted)
    for writer in writers:
        manifest |= writer.close()
    if not acceptance.num_accepted:
        raise InputError(
            f"input={','.join(settings.paths)}: all rows refused: {acceptance.last_reason}; change them"
        )
    counts = {"num_rows": acceptance.num_accepted, "num_rejected": acceptance.num_rejected}
    return {**counts, "domains": found.domains, "source": found.sha256, **manifest}


def _open_indexed(
    settings: ExportConfig, found: Survey, folder: Path
) -> tuple[Writer, tuple[str, ...], dict[str, Any]]:
    """The indexed writer, its tokenizer's control tokens, and what the manifest says of the tokenizer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # megatron-core's, that there is no GPU library
        from data_synth.writers import tokenizer
        from data_synth.writers.indexed import IndexedWriter
        from data_synth.writers.masking import ChatEncoder

    if settings.tokenizer is None:
        tokenizer.train(found.sample, settings.vocab_size, folder / "tokenizer")
    else:
        tokenizer.copy(settings.tokenizer, folder / "tokenizer")
    encoder = ChatEncoder(tokenizer.load(folder / "tokenizer", settings.tokenizer or "null"))
    encoder.check_template(settings.tokenizer or "null")
    described = tokenizer.describe(encoder.tokenizer, folder / "tokenizer")
    return IndexedWriter(folder, encoder), encoder.control_tokens(), described


if __name__ == "__main__":
    run("export", main)
