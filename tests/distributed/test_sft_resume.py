"""Checkpoints: a run that is killed or stopped goes on to the same weights, in whatever layout it goes on."""

import os
import shutil
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file
from commands import must_run, run_module
from sft_runs import launcher, metrics, run_sft


RECIPE = [
    "train.num_steps=8",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "train.save_interval=2",
    "data.sequence_length=512",
    "optim.lr=2e-3",
    "moe.aux_loss_coeff=0.01",
]


@pytest.fixture(scope="module")
def recipe(export_folder):
    return [f"data.path={export_folder / 'train'}", *RECIPE]


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run_sft(1, {"run": recipe}, folder)
    return folder / "run"


def weights(output_dir, target):
    checkpoint = sorted((output_dir / "checkpoints").glob("step_*"))[-1]
    must_run("magic_megatron.convert", "direction=to_hf", f"source={checkpoint}", f"target={target}")
    return {k: v for file in target.glob("*.safetensors") for k, v in load_file(file).items()}


def losses(output_dir):
    return [line["loss"] for line in metrics(output_dir)]


def test_killed_again_and_again_a_run_ends_with_the_same_weights(recipe, uninterrupted, tmp_path):
    run = tmp_path / "run"
    command = [*launcher(1), "-m", "magic_megatron.sft", *recipe, f"output_dir={run}", "platform=rehearsal"]
    for step in (1, 4, 7):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 240
        while process.poll() is None and _steps_done(run) < step and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, process.stderr.read()[-3000:]
        process.send_signal(signal.SIGKILL)
        process.communicate()
    must_run("magic_megatron.sft", *recipe, f"output_dir={run}", "platform=rehearsal")
    assert [line["step"] for line in metrics(run)] == list(range(1, 9))
    assert losses(run) == losses(uninterrupted)
    ours, theirs = weights(run, tmp_path / "ours"), weights(uninterrupted, tmp_path / "theirs")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def _steps_done(run):
    path = run / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def test_a_run_goes_on_in_another_layout(recipe, uninterrupted, tmp_path):
    """From DP4·EP2 to TP2·PP2·EP2: weights, optimizer state and router statistics are resharded."""
    run_sft(4, {"run": [*recipe, "parallel.ep=2", "train.keep_checkpoints=9"]}, tmp_path)
    run = tmp_path / "run"
    for step in (6, 8):
        shutil.rmtree(run / "checkpoints" / f"step_{step:07d}")
    run_sft(4, {"run": [*recipe, "parallel.tp=2", "parallel.pp=2", "parallel.ep=2"]}, tmp_path)
    assert losses(run) == pytest.approx(losses(uninterrupted), rel=1e-5)


def test_a_finished_run_is_left_as_it_is(recipe, uninterrupted):
    before = {path: path.stat().st_mtime_ns for path in (uninterrupted / "checkpoints").rglob("*")}
    must_run("magic_megatron.sft", *recipe, f"output_dir={uninterrupted}", "platform=rehearsal")
    assert {path: path.stat().st_mtime_ns for path in (uninterrupted / "checkpoints").rglob("*")} == before
    assert len(metrics(uninterrupted)) == 8


def test_a_damaged_checkpoint_is_named_and_nothing_is_lost(recipe, uninterrupted, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    newest = sorted((run / "checkpoints").glob("step_*"))[-1]
    shard = max(newest.glob("*.distcp"), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-64])
    done = run_module("magic_megatron.sft", *recipe, f"output_dir={run}", "platform=rehearsal")
    assert done.returncode == 2
    assert str(newest) in done.stderr
    assert "damaged" in done.stderr
    shutil.rmtree(newest)
    must_run("magic_megatron.sft", *recipe, f"output_dir={run}", "platform=rehearsal")
    assert losses(run) == losses(uninterrupted)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=1e-3", "optim.lr=0.001: the run in output_dir="),
        ("resume=never", "resume=never: output_dir="),
        ("train.global_batch_size=3", "train.global_batch_size=3: the run in"),
        ("parallel.ep=2", "parallel.ep=2: etp·ep·pp = 1·2·1 = 2 must divide the world size 1"),
        ("data.path=nowhere/train", "data.path=nowhere/train: "),
        ("train.micro_batch_size=3", "train.global_batch_size=4: must divide by micro_batch_size·dp = 3·1"),
        ("optim.warmup_steps=8", "optim.warmup_steps=8: must be below the 8 steps"),
        ("optim.lr=-1", "optim.lr=-1.0: must be positive"),
        ("model.vocab_size=64", "model.vocab_size=64: the tokenizer has 2048 tokens"),
        ("data.pad_multiple=7", "data.sequence_length=512: must divide by data.pad_multiple=7"),
        ("init_from=nowhere", "init_from=nowhere: "),
        ("output_dir=/proc/run", "output_dir=/proc/run: "),
    ],
)
def test_bad_input_is_refused_before_anything_starts(override, message, recipe, uninterrupted):
    arguments = [*recipe, f"output_dir={uninterrupted}", "platform=rehearsal", override]
    done = run_module("magic_megatron.sft", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert len(metrics(uninterrupted)) == 8


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(recipe, tmp_path):
    arguments = [*recipe, f"output_dir={tmp_path / 'run'}", "platform=rehearsal"]
    done = run_module("magic_megatron.sft", *arguments, "optim.lr=1e30", "optim.clip_grad=0", "resume=never")
    assert done.returncode == 1
    assert "FloatingPointError: loss=" in done.stderr
    assert (tmp_path / "run/checkpoints/step_0000000").is_dir()
