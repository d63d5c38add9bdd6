"""The packed dataset against a naive loop, its layout independence, and what it refuses."""

from __future__ import annotations

import json
import shutil
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from export_rows import example_rows, export
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder

from magic_megatron.data.batch import collate
from magic_megatron.data.dataset import PackedDataset
from magic_megatron.data.pair import check_tokenizer, read_manifest
from magic_megatron.data.summary import tell_summary
from recipes.command import InputError

T = 512
PER_TOKEN = ("tokens", "labels", "loss_mask", "position_ids", "token_mask", "domain_ids")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return export(tmp_path_factory.mktemp("dataset"), example_rows(200))


@pytest.fixture(scope="module")
def dataset(exported) -> PackedDataset:
    return PackedDataset(f"{exported}/train", T, seed=3, pad_multiple=8, mixture=None)


def test_every_pack_equals_the_naive_loop(exported, dataset):
    text, label = (IndexedDataset(f"{exported}/train_{kind}_document") for kind in ("text", "label"))
    lines = map(json.loads, (exported / "train_rows.jsonl").read_text("utf-8").splitlines())
    domains = [f"scheduling/{line['subtask']}" for line in lines]
    for index in range(2 * dataset.num_packs(1)):
        pack, position, expected = dataset[index], 0, {name: [] for name in PER_TOKEN}
        starts = [0]
        rows = dataset.rows_of(index).tolist()
        for row in rows:
            length = len(text[row])
            padded = length + (-length) % 8 if row != rows[-1] else T - position
            for t in range(padded):
                is_real = t < length
                learned = t + 1 < length and label[row][t + 1] != -100
                expected["tokens"].append(text[row][t] if is_real else 0)
                expected["labels"].append(text[row][t + 1] if learned else -100)
                expected["loss_mask"].append(float(learned))
                expected["position_ids"].append(t)
                expected["token_mask"].append(is_real)
                expected["domain_ids"].append(dataset.manifest.domains.index(domains[row]) if is_real else -1)
            position += padded
            starts.append(position)
        for name in PER_TOKEN:
            assert getattr(pack, name).tolist() == expected[name], name
        assert pack.cu_seqlens_padded.tolist() == starts
        assert pack.max_seqlen == max(np.diff(starts))


def test_an_epoch_holds_every_row_once(dataset):
    for epoch in range(2):
        packs = range(epoch * dataset.num_packs(1), (epoch + 1) * dataset.num_packs(1))
        assert sorted(row for i in packs for row in dataset.rows_of(i)) == list(range(215))
    assert dataset.rows_of(0).tolist() != dataset.rows_of(dataset.num_packs(1)).tolist()


def test_same_seed_same_packs(exported, dataset):
    again = PackedDataset(f"{exported}/train", T, seed=3, pad_multiple=8, mixture=None)
    other = PackedDataset(f"{exported}/train", T, seed=4, pad_multiple=8, mixture=None)
    order = [dataset.rows_of(i).tolist() for i in range(dataset.num_packs(1))]
    assert [again.rows_of(i).tolist() for i in range(again.num_packs(1))] == order
    assert [other.rows_of(i).tolist() for i in range(other.num_packs(1))] != order


def test_a_microbatch_is_one_thd_sequence(dataset):
    batch = collate([dataset[0], dataset[1]])
    params = batch.packed_seq_params
    assert params.qkv_format == "thd"
    assert params.cu_seqlens_q_padded.dtype == params.cu_seqlens_q.dtype == torch.int32
    assert params.cu_seqlens_q_padded[-1] == 2 * T == batch.tokens.shape[1]
    assert torch.equal(params.cu_seqlens_q, params.cu_seqlens_q_padded)
    assert torch.equal(params.cu_seqlens_kv_padded, params.cu_seqlens_q_padded)
    rows = len(dataset.rows_of(0)) + len(dataset.rows_of(1))
    assert len(params.cu_seqlens_q) == len(params.cu_seqlens_q_padded) == rows + 1
    starts = params.cu_seqlens_q_padded[:-1].long()
    assert (batch.position_ids[0, starts] == 0).all()
    assert torch.equal(batch.padding_mask, ~batch.token_mask)
    assert params.max_seqlen_q == torch.diff(params.cu_seqlens_q_padded).max()


@pytest.mark.parametrize("cp", [1, 2, 4])
def test_context_parallel_parts_are_the_whole(dataset, cp):
    """Rank r holds chunks r and 2·cp-1-r of every row, in this order."""
    batch = collate([dataset[2], dataset[3]])
    starts = batch.packed_seq_params.cu_seqlens_q_padded.tolist()
    held = [[] for _ in range(cp)]
    for first, last in pairwise(starts):
        chunk = (last - first) // (2 * cp)
        for rank in range(cp):
            for part in (rank, 2 * cp - 1 - rank):
                held[rank] += range(first + part * chunk, first + (part + 1) * chunk)
    assert sorted(chain(*held)) == list(range(2 * T))
    for rank in range(cp):
        part = batch.context_parallel_part(cp, rank)
        for name in (*PER_TOKEN, "padding_mask"):
            assert torch.equal(getattr(part, name), getattr(batch, name)[:, held[rank]]), name
        assert part.packed_seq_params is batch.packed_seq_params


def test_a_batch_moves_whole(dataset):
    moved = collate([dataset[0]]).to("meta")
    assert moved.tokens.device.type == moved.packed_seq_params.cu_seqlens_q_padded.device.type == "meta"


def test_long_rows_are_dropped_and_counted(exported, dataset):
    lengths = np.array(
        [json.loads(line)["num_tokens"] for line in (exported / "train_rows.jsonl").read_text().splitlines()]
    )
    assert dataset.dropped == {}
    short = PackedDataset(f"{exported}/train", 48, seed=0, pad_multiple=8, mixture=None)
    assert sum(short.dropped.values()) == (lengths > 48).sum() > 0
    kept = sorted(row for i in range(short.num_packs(1)) for row in short.rows_of(i))
    assert kept == np.flatnonzero(lengths <= 48).tolist()


def test_the_summary_counts_what_an_epoch_sees(exported, dataset):
    rows = [json.loads(line) for line in (exported / "train_rows.jsonl").read_text().splitlines()]
    weights = {"scheduling": 2, "scheduling/trip": 0.5}
    mixed = PackedDataset(f"{exported}/train", 64, seed=3, pad_multiple=8, mixture=weights)
    summary = mixed.summary()
    seen = [row for i in range(mixed.num_packs(1)) for row in mixed.rows_of(i)]
    assert summary["num_rows_per_epoch"] == len(seen)
    assert summary["num_tokens_per_epoch"] == sum(rows[row]["num_tokens"] for row in seen)
    assert summary["fill"] == summary["num_tokens_per_epoch"] / (64 * summary["num_packs_per_epoch"])
    assert summary["num_dropped"] == sum(row["num_tokens"] > 64 for row in rows) > 0
    for domain, entry in summary["domains"].items():
        own = [row for row in rows if f"scheduling/{row['subtask']}" == domain]
        assert entry["num_rows"] == len(own)
        assert entry["num_dropped"] == sum(row["num_tokens"] > 64 for row in own)
        assert entry["weight"] == (0.5 if domain == "scheduling/trip" else 2)
        tokens = sum(rows[row]["num_tokens"] for row in seen if rows[row]["subtask"] == domain.split("/")[1])
        assert entry["num_tokens_per_epoch"] == tokens
    assert dataset.summary()["num_tokens_per_epoch"] == dataset.manifest.num_tokens


def test_the_summary_is_written_and_told(exported, tmp_path, capsys):
    tell_summary(short := PackedDataset(f"{exported}/train", 64, 0, 8, None), tmp_path)
    assert json.loads((tmp_path / "data_summary.json").read_text("utf-8")) == short.summary()
    told, dropped = capsys.readouterr().out.splitlines()
    assert told.startswith(f"data: an epoch has {short.summary()['num_rows_per_epoch']:,} rows, ")
    assert f"{sum(short.dropped.values())} of 215 rows are longer and left out (scheduling/" in dropped


@pytest.mark.parametrize(
    ("sequence_length", "pad_multiple", "message"),
    [
        (
            100,
            8,
            "data.sequence_length=100: must divide by data.pad_multiple=8; try data.sequence_length=104",
        ),
        (16, 8, "data.sequence_length=16: none of the 215 rows of .* fits, the shortest has .*=1024"),
    ],
)
def test_impossible_lengths_are_refused(exported, sequence_length, pad_multiple, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        PackedDataset(f"{exported}/train", sequence_length, 0, pad_multiple, None)


def test_a_negative_seed_is_refused(exported):
    with pytest.raises(InputError, match=r"^train\.seed=-3: must not be negative; try train\.seed=3$"):
        PackedDataset(f"{exported}/train", T, -3, 8, None)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def change_manifest(folder: Path, **fields: object) -> None:
    path = folder / "train_manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), encoding="utf-8")


def rebuild_labels(folder: Path, lengths: list[int]) -> None:
    """Another label document, and a manifest that knows its size."""
    builder = IndexedDatasetBuilder(str(folder / "train_label_document.bin"), dtype=np.int32)
    for length in lengths:
        builder.add_document(torch.zeros(length, dtype=torch.int32), [length])
    builder.finalize(str(folder / "train_label_document.idx"))
    accept_sizes(folder)


def accept_sizes(folder: Path) -> None:
    files = json.loads((folder / "train_manifest.json").read_text("utf-8"))["files"]
    change_manifest(folder, files={n: e | {"bytes": (folder / n).stat().st_size} for n, e in files.items()})


def swap_index(folder: Path) -> None:
    (folder / "train_text_document.idx").write_bytes(b"NOTANIDX" * 100)
    accept_sizes(folder)


def cut_bin(folder: Path) -> None:
    truncate(folder / "train_text_document.bin")
    accept_sizes(folder)


def change_rows(folder: Path, old: str, new: str) -> None:
    path = folder / "train_rows.jsonl"
    path.write_text(path.read_text("utf-8").replace(old, new, 1), encoding="utf-8")
    accept_sizes(folder)


DAMAGES = {
    "no manifest": (
        lambda d: (d / "train_manifest.json").unlink(),
        "train_manifest.json is missing, so no export has finished",
    ),
    "broken manifest": (lambda d: truncate(d / "train_manifest.json"), "not a manifest of an indexed export"),
    "newer format": (
        lambda d: change_manifest(d, format_version=2),
        "has format_version 2, this version reads 1",
    ),
    "missing labels": (lambda d: (d / "train_label_document.bin").unlink(), "label_document.bin is missing"),
    "unlisted file": (
        lambda d: change_manifest(d, files={}),
        "train_manifest.json doesn't list train_text_document.bin",
    ),
    "truncated tokens": (
        lambda d: truncate(d / "train_text_document.bin"),
        "bytes, train_manifest.json says .*: truncated",
    ),
    "truncated index": (lambda d: truncate(d / "train_label_document.idx"), "idx has .*: truncated"),
    "garbage index": (swap_index, "train_text_document.idx can't be read"),
    "bin of another index": (cut_bin, "train_text_document.idx and .bin don't belong together"),
    "labels of other rows": (
        lambda d: rebuild_labels(d, [5, 6]),
        "rows of label_document and of train_rows.jsonl",
    ),
    "unreadable row": (lambda d: change_rows(d, "{", "["), "train_rows.jsonl:1 can't be read"),
    "unknown domain": (
        lambda d: change_rows(d, '"trip"', '"tour"'),
        "train_rows.jsonl:.* can't be read .*tour",
    ),
    "no rows": (lambda d: ((d / "train_rows.jsonl").write_text(""), accept_sizes(d)), "has no rows"),
    "other totals": (lambda d: change_manifest(d, num_tokens=7), "rows, tokens and loss tokens are"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_exports_are_refused(exported, tmp_path, damage):
    folder = shutil.copytree(exported, tmp_path / "out")
    apply, message = DAMAGES[damage]
    apply(folder)
    again = f"; run python -m data_synth.export output_dir={folder} again$"
    with pytest.raises(InputError, match=f"^data.path={folder}/train: .*{message}.*{again}"):
        PackedDataset(f"{folder}/train", T, 0, 8, None)


def test_labels_that_contradict_their_count_are_refused(exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "out")
    rebuild_labels(folder, [len(tokens) for tokens in IndexedDataset(str(folder / "train_text_document"))])
    with pytest.raises(InputError, match=r"have \d+ labels, their _rows.jsonl says \d+; run python -m"):
        PackedDataset(f"{folder}/train", T, 0, 8, None)[0]


def test_a_folder_for_a_prefix_is_explained(exported):
    with pytest.raises(
        InputError, match=f"^data.path={exported}: is a folder; .*: data.path={exported}/train$"
    ):
        PackedDataset(str(exported), T, 0, 8, None)


def test_only_the_tokenizer_that_made_the_tokens_will_do(exported, tmp_path):
    manifest = read_manifest(f"{exported}/train")
    check_tokenizer(manifest, manifest.tokenizer_path)
    with pytest.raises(
        InputError, match=f"^tokenizer={tmp_path}: no tokenizer.json there; use {exported}/tokenizer"
    ):
        check_tokenizer(manifest, tmp_path)
    other = export(tmp_path, example_rows(5)) / "tokenizer"
    with pytest.raises(
        InputError, match=f"^tokenizer={other}: sha256 .* were made with .*; use {exported}/tokenizer"
    ):
        check_tokenizer(manifest, other)
