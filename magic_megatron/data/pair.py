"""The files that ``data_synth.export`` wrote, opened and checked before anything is trained on them."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from megatron.core.datasets.indexed_dataset import IndexedDataset

from magic_megatron.data.mixture import IntArray
from recipes.command import InputError

FORMAT_VERSION = 1
KIND = "data_synth.export"


@dataclass(frozen=True)
class Manifest:
    """``<prefix>_manifest.json`` beside the pair.

    Attributes:
        folder: where it lies.
        domains: ``task/subtask`` names; a row's domain is an index into them.
        tokenizer_path: the tokenizer that made the tokens, in HF format.
        tokenizer_sha256: of its ``tokenizer.json``.
        vocab_size: ``len`` of that tokenizer.
        template_sha256: of its chat template.
        files: ``{name: {"bytes", "sha256"}}``.
    """

    folder: Path
    num_rows: int
    num_tokens: int
    num_loss_tokens: int
    domains: tuple[str, ...]
    tokenizer_path: Path
    tokenizer_sha256: str
    vocab_size: int
    template_sha256: str
    files: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class RowPair:
    """Tokens and labels of every row, memory-mapped, and what is known of each row.

    Attributes:
        prefix: as the user gave it in ``data.path``.
        tokens: int32 documents, one a row.
        labels: int32 documents of the same lengths: the token where it is learned, -100 elsewhere; unshifted.
        num_tokens: tokens of each row [num_rows].
        num_loss_tokens: unmasked labels of each row [num_rows].
        domain_ids: index into ``manifest.domains`` of each row [num_rows].
    """

    prefix: str
    manifest: Manifest
    tokens: IndexedDataset
    labels: IndexedDataset
    num_tokens: IntArray
    num_loss_tokens: IntArray
    domain_ids: IntArray


def open_pair(prefix: str) -> RowPair:
    """Open ``<prefix>_text_document`` and ``<prefix>_label_document`` with megatron-core's own reader.

    Raises:
        InputError: a file is missing or truncated, or the files, their rows and the manifest disagree.
    """
    manifest = read_manifest(prefix)
    tokens, labels = (_open(f"{prefix}_{kind}_document", prefix, manifest) for kind in ("text", "label"))
    num_tokens, num_loss_tokens, domain_ids = _read_rows(prefix, manifest)
    name = Path(prefix).name
    for kind, documents in (("text", tokens), ("label", labels)):
        if not np.array_equal(documents.sequence_lengths, num_tokens):
            raise _refusal(prefix, f"the rows of {kind}_document and of {name}_rows.jsonl differ")
    totals = (len(num_tokens), int(num_tokens.sum()), int(num_loss_tokens.sum()))
    if totals != (manifest.num_rows, manifest.num_tokens, manifest.num_loss_tokens):
        raise _refusal(
            prefix, f"rows, tokens and loss tokens are {totals}, {name}_manifest.json says otherwise"
        )
    return RowPair(prefix, manifest, tokens, labels, num_tokens, num_loss_tokens, domain_ids)


def read_manifest(prefix: str) -> Manifest:
    """``<prefix>_manifest.json`` of the pair, with every file that it names there in full.

    Raises:
        InputError: no pair at ``prefix``, no manifest (a killed export), or a file of another size.
    """
    folder = Path(prefix).parent
    if (Path(prefix) / "train_text_document.idx").exists():
        raise InputError(
            f"data.path={prefix}: is a folder; give the prefix of the pair: data.path={prefix}/train"
        )
    path = folder / f"{Path(prefix).name}_manifest.json"
    if not path.is_file():
        raise _refusal(prefix, f"{path} is missing, so no export has finished there")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        version, tokenizer = raw["format_version"], raw["tokenizer"]
        if raw["kind"] != KIND:
            raise ValueError(raw["kind"])
        manifest = Manifest(
            folder=folder,
            num_rows=raw.get("num_documents", raw["num_rows"]),
            num_tokens=raw["num_tokens"],
            num_loss_tokens=raw["num_loss_tokens"],
            domains=tuple(raw["domains"]),
            tokenizer_path=folder / tokenizer["path"],
            tokenizer_sha256=tokenizer["sha256"],
            vocab_size=tokenizer["vocab_size"],
            template_sha256=raw["template_sha256"],
            files=raw["files"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _refusal(prefix, f"{path} is not a manifest of an indexed export ({error!r})") from None
    if version != FORMAT_VERSION:
        raise _refusal(prefix, f"{path} has format_version {version}, this version reads {FORMAT_VERSION}")
    _check_files(prefix, manifest)
    return manifest


def check_tokenizer(manifest: Manifest, path: str | Path) -> None:
    """The tokenizer at ``path`` must be the one that made the tokens, byte for byte.

    Raises:
        InputError: there is none, or it is another one.
    """
    file = Path(path) / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"tokenizer={path}: no tokenizer.json there; use {manifest.tokenizer_path}")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != manifest.tokenizer_sha256:
        raise InputError(
            f"tokenizer={path}: sha256 {found[:12]}…, but the tokens in {manifest.folder} were made with"
            f" {manifest.tokenizer_sha256[:12]}…; use {manifest.tokenizer_path}, or run python -m"
            f" data_synth.export again with tokenizer={path}"
        )


def _check_files(prefix: str, manifest: Manifest) -> None:
    name = Path(prefix).name
    needed = [f"{name}_{kind}_document.{end}" for kind in ("text", "label") for end in ("bin", "idx")]
    for file in [*needed, f"{name}_rows.jsonl"]:
        path = manifest.folder / file
        if not path.is_file():
            raise _refusal(prefix, f"{path} is missing")
        if file not in manifest.files:
            raise _refusal(prefix, f"{name}_manifest.json doesn't list {file}")
        expected, found = manifest.files[file]["bytes"], path.stat().st_size
        if found != expected:
            kind = "truncated" if found < expected else "another file"
            raise _refusal(prefix, f"{path} has {found} bytes, {name}_manifest.json says {expected}: {kind}")


def _open(documents: str, prefix: str, manifest: Manifest) -> IndexedDataset:
    try:
        dataset = IndexedDataset(documents)
    except (AssertionError, ValueError, struct.error) as error:
        raise _refusal(prefix, f"{documents}.idx can't be read ({error})") from None
    size = manifest.files[Path(documents).name + ".bin"]["bytes"]
    if dataset.index.dtype != np.int32 or int(dataset.sequence_lengths.sum(dtype=np.int64)) * 4 != size:
        raise _refusal(prefix, f"{documents}.idx and .bin don't belong together")
    return dataset


def _read_rows(prefix: str, manifest: Manifest) -> tuple[IntArray, IntArray, IntArray]:
    """num_tokens, num_loss_tokens and domain index of each row [num_rows] each."""
    domain_of = {name: i for i, name in enumerate(manifest.domains)}
    path, found = f"{prefix}_rows.jsonl", []
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                domain = domain_of[f"{row['task']}/{row['subtask']}"]
                found.append((row["num_tokens"], row["num_loss_tokens"], domain))
            except (ValueError, KeyError, TypeError) as error:
                raise _refusal(prefix, f"{path}:{number} can't be read ({error!r})") from None
    if not found:
        raise _refusal(prefix, f"{path} has no rows")
    columns = np.array(found, dtype=np.int64).T
    return columns[0], columns[1], columns[2]


def _refusal(prefix: str, what: str) -> InputError:
    folder = Path(prefix).parent
    return InputError(
        f"data.path={prefix}: {what}; run python -m data_synth.export output_dir={folder} again"
    )
