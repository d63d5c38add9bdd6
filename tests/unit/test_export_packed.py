"""Packs as Megatron-Bridge reads them: the documents of the indexed pair, shifted, none cut, lost or repeated."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_rows import dialogue_row, example_rows, export
from hypothesis import given
from hypothesis import strategies as st
from megatron.core.datasets.indexed_dataset import IndexedDataset

from data_synth.writers.packing import best_fit_decreasing
from recipes.command import InputError

ROWS = [*example_rows(40), *(dialogue_row(i) for i in range(40))]


@given(st.lists(st.integers(1, 50), max_size=60))
def test_packs_are_those_of_a_plain_search(lengths):
    """The twin looks at every pack for the fullest that still takes the sequence, the earliest of equals."""
    packs = list[list[int]]()
    for position in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
        rooms = [(50 - sum(lengths[p] for p in pack), number) for number, pack in enumerate(packs)]
        fitting = [entry for entry in rooms if entry[0] >= lengths[position]]
        if fitting:
            packs[min(fitting)[1]].append(position)
        else:
            packs.append([position])
    found = best_fit_decreasing(lengths, 50)
    assert found == packs
    assert sorted(p for pack in found for p in pack) == list(range(len(lengths)))
    assert sum(2 * sum(lengths[p] for p in pack) <= 50 for pack in found) <= 1


def read(folder: Path) -> list[dict[str, list[int]]]:
    return pq.read_table(folder / "train_packed.idx.parquet").to_pylist()


def sequences_of(pack: dict[str, list[int]]) -> list[tuple[list[int], list[int], list[int]]]:
    """Inputs, labels and mask of each sequence, as ``GPTSFTPackedDataset.collate_fn`` cuts them."""
    bounds = [*pack["seq_start_id"], len(pack["input_ids"])]
    found = []
    for start, end in pairwise(bounds):
        ids, mask = pack["input_ids"][start:end], pack["loss_mask"][start:end]
        found.append((ids[:-1], ids[1:], mask[:-1]))
    return found


@pytest.mark.parametrize(
    "overrides", [[], ["pack_window=1", "pack_size=512"], ["pack_multiple=8", "num_workers=2"]]
)
def test_a_reader_gets_the_documents_of_the_pair(tmp_path, overrides):
    folder = export(tmp_path, ROWS, "format=[indexed,packed]", "pack_size=1024", *overrides)
    tokens, labels = (IndexedDataset(str(folder / f"train_{kind}_document")) for kind in ("text", "label"))
    multiple = 8 if "pack_multiple=8" in overrides else 1
    size = 512 if overrides and "512" in overrides[-1] else 1024
    pad = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    end = next(token["id"] for token in pad["added_tokens"] if token["content"] == "<|im_end|>")
    expected, too_long = Counter[tuple[tuple[int, ...], ...]](), 0
    for ids, learned in zip(tokens, labels, strict=True):
        num_pad = -(len(ids) - 1) % multiple
        if len(ids) - 1 + num_pad > size:
            too_long += 1
            continue
        inputs = (*ids[:-1].tolist(), *([int(ids[-1])] + [end] * num_pad)[:num_pad])
        targets = (*ids[1:].tolist(), *[end] * num_pad)
        mask = (*(learned[1:] != -100).astype(int).tolist(), *[0] * num_pad)
        expected[inputs, targets, mask] += 1
    packs = read(folder)
    found = Counter(tuple(map(tuple, sequence)) for pack in packs for sequence in sequences_of(pack))
    assert found == expected
    for pack in packs:
        assert sum(len(inputs) for inputs, _, _ in sequences_of(pack)) <= size
        assert len(pack["loss_mask"]) == len(pack["input_ids"])
        assert pack["seq_start_id"][0] == 0
    said = json.loads((folder / "train_manifest.json").read_text())["packed"]
    assert (said["num_packs"], said["num_documents"]) == (len(packs), found.total())
    assert said["num_too_long"] == too_long


def test_types_and_metadata_are_megatron_bridges(tmp_path):
    folder = export(tmp_path, ROWS, "format=packed", "pack_size=1024")
    schema = pq.read_schema(folder / "train_packed.idx.parquet")
    assert schema.field("input_ids").type == pa.list_(pa.int32())
    assert schema.field("loss_mask").type == pa.list_(pa.int8())
    assert schema.field("seq_start_id").type == pa.list_(pa.int32())
    assert not (folder / "train_text_document.bin").exists()
    (metadata,) = json.loads((folder / "train_packed_metadata.json").read_text())
    lengths = [[len(inputs) for inputs, _, _ in sequences_of(pack)] for pack in read(folder)]
    assert metadata == {
        "dataset_max_seqlen": max(map(max, lengths)),
        "max_samples_per_bin": max(map(len, lengths)),
        "packing_factor": round(sum(map(len, lengths)) / len(lengths), 2),
        "packing_efficiency": round(100 * sum(map(sum, lengths)) / len(lengths) / 1024, 2),
        "pack_size": 1024,
        "min_packed_seqlen": min(map(sum, lengths)),
    }
    assert metadata["packing_efficiency"] > 90


def test_windows_lose_little(tmp_path):
    """Whatever waits, packs stay nearly as full as with all documents at hand."""
    shares, found = [], []
    for window in (4, 100_000):
        folder = export(
            tmp_path / str(window), ROWS * 3, "format=packed", "pack_size=1024", f"pack_window={window}"
        )
        shares.append(json.loads((folder / "train_manifest.json").read_text())["packed"]["efficiency"])
        found.append(Counter(tuple(ids) for pack in read(folder) for ids, _, _ in sequences_of(pack)))
    assert found[0] == found[1]
    assert shares[0] > shares[1] - 0.08


def test_a_pack_too_small_for_all_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^pack_size=8: all \d+ documents are longer; the shortest has \d+"):
        export(tmp_path, example_rows(3), "format=packed", "pack_size=8")
    assert not (tmp_path / "out").exists() or not np.any([p.is_file() for p in (tmp_path / "out").iterdir()])
