"""``python -m data_synth.export``: rows to training files (Megatron's indexed pair, verl's parquet).

One pass over the input: worker processes check, render and tokenize it batch by batch, this one writes the batches in
order, so that any number of workers gives the same bytes. Where a tokenizer is to be trained, a pass before it checks
every row and keeps a sample. Memory holds a few batches per worker, the sample and a few bytes per row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig

from data_synth.engine_workers import ordered_map
from data_synth.writers.acceptance import Acceptance
from data_synth.writers.parquet import ParquetWriter, prepare_records
from data_synth.writers.rows import Lines, Row, check_files, no_rows, read_lines, sample_rows, show_progress
from data_synth.writers.staging import REJECTED, check_folder, digest, staged, write_manifest
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
    num_workers: int

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
    """The files of one format, in this process. ``close`` completes them and returns what the manifest says."""

    def write(self, prepared: Any) -> None: ...

    def close(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Format:
    """How rows become what ``open`` (the folder) gives a writer for: ``prepare`` is the work, in any process."""

    prepare: Callable[[list[Row]], Any]
    open: Callable[[Path], Writer]


@dataclass(frozen=True)
class Batch:
    """A batch of lines, done: what each format's writer takes, and what there was."""

    prepared: list[Any]
    domains: set[str]
    num_accepted: int
    rejected: list[dict[str, str]]
    num_bytes: int


@dataclass(frozen=True)
class BatchMaker:
    """All that can be done to a batch of lines apart from the others."""

    acceptance: Acceptance
    formats: list[Format]

    def __call__(self, lines: Lines) -> Batch:
        rows = lines.rows()
        accepted, rejected = self.acceptance.split(rows)
        return Batch(
            prepared=[form.prepare(accepted) for form in self.formats],
            domains={row.domain for row in rows},
            num_accepted=len(accepted),
            rejected=rejected,
            num_bytes=lines.num_bytes,
        )


def main(config: DictConfig) -> None:
    """Export, or say what is wrong before anything in ``output_dir`` changes."""
    settings = typed(ExportConfig, config)
    _check(settings)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # num_workers processes use the cores
    check_files(settings.paths)
    check_folder(Path(settings.output_dir), settings.paths)
    sample = list[Row]()
    if settings.trains_tokenizer:
        sample = sample_rows(settings.paths, settings.tokenizer_rows, settings.batch_rows)
    with staged(Path(settings.output_dir)) as folder:
        manifest = _export(settings, sample, folder)
        write_manifest(folder, manifest)
    print(json.dumps({key: value for key, value in manifest.items() if key.startswith("num_")}))


def _check(settings: ExportConfig) -> None:
    for name in settings.formats:
        if name not in FORMATS:
            raise InputError(f"format={name}: no such format; choose among {', '.join(FORMATS)}")
    for key, values in (("format", settings.formats), ("input", settings.paths)):
        if not values or len(set(values)) < len(values):
            raise InputError(f"{key}=[{','.join(values)}]: name one or more, each once: {key}=[a,b]")
    for key in ("tokenizer_rows", "batch_rows", "num_workers"):
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


def _export(settings: ExportConfig, sample: list[Row], folder: Path) -> dict[str, Any]:
    """Write every format into ``folder``; what the manifest says of them."""
    manifest: dict[str, Any] = {}
    control: tuple[str, ...] = CONTROL_TOKENS
    formats = list[Format]()
    if "indexed" in settings.formats:
        indexed, control, manifest = _open_indexed(settings, sample, folder)
        formats.append(indexed)
    if "parquet" in settings.formats:
        formats.append(Format(prepare_records, ParquetWriter))
    maker = BatchMaker(Acceptance(control), formats)
    lines = read_lines(settings.paths, settings.batch_rows)
    batches = ordered_map(maker, lines, settings.num_workers, prepare_worker=lambda: None)
    writers = [form.open(folder) for form in formats]
    counts, domains, last_reason = {"num_rows": 0, "num_rejected": 0}, set[str](), ""
    with (folder / REJECTED).open("w", encoding="utf-8") as rejected:
        for batch in show_progress(batches, "exporting", settings.paths):
            for writer, prepared in zip(writers, batch.prepared, strict=True):
                writer.write(prepared)
            for line in batch.rejected:
                rejected.write(json.dumps(line, ensure_ascii=False) + "\n")
                last_reason = line["reason"]
            counts["num_rows"] += batch.num_accepted
            counts["num_rejected"] += len(batch.rejected)
            domains |= batch.domains
    for writer in writers:
        manifest |= writer.close()
    if not domains:
        raise no_rows(settings.paths)
    if not counts["num_rows"]:
        raise InputError(f"input={','.join(settings.paths)}: all rows refused: {last_reason}; change them")
    sources = {path: digest(Path(path)) for path in settings.paths}
    return {**counts, "domains": sorted(domains), "source": sources, **manifest}


def _open_indexed(
    settings: ExportConfig, sample: list[Row], folder: Path
) -> tuple[Format, tuple[str, ...], dict[str, Any]]:
    """The indexed format, its tokenizer's control tokens, and what the manifest says of the tokenizer."""
    from data_synth.writers import tokenizer
    from data_synth.writers.indexed import IndexedPreparer, IndexedWriter
    from data_synth.writers.masking import ChatEncoder

    if settings.tokenizer is None:
        tokenizer.train(sample, settings.vocab_size, folder / "tokenizer")
    else:
        tokenizer.copy(settings.tokenizer, folder / "tokenizer")
    encoder = ChatEncoder(tokenizer.load(folder / "tokenizer", settings.tokenizer or "null"))
    encoder.check_template(settings.tokenizer or "null")
    described = tokenizer.describe(encoder.tokenizer, folder / "tokenizer")
    return Format(IndexedPreparer(encoder), IndexedWriter), encoder.control_tokens(), described


if __name__ == "__main__":
    run("export", main)
