"""Packing: no row lost or cut, capacity kept, as tight as the loop one would write on paper."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_megatron.data.packing import Packs, pack_rows, padded_lengths

lengths_lists = st.lists(st.integers(1, 80), min_size=1, max_size=60).filter(lambda ls: min(ls) <= 64)


def naive_best_fit_decreasing(lengths: list[int], capacity: int) -> list[int]:
    """Room left in each pack when every item, longest first, goes where it leaves the least room."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
            rooms.append(min(fitting) - length)
        else:
            rooms.append(capacity - length)
    return sorted(rooms)


def rooms_left(packs: Packs, padded: np.ndarray, capacity: int) -> list[int]:
    return sorted(capacity - int(padded[packs[i]].sum()) for i in range(len(packs)))


@settings(deadline=None)
@given(lengths_lists, st.sampled_from([1, 2, 8, 16]), st.integers(0, 5), st.integers(0, 3))
def test_packs_equal_the_naive_loop(lengths, multiple, seed, epoch):
    rows, capacity = np.array(lengths), 64
    packs = pack_rows(rows, capacity, multiple, seed, epoch)
    padded = padded_lengths(rows, multiple)
    assert sorted(packs.rows.tolist()) == np.flatnonzero(rows <= capacity).tolist()
    assert packs.bounds[0] == 0 and packs.bounds[-1] == len(packs.rows) and (np.diff(packs.bounds) > 0).all()
    kept = [int(p) for p, n in zip(padded, lengths, strict=True) if n <= capacity]
    assert rooms_left(packs, padded, capacity) == naive_best_fit_decreasing(kept, capacity)
    assert packs.sum_over(rows).tolist() == [int(rows[packs[i]].sum()) for i in range(len(packs))]


def test_seed_and_epoch_decide_everything():
    lengths = np.random.default_rng(0).integers(10, 300, 2000)
    first = pack_rows(lengths, 1024, 8, seed=1, epoch=0)
    again = pack_rows(lengths, 1024, 8, seed=1, epoch=0)
    assert np.array_equal(first.rows, again.rows) and np.array_equal(first.bounds, again.bounds)
    for other in (pack_rows(lengths, 1024, 8, 1, epoch=1), pack_rows(lengths, 1024, 8, seed=2, epoch=0)):
        assert len(other) == len(first)
        assert not np.array_equal(other.rows, first.rows)


def test_long_rows_dont_come_first():
    """Best fit opens packs from the longest row down; the order of training must not show it."""
    lengths = np.random.default_rng(0).integers(10, 1000, 5000)
    packs = pack_rows(lengths, 1024, 8, 0, 0)
    longest = np.array([lengths[packs[i]].max() for i in range(len(packs))])
    assert abs(np.corrcoef(np.arange(len(packs)), longest)[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("sequence_length", "median", "spread"), [(4096, 600, 0.8), (8192, 1500, 0.7), (32768, 6000, 1.0)]
)
def test_ordinary_mixtures_fill_packs_to_99_percent(sequence_length, median, spread):
    draw = np.random.default_rng(0).lognormal(np.log(median), spread, 20_000)
    lengths = np.clip(draw, 20, sequence_length).astype(np.int64)
    packs = pack_rows(lengths, sequence_length, 8, 0, 0)
    assert lengths.sum() / (len(packs) * sequence_length) > 0.99


def test_a_million_rows_take_seconds():
    lengths = np.clip(np.random.default_rng(0).lognormal(6, 0.8, 1_000_000), 20, 4096).astype(np.int64)
    started = time.process_time()
    pack_rows(lengths, 4096, 8, 0, 0)
    assert time.process_time() - started < 30
