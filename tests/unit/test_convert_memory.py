"""Conversion in bounded memory, both ways: one layer and one file, however many there are of each.

The peak is what the kernel counts for a process of its own, mapped files included, above the peak of
converting a model of a few kilobytes.
"""

import dataclasses
import filecmp
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from magic_megatron.config.model import ModelConfig
from magic_megatron.models.huggingface import huggingface_names, split, weight_groups, weight_shape
from magic_megatron.models.huggingface_config import huggingface_config
from magic_megatron.models.huggingface_folder import SafetensorsWriter
from recipes.command import compose, typed

WORKER = Path(__file__).with_name("convert_worker.py")
# Pages that the allocator keeps for pieces that it has given back, and the plan of what lies where.
SLACK = 48 << 20
BYTES = torch.bfloat16.itemsize


def sized(recipe: str, **sizes: int) -> ModelConfig:
    model = typed(ModelConfig, compose("sft", [f"model={recipe}", "output_dir=-"]).model)
    return dataclasses.replace(model, **{"head_dim": 128, "num_key_value_heads": 4, **sizes})


# Twelve layers of 25 MB, and of 300 MB with the experts of Qwen3-30B-A3B and the MLP of a model of 8B.
SMALL = {
    "moe": sized(
        "qwen3_moe_tiny",
        num_hidden_layers=12,
        hidden_size=512,
        num_experts=32,
        moe_intermediate_size=256,
        vocab_size=8192,
    ),
    "dense": sized(
        "qwen3_tiny", num_hidden_layers=12, hidden_size=1024, intermediate_size=3072, vocab_size=8192
    ),
}
LARGE = {
    "moe": sized(
        "qwen3_moe_tiny",
        num_hidden_layers=12,
        hidden_size=2048,
        num_experts=32,
        moe_intermediate_size=768,
        vocab_size=32768,
    ),
    "dense": sized(
        "qwen3_tiny", num_hidden_layers=12, hidden_size=4096, intermediate_size=10240, vocab_size=32768
    ),
}
NEXT_TO_NOTHING = sized(
    "qwen3_tiny", num_hidden_layers=2, hidden_size=64, intermediate_size=64, vocab_size=64
)


def write_huggingface_folder(folder: Path, model: ModelConfig, max_shard_bytes: int) -> None:
    """Random weights, of which no two are alike, written piece by piece."""
    folder.mkdir()
    fields = huggingface_config(model, vocab_size=model.vocab_size, dtype="bfloat16", bos=None, eos=1)
    (folder / "config.json").write_text(json.dumps(fields))
    writer = SafetensorsWriter(folder, max_shard_bytes)
    noise = torch.randn(1 << 24, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    names = [name for group in weight_groups(model) for name in group]
    for number, name in enumerate(names):
        shape = weight_shape(name, model, model.vocab_size)
        size = math.prod(shape)
        enough = noise.repeat(1 + size // len(noise))
        start = 7919 * number % (len(enough) - size)
        weight = enough[start : start + size].view(shape)
        for part_name, part in zip(huggingface_names(name), split(name, weight, model), strict=True):
            writer.add(part_name, part)
    writer.close()


def peak_of(*overrides: str) -> int:
    done = subprocess.run(
        [sys.executable, WORKER, *overrides],
        capture_output=True,
        text=True,
        timeout=850,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.splitlines()[-1])


def bound_of(model: ModelConfig, max_shard_bytes: int) -> int:
    """In bytes: one layer, or the table; one file; and twice the weight that is being converted."""
    groups = [
        [math.prod(weight_shape(name, model, model.vocab_size)) * BYTES for name in group]
        for group in weight_groups(model)
    ]
    layer, weight = max(map(sum, groups)), max(map(max, groups))
    file = max(max_shard_bytes, weight)
    return layer + file + 2 * weight


def convert_there_and_back(
    folder: Path, model: ModelConfig, max_shard_bytes: int
) -> dict[str, tuple[int, int, int]]:
    """Peak, bound and the weights' size for both directions; what comes back is what went in, to the byte."""
    published, checkpoint, back = folder / "published", folder / "checkpoint", folder / "back"
    write_huggingface_folder(published, model, max_shard_bytes)
    total = sum(file.stat().st_size for file in published.glob("*.safetensors"))
    bound = bound_of(model, max_shard_bytes)
    peaks = {
        "from_hf": (
            peak_of("direction=from_hf", f"source={published}", f"target={checkpoint}"),
            bound,
            total,
        )
    }
    shard = f"max_shard_bytes={max_shard_bytes}"
    peaks["to_hf"] = (
        peak_of("direction=to_hf", f"source={checkpoint}", f"target={back}", shard),
        bound,
        total,
    )
    files = [file.name for file in published.glob("model*")]
    assert len(files) > 5
    assert filecmp.cmpfiles(published, back, files, shallow=False) == (files, [], [])
    return peaks


@pytest.fixture(scope="module")
def baseline(tmp_path_factory) -> dict[str, int]:
    """What Python and torch take, by direction."""
    folder = tmp_path_factory.mktemp("baseline")
    write_huggingface_folder(folder / "published", NEXT_TO_NOTHING, 10_000)
    there = peak_of("direction=from_hf", f"source={folder / 'published'}", f"target={folder / 'checkpoint'}")
    back = peak_of("direction=to_hf", f"source={folder / 'checkpoint'}", f"target={folder / 'back'}")
    return {"from_hf": there, "to_hf": back}


def assert_bounded(peaks: dict[str, tuple[int, int, int]], baseline: dict[str, int]) -> None:
    for direction, (peak, bound, total) in peaks.items():
        taken = peak - baseline[direction]
        print(f"{direction}: {taken / 1e6:.0f} MB of {total / 1e6:.0f} MB; bound {bound / 1e6:.0f} MB")
        assert bound + SLACK < total / 2, "the bound must mean something"
        assert taken <= bound + SLACK, direction


@pytest.mark.parametrize("name", SMALL)
def test_memory_is_bounded(name, tmp_path, baseline):
    assert_bounded(convert_there_and_back(tmp_path, SMALL[name], 25_000_000), baseline)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", LARGE)
def test_memory_is_bounded_for_several_gigabytes(name, tmp_path, baseline):
    if shutil.disk_usage(tmp_path).free < 20e9:
        pytest.skip(f"needs 20 GB in {tmp_path}, the folder of pytest's --basetemp")
    try:
        assert_bounded(convert_there_and_back(tmp_path, LARGE[name], 300_000_000), baseline)
    finally:
        shutil.rmtree(tmp_path)
