"""Global batches: the same packs in every layout, shared out evenly, a function of the step alone."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export_rows import example_rows, export
from hypothesis import given
from hypothesis import strategies as st

from magic_megatron.config.model import ModelConfig
from magic_megatron.data.balance import attention_weight, rise_and_fall, share_out
from magic_megatron.data.dataset import PackedDataset
from magic_megatron.data.mixture import Mixture
from magic_megatron.data.packing import Packing
from magic_megatron.data.sampler import GlobalBatches
from recipes.command import InputError, compose, typed

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from _mixture import SEQUENCE_LENGTH, row_lengths

G = 8
WEIGHT = 1 / 128


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> str:
    return f"{export(tmp_path_factory.mktemp('sampler'), example_rows(200))}/train"


@pytest.fixture(scope="module")
def dataset(prefix) -> PackedDataset:
    return PackedDataset(prefix, 512, seed=3, pad_multiple=8, mixture=None)


def batches(dataset: PackedDataset, micro: int, rank: int, dp: int) -> GlobalBatches:
    return GlobalBatches(dataset, G, micro, rank, dp, WEIGHT)


@pytest.mark.parametrize(("dp", "micro"), [(1, 1), (1, 4), (2, 1), (2, 2), (4, 1), (8, 1), (2, 4)])
@pytest.mark.parametrize("step", [0, 5, 11])
def test_replicas_share_out_the_same_global_batch(dataset, dp, micro, step):
    whole = batches(dataset, micro, 0, dp).assignment(step)
    assert whole.shape == (dp, G // micro // dp, micro)
    assert sorted(whole.ravel().tolist()) == list(range(step * G, (step + 1) * G))
    for rank in range(dp):
        own = batches(dataset, micro, rank, dp)
        assert np.array_equal(own.assignment(step), whole)
        for packs, batch in zip(whole[rank], own.microbatches(step), strict=True):
            expected = torch.cat([dataset[pack].tokens for pack in packs.tolist()])
            assert torch.equal(batch.tokens[0], expected)


def test_micro_batches_are_the_same_in_every_layout(dataset):
    """Losses balanced per micro-batch depend on which packs share one."""
    for step, micro in itertools.product(range(6), (1, 2, 4)):
        groups = [
            {tuple(packs) for packs in batches(dataset, micro, 0, dp).assignment(step).reshape(-1, micro)}
            for dp in (1, 2, 4)
            if G % (micro * dp) == 0
        ]
        assert all(found == groups[0] for found in groups)


def test_costs_are_those_of_the_rows(dataset):
    sampler = batches(dataset, 2, 1, 2)
    lengths = dataset.manifest.folder / "train_rows.jsonl"
    tokens = [int(line.split('"num_tokens":')[1].split(",")[0]) for line in lengths.read_text().splitlines()]
    for replica, costs in zip(sampler.assignment(4), sampler.costs(4), strict=True):
        for packs, cost in zip(replica, costs, strict=True):
            rows = [row for pack in packs.tolist() for row in dataset.rows_of(pack)]
            assert cost == pytest.approx(2 * 512 + WEIGHT * sum(tokens[row] ** 2 for row in rows), rel=1e-12)


def test_token_counts_are_those_of_the_global_batch(dataset):
    for step in (0, 3, 20):
        whole = batches(dataset, G, 0, 1)
        (batch,) = whole.microbatches(step)
        counts = (int(batch.token_mask.sum()), int(batch.loss_mask.sum()))
        assert whole.num_tokens(step) == counts == batches(dataset, 1, 1, 2).num_tokens(step)
    epoch = GlobalBatches(dataset, dataset.num_packs(1), 1, 0, 1, WEIGHT)
    assert epoch.num_tokens(5)[0] == dataset.manifest.num_tokens


def test_a_mixture_goes_on_where_it_stopped(prefix):
    """Packs of a late step are those of the run that went through all steps before it."""
    weights = {"scheduling": 0.3, "scheduling/trip": 1.5}
    through = PackedDataset(prefix, 512, seed=3, pad_multiple=8, mixture=weights)
    steps = [batches(through, 1, 0, 1).assignment(step) for step in range(40)]
    rows = [[through.rows_of(pack).tolist() for pack in step.ravel().tolist()] for step in steps]
    for step in (39, 17, 3):
        resumed = PackedDataset(prefix, 512, seed=3, pad_multiple=8, mixture=weights)
        packs = batches(resumed, 1, 0, 1).assignment(step).ravel().tolist()
        assert [resumed.rows_of(pack).tolist() for pack in packs] == rows[step]


def test_a_mixture_without_rows_is_refused(prefix):
    with pytest.raises(
        InputError, match=r"^data\.mixture={'scheduling': 0}: leaves out every row that fits; try"
    ):
        PackedDataset(prefix, 512, seed=3, pad_multiple=8, mixture={"scheduling": 0})


@given(st.lists(st.integers(1, 50), min_size=12, max_size=12), st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_shares_are_dealt_as_on_paper(costs, num_shares):
    order = sorted(range(12), key=lambda i: (-costs[i], i))
    shares = [list[int]() for _ in range(num_shares)]
    for start in range(0, 12, num_shares):
        totals = [sum(costs[i] for i in share) for share in shares]
        cheapest_first = sorted(range(num_shares), key=lambda j: (totals[j], j))
        for j, i in zip(cheapest_first, order[start : start + num_shares], strict=True):
            shares[j].append(i)
    assert share_out(np.array(costs, dtype=np.float64), num_shares).tolist() == shares


def test_the_costliest_lie_in_the_middle():
    assert rise_and_fall(np.array([5, 4, 3, 2, 1])).tolist() == [2, 4, 5, 3, 1]
    assert rise_and_fall(np.array([4, 3, 2, 1])).tolist() == [1, 3, 4, 2]
    assert rise_and_fall(np.array([7])).tolist() == [7]


def model(name: str) -> ModelConfig:
    return typed(ModelConfig, compose("sft", [f"model={name}"]).model)


def test_attention_costs_what_the_formula_says():
    """Qwen3-30B-A3B, 3.04 billion weights met by a token, embedding not counted: 48·2·4096 over twice that."""
    moe, dense = (
        attention_weight(model("qwen3_30b_a3b"), 151_936),
        attention_weight(model("qwen3_32b"), 151_936),
    )
    assert moe == pytest.approx(48 * 2 * 4096 / (2 * 3.04e9), rel=2e-3)
    assert dense == pytest.approx(64 * 2 * 8192 / (2 * 31.98e9), rel=2e-3)


def test_five_tasks_fill_packs_to_99_percent_and_ranks_alike():
    """22,528 tokens, rows padded to 8: useful tokens, and the slowest rank against the mean, at the paper's batch."""
    lengths, task_ids = row_lengths(20_000, seed=0)
    kept = np.flatnonzero(lengths <= SEQUENCE_LENGTH)
    by_task = [kept[task_ids[kept] == task] for task in range(5)]
    packing = Packing(lengths, SEQUENCE_LENGTH, 8, 0, Mixture(by_task, [1.0] * 5, 0))
    assert lengths[kept].sum() / (packing.num_packs(1) * SEQUENCE_LENGTH) > 0.99
    weight, packs = attention_weight(model("qwen3_30b_a3b"), 151_936), packing.epoch(0)
    squares = np.array([(lengths[packs[i]].astype(np.float64) ** 2).sum() for i in range(len(packs))])
    costs = SEQUENCE_LENGTH + weight * squares[: len(squares) // 64 * 64].reshape(-1, 64)
    in_order = costs.reshape(-1, 16, 4).sum(axis=2).reshape(-1, 2, 8).sum(axis=1)
    balanced = []
    for batch in costs:
        groups = batch[share_out(batch, 16)].sum(axis=1)
        balanced.append(groups[share_out(groups, 8)].sum(axis=1))
    slowest_before = (in_order.max(axis=1) / in_order.mean(axis=1)).mean()
    slowest = (np.array(balanced).max(axis=1) / np.array(balanced).mean(axis=1)).mean()
    assert slowest_before > 1.08
    assert slowest < 1.01
