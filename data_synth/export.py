"""``python -m data_synth.export``: rows to training files (Megatron's indexed pair, packs, verl's parquet, messages).

One pass over the input: worker processes check, render and tokenize it batch by batch, this one writes the batches in
order, so that any number of workers gives the same bytes. Where a tokenizer is to be trained, a pass before it checks
every row and keeps a sample. Memory holds a few batches per worker, the sample and a few bytes per row.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig

from data_synth.card import CARD, write_export_card
from data_synth.engine_workers import map_in_processes
from data_synth.output_folder import file_digest
from data_synth.writers.acceptance import Acceptance
from data_synth.writers.documents import Reasoning
from data_synth.writers.messages import MessagesPreparer, MessagesWriter
from data_synth.writers.parquet import ParquetWriter, RecordsPreparer, Turns
from data_synth.writers.rows import Lines, Row, check_files, no_rows, read_lines, sample_rows, show_progress
from data_synth.writers.staging import (
    REJECTED,
    check_folder,
    files_of_earlier,
    staged,
    write_manifest,
)
from data_synth.writers.vocabulary import CONTROL_TOKENS, check_vocab_size
from recipes.command import InputError, run, typed

FORMATS = ("indexed", "packed", "parquet", "messages")
TOKENIZED = ("indexed", "packed")
SHOWN_PER_DOMAIN = 3
"""Rows of each domain in ``train_report.html``: the first."""


@dataclass(frozen=True)
class ExportConfig:
    """``recipes/export.yaml``, composed. ``vocab_size`` and ``tokenizer_rows`` are for ``tokenizer=null``."""

    input: str | list[str]
    output_dir: str
    format: str | list[str]
    reasoning: Reasoning
    turns: Turns
    pack_size: int
    pack_multiple: int
    pack_window: int
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
    def tokenized(self) -> list[str]:
        return [name for name in self.formats if name in TOKENIZED]

    @property
    def trains_tokenizer(self) -> bool:
        return self.tokenizer is None and bool(self.tokenized)


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
    shown: list[Row]
    num_bytes: int


@dataclass(frozen=True)
class BatchMaker:
    """All that can be done to a batch of lines apart from the others."""

    acceptance: Acceptance
    formats: list[Format]
    num_shown: Counter[str] = field(default_factory=Counter)

    def __call__(self, lines: Lines) -> Batch:
        rows = lines.rows()
        accepted, rejected = self.acceptance.split(rows)
        return Batch(
            prepared=[form.prepare(accepted) for form in self.formats],
            domains={row.domain for row in rows},
            num_accepted=len(accepted),
            rejected=rejected,
            shown=self._shown(accepted),
            num_bytes=lines.num_bytes,
        )

    def _shown(self, rows: list[Row]) -> list[Row]:
        """Rows of which this process has seen fewer than are shown; all that come first are among them."""
        shown = []
        for row in rows:
            if self.num_shown[row.domain] < SHOWN_PER_DOMAIN:
                self.num_shown[row.domain] += 1
                shown.append(row)
        return shown


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
    output_dir = Path(settings.output_dir)
    has_own_card = (output_dir / CARD).exists() and CARD not in files_of_earlier(output_dir)
    with staged(output_dir) as folder:
        manifest = _export(settings, sample, folder)
        if not has_own_card:
            files = [path.name for path in folder.iterdir()]
            write_export_card(folder, {**manifest, "files": files}, [Path(path) for path in settings.paths])
        write_manifest(folder, manifest)
    print(json.dumps({key: value for key, value in manifest.items() if key.startswith("num_")}))
    if num_too_long := manifest.get("packed", {}).get("num_too_long", 0):
        print(
            f"pack_size={settings.pack_size}: {num_too_long} documents are longer and in no pack; raise it",
            file=sys.stderr,
        )


def _check(settings: ExportConfig) -> None:
    for name in settings.formats:
        if name not in FORMATS:
            raise InputError(f"format={name}: no such format; choose among {', '.join(FORMATS)}")
    for key, values in (("format", settings.formats), ("input", settings.paths)):
        if not values or len(set(values)) < len(values):
            raise InputError(f"{key}=[{','.join(values)}]: name one or more, each once: {key}=[a,b]")
    positive = ("pack_size", "pack_multiple", "pack_window", "tokenizer_rows", "batch_rows", "num_workers")
    for key in positive:
        if getattr(settings, key) < 1:
            raise InputError(f"{key}={getattr(settings, key)}: must be at least 1; leave it out")
    if settings.pack_size % settings.pack_multiple:
        raise InputError(
            f"pack_multiple={settings.pack_multiple}: must divide pack_size={settings.pack_size}; try a power of 2"
        )
    if settings.tokenizer and not settings.tokenized:
        formats = ",".join(settings.formats)
        raise InputError(f"tokenizer={settings.tokenizer}: format={formats} writes text; leave it out")
    if settings.trains_tokenizer:
        check_vocab_size(settings.vocab_size)
    elif settings.tokenizer and not (Path(settings.tokenizer) / "tokenizer.json").is_file():
        raise InputError(
            f"tokenizer={settings.tokenizer}: no tokenizer.json there; give a folder in HF format, or"
            " tokenizer=null to train one"
        )


def _export(settings: ExportConfig, sample: list[Row], folder: Path) -> dict[str, Any]:
    """Write every format into ``folder``; what the manifest says of them."""
    tokens = TokenFormats(settings, sample, folder) if settings.tokenized else None
    formats = [tokens.format] if tokens else []
    if "parquet" in settings.formats:
        formats.append(Format(RecordsPreparer(settings.turns), ParquetWriter))
    if "messages" in settings.formats:
        formats.append(Format(MessagesPreparer(settings.reasoning), MessagesWriter))
    maker = BatchMaker(Acceptance(tokens.control if tokens else CONTROL_TOKENS), formats)
    counts, shown = _write(settings, maker, [form.open(folder) for form in formats], folder)
    manifest = {**counts, "source": {path: file_digest(Path(path)) for path in settings.paths}}
    if tokens:
        from data_synth.report.tokens import write_token_report

        write_token_report(folder, shown, tokens.encoder)
        manifest |= tokens.described
    return manifest


def _write(
    settings: ExportConfig, maker: BatchMaker, writers: list[Writer], folder: Path
) -> tuple[dict[str, Any], list[Row]]:
    """Everything through ``maker`` into ``writers``: what there was, and the first rows of each domain."""
    lines = read_lines(settings.paths, settings.batch_rows)
    batches = map_in_processes(maker, lines, settings.num_workers, prepare_worker=lambda: None)
    domains, last_reason, num_rows, num_rejected = Counter[str](), "", 0, 0
    shown = dict[str, list[Row]]()
    with (folder / REJECTED).open("w", encoding="utf-8") as rejected:
        for batch in show_progress(batches, "exporting", settings.paths):
            for writer, prepared in zip(writers, batch.prepared, strict=True):
                writer.write(prepared)
            for line in batch.rejected:
                rejected.write(json.dumps(line, ensure_ascii=False) + "\n")
                last_reason = line["reason"]
            for row in batch.shown:
                shown.setdefault(row.domain, []).append(row)
            num_rows += batch.num_accepted
            num_rejected += len(batch.rejected)
            domains.update(batch.domains)
    manifest: dict[str, Any] = {
        "num_rows": num_rows,
        "num_rejected": num_rejected,
        "domains": sorted(domains),
    }
    for writer in writers:
        manifest |= writer.close()
    if not domains:
        raise no_rows(settings.paths)
    if not num_rows:
        raise InputError(f"input={','.join(settings.paths)}: all rows refused: {last_reason}; change them")
    return manifest, [row for rows in shown.values() for row in rows[:SHOWN_PER_DOMAIN]]


class TokenFormats:
    """The formats of tokens, which share their documents: the tokenizer in ``folder`` and what is made with it."""

    def __init__(self, settings: ExportConfig, sample: list[Row], folder: Path) -> None:
        from data_synth.writers import tokenizer
        from data_synth.writers.indexed import IndexedPreparer
        from data_synth.writers.masking import ChatEncoder

        if settings.tokenizer is None:
            tokenizer.train(sample, settings.vocab_size, folder / "tokenizer")
        else:
            tokenizer.copy(settings.tokenizer, folder / "tokenizer")
        origin = settings.tokenizer or "null"
        self.encoder = ChatEncoder(tokenizer.load(folder / "tokenizer", origin), settings.reasoning)
        self.encoder.check_template(origin)
        self.control = self.encoder.control_tokens()
        self.described = {
            "reasoning": settings.reasoning,
            **tokenizer.describe(self.encoder.tokenizer, folder / "tokenizer"),
        }
        self.format = Format(IndexedPreparer(self.encoder), self._open)
        self._settings = settings

    def _open(self, folder: Path) -> Writer:
        writers = list[Writer]()
        if "indexed" in self._settings.formats:
            from data_synth.writers.indexed import IndexedWriter

            writers.append(IndexedWriter(folder))
        if "packed" in self._settings.formats:
            from data_synth.writers.packed import PackedWriter, PackSettings

            packs = PackSettings(
                self._settings.pack_size, self._settings.pack_multiple, self._settings.pack_window
            )
            writers.append(PackedWriter(folder, packs, pad=self.encoder.tokenizer.eos_token_id))
        return _Several(writers)


@dataclass(frozen=True)
class _Several:
    """Writers that take the same."""

    writers: list[Writer]

    def write(self, prepared: Any) -> None:
        for writer in self.writers:
            writer.write(prepared)

    def close(self) -> dict[str, Any]:
        return {key: value for writer in self.writers for key, value in writer.close().items()}


if __name__ == "__main__":
    run("export", main)
