"""Weights converted per second, and the memory that takes: ours, streaming, against transformers.

Random models in bfloat16, dense and Mixture-of-Experts, as a sharded Hugging Face folder. Ours turns it into a
checkpoint (from_hf) and back (to_hf), and the files that come back must be those that went in. The
straightforward way to rewrite such a folder holds the model whole: transformers' ``from_pretrained`` and
``save_pretrained``. (mbridge and Megatron-Bridge, which convert to and from Megatron-Core, hold it whole too,
and import transformer-engine, which needs a GPU's compiler: they can't be measured here.) Both read every
weight once and write it once; each conversion is a process of its own with one thread, ours and theirs in
turn, medians of three.

    python benchmarks/convert.py [--full]
"""

from __future__ import annotations

import argparse
import filecmp
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from magic_megatron.config.model import ModelConfig
from magic_megatron.models.huggingface import huggingface_names, split, weight_groups, weight_shape
from magic_megatron.models.huggingface_config import huggingface_config
from magic_megatron.models.huggingface_folder import SafetensorsWriter
from recipes.command import compose, typed

WORKER = Path(__file__).with_name("_convert_worker.py")
REPEATS = 3
LAYERS, FULL_LAYERS = 4, 24
SHARD_BYTES = 100_000_000
# Layers of 80 MB: the shapes of Qwen3-0.6B's attention with a larger MLP, and with experts instead.
SIZES: dict[str, dict[str, Any]] = {
    "qwen3_0_6b": {"intermediate_size": 11008, "tie_word_embeddings": False},
    "qwen3_30b_a3b": {
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "num_experts": 32,
        "moe_intermediate_size": 384,
    },
}


def main() -> None:
    """Measure both models and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"{FULL_LAYERS} layers instead of {LAYERS}")
    layers = FULL_LAYERS if parser.parse_args().full else LAYERS
    print(
        f"ours: magic_megatron.convert; baseline: transformers {version('transformers')}, torch {version('torch')}"
    )
    results = []
    for recipe in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            results += _compare(recipe, layers, Path(folder))
    print(json.dumps(results))


def _compare(recipe: str, layers: int, folder: Path) -> list[dict[str, Any]]:
    base = typed(ModelConfig, compose("sft", [f"model={recipe}", "output_dir=-"]).model)
    model = ModelConfig(**{**vars(base), "vocab_size": 32768, "num_hidden_layers": layers, **SIZES[recipe]})
    megabytes = _write(folder / "hf", model) / 1e6
    kind = "moe" if model.is_moe else "dense"
    runs: dict[str, list[dict[str, float]]] = {"from_hf": [], "to_hf": [], "transformers": []}
    for repeat in tqdm(range(REPEATS), desc=kind, mininterval=5):
        there, back, theirs = (folder / f"{name}{repeat}" for name in ("there", "back", "theirs"))
        runs["from_hf"].append(_measure("ours", folder / "hf", there, "from_hf"))
        runs["transformers"].append(_measure("transformers", folder / "hf", theirs))
        runs["to_hf"].append(_measure("ours", there, back, "to_hf"))
        _assert_same(folder / "hf", back)
        for written in (there, back, theirs):
            shutil.rmtree(written)
    middle = {
        name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items()
    }
    for name, measured in middle.items():
        print(
            f"{kind}, {megabytes:,.0f} MB, {name}: {megabytes / measured['wall_s']:,.0f} MB/s,"
            f" {megabytes / measured['cpu_s']:,.0f} MB per CPU second, peak {measured['peak_bytes'] / 1e6:,.0f} MB"
        )
    return [
        entry
        for direction in ("from_hf", "to_hf")
        for entry in (
            _entry(
                f"convert/{kind}/{direction}", "higher", "MB/CPU s", *_speeds(middle, direction, megabytes)
            ),
            _entry(f"convert/{kind}/{direction}/memory", "lower", "MB", *_peaks(middle, direction)),
        )
    ]


def _speeds(middle: dict[str, dict[str, float]], direction: str, megabytes: float) -> tuple[float, float]:
    return megabytes / middle[direction]["cpu_s"], megabytes / middle["transformers"]["cpu_s"]


def _peaks(middle: dict[str, dict[str, float]], direction: str) -> tuple[float, float]:
    return middle[direction]["peak_bytes"] / 1e6, middle["transformers"]["peak_bytes"] / 1e6


def _entry(name: str, better: str, unit: str, ours: float, baseline: float) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(ours / baseline, 2),
        "target": 1.0,
        "better": better,
        "ours": round(ours, 1),
        "baseline": round(baseline, 1),
        "unit": unit,
    }


def _measure(way: str, source: Path, target: Path, *direction: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(WORKER), way, str(source), str(target), str(SHARD_BYTES), *direction],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _write(folder: Path, model: ModelConfig) -> int:
    """A Hugging Face folder of random weights; bytes of them."""
    folder.mkdir()
    rows = model.vocab_size
    assert rows is not None
    fields = huggingface_config(model, vocab_size=rows, dtype="bfloat16", bos=None, eos=1)
    (folder / "config.json").write_text(json.dumps(fields))
    writer = SafetensorsWriter(folder, SHARD_BYTES)
    noise = torch.randn(1 << 24, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    total = 0
    for number, name in enumerate(name for group in weight_groups(model) for name in group):
        shape = weight_shape(name, model, rows)
        size = math.prod(shape)
        enough = noise.repeat(1 + size // len(noise))
        start = 7919 * number % (len(enough) - size)
        weight = enough[start : start + size].view(shape)
        for part_name, part in zip(huggingface_names(name), split(name, weight, model), strict=True):
            writer.add(part_name, part)
        total += weight.nbytes
    writer.close()
    return total


def _assert_same(published: Path, back: Path) -> None:
    files = [file.name for file in published.glob("model*")]
    if filecmp.cmpfiles(published, back, files, shallow=False) != (files, [], []):
        raise RuntimeError(f"{back}: other weights than those of {published}")


if __name__ == "__main__":
    main()
