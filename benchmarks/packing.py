"""Packing into sequences of 22,528 tokens: time on one core and useful tokens, against TRL's and Megatron-LM's.

All pack the same row lengths, those of a five-task mixture (`_mixture.py`); rows longer than a pack are left out
beforehand, since the others cut them. Ours pads each row to 8 tokens, as context parallelism up to 4 needs, and that
padding counts as waste; the others pad nothing.

- TRL: `trl.data_utils._pack_bfd`, what `pack_dataset(strategy="bfd")` maps over batches of 1,000 rows, on a column of
  lists whose values take no memory, so that only packing is timed; and over 20,000 rows at once, its best case.
- Megatron-LM: no package has its packers (the wheel's `SFTDataset` packs nothing, it takes what one line holds), so
  its `greedy_knapsack` (examples/multimodal: sort by length, again and again the longest that fits, by bisection) is
  re-implemented from its description, over all rows.

Then the slowest of the data-parallel ranks against their mean, in estimated FLOPs of Qwen3-30B-A3B, with packs in
order and as `GlobalBatches` shares them out. CPU time, medians of alternating runs.

    python benchmarks/packing.py [--full]
"""

from __future__ import annotations

import argparse
import bisect
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from _mixture import SEQUENCE_LENGTH, TASKS, row_lengths
from _result import entry
from numpy.typing import NDArray
from omegaconf import OmegaConf
from trl.data_utils import _pack_bfd

from magic_megatron.config.model import ModelConfig
from magic_megatron.data.balance import attention_weight, share_out
from magic_megatron.data.mixture import Mixture
from magic_megatron.data.packing import Packing
from recipes.command import compose, typed

Lengths = NDArray[np.int64]
NUM_ROWS, SOME_ROWS, FEW_ROWS = 1_000_000, 100_000, 20_000
SECONDS = 60.0
PAD_MULTIPLE = 8
TRL_BATCH = 1_000
# Packs of a step, of a micro-batch, and replicas: the paper's on 32 GPUs, and larger ones.
BATCHES = ((8, 4, 2), (8, 1, 2), (64, 4, 8), (256, 4, 32))


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="batches and knapsack on 1 M rows")
    full = parser.parse_args().full
    print(
        f"ours: magic_megatron.data.packing, numpy {version('numpy')}; baselines: trl {version('trl')} _pack_bfd,"
        " Megatron-LM greedy_knapsack re-implemented; five tasks: " + ", ".join(TASKS)
    )
    many, some, few = (_rows_that_fit(number) for number in (NUM_ROWS, SOME_ROWS, FEW_ROWS))
    print(f"{len(many):,} of {NUM_ROWS:,} rows fit, {many.mean():,.0f} tokens each in the mean")
    results = [
        _against("trl_bfd_batches", many if full else some, _trl_in_batches),
        _against("trl_bfd_all", few, _trl),
    ]
    results.append(_against("megatron_knapsack", many if full else some, _knapsack))
    seconds, num_packs = _timed(lambda: _ours(many))
    fill = _fill(many, num_packs)
    print(f"ours, {NUM_ROWS:,} rows: {seconds:.2f} s, {fill:.2%} useful tokens")
    results.append(entry("packing/million_rows", seconds / SECONDS, 1.0, "lower", seconds, SECONDS, "s"))
    results.append(entry("packing/useful_tokens", fill, 0.99, "higher", fill, 1.0, "share of tokens"))
    results += [_balance(*batch, many) for batch in BATCHES]
    print(json.dumps(results))


def _rows_that_fit(number: int) -> Lengths:
    lengths = row_lengths(number, seed=0)[0]
    return lengths[lengths <= SEQUENCE_LENGTH]


def _against(name: str, lengths: Lengths, baseline: Callable[[Lengths], int]) -> dict[str, Any]:
    """Time and fill of both, in pairs."""
    pairs = [(_timed(lambda: _ours(lengths)), _timed(lambda: baseline(lengths))) for _ in range(3)]
    ours, theirs = (statistics.median(pair[i][0] for pair in pairs) for i in range(2))
    fills = [_fill(lengths, pairs[0][i][1]) for i in range(2)]
    print(
        f"{name}, {len(lengths):,} rows: ours {ours:.2f} s and {fills[0]:.2%} useful, baseline {theirs:.2f} s and"
        f" {fills[1]:.2%}; {theirs / ours:.1f} times as fast"
    )
    return entry(
        f"packing/{name}", theirs / ours, 1.0, "higher", len(lengths) / ours, len(lengths) / theirs, "rows/s"
    )


def _timed(pack: Callable[[], int]) -> tuple[float, int]:
    starts = time.process_time()
    num_packs = pack()
    return time.process_time() - starts, num_packs


def _fill(lengths: Lengths, num_packs: int) -> float:
    return int(lengths.sum()) / (num_packs * SEQUENCE_LENGTH)


def _packing(lengths: Lengths) -> Packing:
    return Packing(lengths, SEQUENCE_LENGTH, PAD_MULTIPLE, 0, Mixture([np.arange(len(lengths))], [1.0], 0))


def _ours(lengths: Lengths) -> int:
    return len(_packing(lengths).epoch(0))


def _trl(lengths: Lengths) -> int:
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), type=pa.int64())
    lists = pa.LargeListArray.from_arrays(offsets, pa.nulls(int(lengths.sum())))
    return len(_pack_bfd(pa.table({"input_ids": lists}), SEQUENCE_LENGTH))


def _trl_in_batches(lengths: Lengths) -> int:
    return sum(_trl(lengths[start : start + TRL_BATCH]) for start in range(0, len(lengths), TRL_BATCH))


def _knapsack(lengths: Lengths) -> int:
    sizes, num_packs = sorted(lengths.tolist()), 0
    while sizes:
        num_packs, room = num_packs + 1, SEQUENCE_LENGTH
        while place := bisect.bisect(sizes, room):
            room -= sizes.pop(place - 1)
    return num_packs


def _balance(num_packs: int, micro_batch: int, dp: int, lengths: Lengths) -> dict[str, Any]:
    """How much longer the slowest replica takes than the mean one, before and after."""
    model = typed(ModelConfig, OmegaConf.create({**compose("sft", ["model=qwen3_30b_a3b"]).model}))
    assert model.vocab_size is not None
    weight, packs = attention_weight(model, model.vocab_size), _packing(lengths).epoch(0)
    squares = np.add.reduceat(lengths[packs.rows].astype(np.float64) ** 2, packs.bounds[:-1])
    costs = SEQUENCE_LENGTH + weight * squares[: len(squares) // num_packs * num_packs].reshape(-1, num_packs)
    before, after = [], []
    for step in costs[:1000]:
        groups = step.reshape(-1, micro_batch).sum(axis=1)
        before.append(_slowest(groups.reshape(-1, dp).sum(axis=0)))
        groups = step[share_out(step, num_packs // micro_batch)].sum(axis=1)
        after.append(_slowest(groups[share_out(groups, dp)].sum(axis=1)))
    name = f"balance/{num_packs}_packs_by_{micro_batch}_on_{dp}"
    ours, theirs = statistics.mean(after), statistics.mean(before)
    print(
        f"{name}: the slowest rank costs {theirs:.4f} of the mean with packs in order, {ours:.4f} shared out"
    )
    return entry(name, ours / theirs, 1.0, "lower", ours, theirs, "slowest rank / mean")


def _slowest(costs: NDArray[np.float64]) -> float:
    return float(costs.max() / costs.mean())


if __name__ == "__main__":
    main()
