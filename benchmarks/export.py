"""Tokens per second of `data_synth.export` against Megatron-LM's own preprocessing, same tokenizer, same cores.

The baseline is `tools/preprocess_data.py` of Megatron-LM, which no package has, re-implemented from its description on
megatron-core's tokenizer and `IndexedDatasetBuilder`: a pool of processes, `imap` of one document at a time in chunks
of 32, ids sent back as lists, one document added after the other. It reads JSON lines that hold nothing but the text
as our chat template renders it, and writes the tokens. Ours reads the rows themselves, checks them, renders them,
tokenizes, marks what is learned, writes tokens, labels and a line per row, and hashes all files. The tokens' files
are compared and equal.

CPU time of all processes and wall time, two workers each, medians of alternating runs, imports not counted; then the
CPU time of the imports of both commands.

    python benchmarks/export.py [--full]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from data_synth.__main__ import main as generate
from data_synth.export import main as export
from recipes.command import compose

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # megatron-core's, that there is no GPU library
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder
    from megatron.core.tokenizers import MegatronTokenizer

NUM_ROWS, FULL_ROWS = 4_000, 60_000
NUM_WORKERS, NUM_PAIRS, CHUNK = 2, 3, 32
VOCAB_SIZE = 4096
IMPORTS = {
    "ours": "import data_synth.export; from data_synth.writers import tokenizer, indexed, masking",
    "baseline": "from megatron.core.datasets import indexed_dataset; import megatron.training.arguments;"
    " from megatron.core.tokenizers.utils.build_tokenizer import build_tokenizer; import transformers",
}


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"{FULL_ROWS:,} rows")
    num_rows = FULL_ROWS if parser.parse_args().full else NUM_ROWS
    print(
        f"ours: data_synth.export; baseline: Megatron-LM's preprocess_data.py re-implemented on megatron-core"
        f" {version('megatron-core')}; tokenizers {version('tokenizers')}, {NUM_WORKERS} workers each"
    )
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        tokenizer = _make_input(num_rows)
        pairs = [
            (_measure(lambda: _ours(tokenizer)), _measure(lambda: _megatron(tokenizer)))
            for _ in range(NUM_PAIRS)
        ]
        tokens = Path("ours/train_text_document.bin").read_bytes()
        if tokens != Path("megatron_text_document.bin").read_bytes():
            raise RuntimeError("the two wrote different tokens")
    num_tokens = len(tokens) // np.dtype(np.int32).itemsize
    results = []
    for clock, place in (("cpu", 0), ("wall", 1)):
        rates = [num_tokens / statistics.median(pair[side][place] for pair in pairs) for side in range(2)]
        print(
            f"{clock}: ours {rates[0]:,.0f} tokens/s, baseline {rates[1]:,.0f}, ratio {rates[0] / rates[1]:.2f}"
        )
        results.append(_entry(f"export/{clock}", *rates, "higher", f"tokens per {clock} second"))
    seconds = [statistics.median(_import_seconds(IMPORTS[side]) for _ in range(2)) for side in IMPORTS]
    print(f"imports: ours {seconds[0]:.1f} s of CPU time, baseline {seconds[1]:.1f}")
    results.append(_entry("export/imports", *seconds, "lower", "s of CPU time"))
    print(json.dumps(results))


def _make_input(num_rows: int) -> str:
    """Scheduling rows, a tokenizer fitted to them, and the same rows as rendered text; the tokenizer's folder."""
    with contextlib.redirect_stdout(io.StringIO()):
        settings = ["difficulty=natural_plan", f"num_samples={num_rows}", f"num_workers={NUM_WORKERS}"]
        generate(compose("synth", ["task=scheduling", *settings, "output_dir=rows"]))
        export(compose("export", ["input=rows/data.jsonl", "output_dir=first", f"vocab_size={VOCAB_SIZE}"]))
    tokenizer = PreTrainedTokenizerFast.from_pretrained("first/tokenizer")
    with (
        Path("rows/data.jsonl").open(encoding="utf-8") as rows,
        Path("text.jsonl").open("w", encoding="utf-8") as out,
    ):
        for line in rows:
            text = tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False)
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return "first/tokenizer"


def _ours(tokenizer: str) -> None:
    settings = [f"tokenizer={tokenizer}", f"num_workers={NUM_WORKERS}", "output_dir=ours"]
    with contextlib.redirect_stdout(io.StringIO()):
        export(compose("export", ["input=rows/data.jsonl", *settings]))


class Encoder:
    """Megatron-LM's: the tokenizer is global to a worker, ``encode`` takes one line."""

    tokenizer: Any

    def __init__(self, path: str) -> None:
        self.path = path

    def start(self) -> None:
        metadata = {"library": "huggingface"}
        Encoder.tokenizer = MegatronTokenizer.from_pretrained(
            tokenizer_path=self.path, metadata_path=metadata, include_special_tokens=True
        )

    def encode(self, line: str) -> tuple[list[int], list[int], int]:
        ids = Encoder.tokenizer.tokenize(json.loads(line)["text"])
        return ids, [len(ids)], len(line)


def _megatron(tokenizer: str) -> None:
    encoder = Encoder(tokenizer)
    encoder.start()  # as Megatron-LM does, before the pool: its processes inherit the imports
    builder = IndexedDatasetBuilder("megatron_text_document.bin", dtype=np.int32)
    pool = multiprocessing.get_context("fork").Pool(NUM_WORKERS, initializer=encoder.start)
    with Path("text.jsonl").open(encoding="utf-8") as lines:
        for ids, lengths, _ in pool.imap(encoder.encode, lines, CHUNK):
            builder.add_document(ids, lengths)
    builder.finalize("megatron_text_document.idx")
    pool.close()
    pool.join()


def _measure(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of CPU time, that of ended children included, and of wall time."""
    cpu, wall = _cpu_seconds(), time.perf_counter()
    work()
    return _cpu_seconds() - cpu, time.perf_counter() - wall


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _import_seconds(statement: str) -> float:
    command = [sys.executable, "-W", "ignore", "-c", statement]
    return _measure(lambda: subprocess.run(command, check=True, capture_output=True))[0]


def _entry(name: str, ours: float, baseline: float, better: str, unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(ours / baseline, 3),
        "target": 1.0,
        "better": better,
        "ours": round(ours, 2),
        "baseline": round(baseline, 2),
        "unit": unit,
    }


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main()
