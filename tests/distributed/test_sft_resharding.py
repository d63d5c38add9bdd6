"""Going on in another layout: weights, main parameters and moments arrive whole, experts with ranks of their own too.

Megatron-Core's own formats refuse what is tried here: with EP > 1, or TP != ETP, experts have an optimizer of
their own, which the other side of the move doesn't have.
"""

import shutil

import pytest
import torch
from sft_runs import metrics, run_sft
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

RECIPE = [
    "platform=rehearsal",
    "train.num_steps=6",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "train.save_interval=2",
    "train.keep_checkpoints=9",
    "data.sequence_length=512",
    "optim.lr=2e-3",
    "moe.aux_loss_coeff=0.01",
]
ONE = ["parallel.ep=1"]


@pytest.fixture(scope="module")
def recipe(export_folder):
    return [f"data.path={export_folder / 'train'}", *RECIPE]


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run_sft(1, {"run": recipe}, folder)
    return folder / "run"


def tensors(checkpoint):
    """Every global tensor of a checkpoint, whole: weights, main parameters and moments."""
    reader = FileSystemReader(checkpoint)
    stored = reader.read_metadata().state_dict_metadata
    whole = {
        key: torch.zeros(value.size, dtype=value.properties.dtype)
        for key, value in stored.items()
        if isinstance(value, TensorStorageMetadata)
    }
    load(whole, storage_reader=reader, no_dist=True)
    return whole


def assert_same_state(found, expected):
    assert found.keys() == expected.keys()
    assert any(key.startswith("optimizer.state.exp_avg_sq.decoder.layers.mlp.experts") for key in found)
    for key, tensor in expected.items():
        scale = tensor.abs().max().clamp(min=1e-12)
        assert ((found[key] - tensor).abs().max() / scale) < 2e-4, key


def go_back_to(run, step):
    for later in range(step + 2, 7, 2):
        shutil.rmtree(run / f"checkpoints/step_{later:07d}")


@pytest.mark.parametrize(
    "layout",
    [
        ["parallel.tp=2", "parallel.pp=2", "parallel.ep=2"],
        pytest.param(["parallel.ep=4"], marks=pytest.mark.slow),
    ],
    ids=["tp2pp2ep2", "ep4"],
)
def test_from_one_process_to_another_layout_and_back(recipe, uninterrupted, tmp_path, layout):
    """Steps 1 and 2 in one process, 3 and 4 in four, 5 and 6 in one again."""
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    go_back_to(run, 2)
    # Beside it a run that never was in one process: from DP4·EP2 to TP2·PP2·EP2 or EP4 at step 2.
    spread = tmp_path / "spread"
    runs = {
        "run": [*recipe, *layout],
        "spread": [*recipe, "parallel.ep=2"],
        "again": [*recipe, *layout, f"output_dir={spread}"],
    }
    later = [spread / f"checkpoints/step_{step:07d}" for step in (4, 6)]
    run_sft(4, runs, tmp_path, forget={"again": later})
    assert_same_state(
        tensors(run / "checkpoints/step_0000004"), tensors(uninterrupted / "checkpoints/step_0000004")
    )
    go_back_to(run, 4)
    assert_same_state(
        tensors(spread / "checkpoints/step_0000006"), tensors(uninterrupted / "checkpoints/step_0000006")
    )
    run_sft(1, {"run": recipe}, tmp_path)
    expected = [line["loss"] for line in metrics(uninterrupted)]
    for moved in (run, spread):
        assert [line["loss"] for line in metrics(moved)] == pytest.approx(expected, rel=1e-5)
    assert_same_state(
        tensors(run / "checkpoints/step_0000006"), tensors(uninterrupted / "checkpoints/step_0000006")
    )
