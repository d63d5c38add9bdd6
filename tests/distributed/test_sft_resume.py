"""Checkpoints: a run that is killed or stopped goes on to the same weights."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from commands import must_run
from sft_runs import launcher, metrics, run_sft

RECIPE = [
    "platform=rehearsal",
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


def losses(output_dir):
    return [line["loss"] for line in metrics(output_dir)]


def shards(output_dir):
    """SHA-256 of the newest checkpoint's shards: weights, optimizer state and router statistics."""
    newest = sorted((output_dir / "checkpoints").glob("step_*"))[-1]
    files = sorted(newest.glob("*.distcp"))
    assert files
    return newest.name, [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_killed_again_and_again_a_run_ends_with_the_same_weights(recipe, uninterrupted, tmp_path):
    run = tmp_path / "run"
    command = [*launcher(1), "-m", "magic_megatron.sft", *recipe, f"output_dir={run}"]
    for step in (1, 5):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 600
        while process.poll() is None and _steps_done(run) < step and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, process.stderr.read()[-3000:]
        process.send_signal(signal.SIGKILL)
        process.communicate()
    must_run("magic_megatron.sft", *recipe, f"output_dir={run}")
    assert [line["step"] for line in metrics(run)] == list(range(1, 9))
    assert losses(run) == losses(uninterrupted)
    assert shards(run) == shards(uninterrupted)


def _steps_done(run):
    path = run / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.slow
def test_killed_ten_times_at_random_a_run_ends_with_the_same_weights(recipe, uninterrupted, tmp_path):
    """Whatever it was doing: starting, training, writing a checkpoint of every step, renaming it, loading it."""
    run, random = tmp_path / "run", Random(7)
    every_step = [*recipe, "train.save_interval=1", f"output_dir={run}"]
    command = [*launcher(1), "-m", "magic_megatron.sft", *every_step]
    for _ in range(10):
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        started, begun = time.monotonic(), None
        wait = random.uniform(0, 1.5)
        while process.poll() is None and (begun is None or time.monotonic() < begun + wait):
            assert time.monotonic() < started + 600
            if begun is None and _is_running(run, process.pid):
                begun = time.monotonic()
            time.sleep(0.001)
        process.kill()
        process.wait()
    must_run("magic_megatron.sft", *every_step)
    assert [line["step"] for line in metrics(run)] == list(range(1, 9))
    assert losses(run) == losses(uninterrupted)
    assert shards(run) == shards(uninterrupted)
    assert not list((run / "checkpoints").glob(".step_*"))


def _is_running(run, pid):
    path = run / "status.json"
    return path.exists() and json.loads(path.read_text())["pid"] == pid


def test_a_run_starts_from_weights_that_went_through_hugging_face(recipe, uninterrupted, tmp_path):
    checkpoint = uninterrupted / "checkpoints/step_0000008"
    must_run("magic_megatron.convert", "direction=to_hf", f"source={checkpoint}", f"target={tmp_path / 'hf'}")
    must_run(
        "magic_megatron.convert",
        "direction=from_hf",
        f"source={tmp_path / 'hf'}",
        f"target={tmp_path / 'back'}",
    )
    runs = {
        name: [*recipe, "train.num_steps=1", f"init_from={source}"]
        for name, source in {"direct": checkpoint, "through_hf": tmp_path / "back"}.items()
    }
    found = run_sft(1, runs, tmp_path)
    assert found["direct"][0]["loss"] == found["through_hf"][0]["loss"]
    assert found["direct"][0]["loss"] < losses(uninterrupted)[0]


# Processes, override, how the refusal begins.
REFUSALS = [
    (1, "optim.lr=1e-3", "optim.lr=0.001: the run in output_dir="),
    (1, "resume=never", "resume=never: output_dir="),
    (1, "train.num_steps=7", "train.num_steps=7: the run in output_dir="),
    (1, "train.global_batch_size=2", "train.global_batch_size=2: the run in output_dir="),
    (1, "model.num_experts=4", "model.num_experts=4: the run in output_dir="),
    (1, "parallel.ep=2", "parallel.ep=2: etp·ep·pp = 1·2·1 = 2 must divide the world size 1"),
    (
        1,
        "parallel.tp=3",
        "parallel.tp=3 parallel.pp=1 parallel.cp=1: tp·pp·cp = 3 must divide the world size 1",
    ),
    (1, "data.path=nowhere/train", "data.path=nowhere/train: nowhere/train_manifest.json is missing"),
    (
        1,
        "train.micro_batch_size=3",
        "train.global_batch_size=4: must divide by micro_batch_size·dp = 3·1 = 3",
    ),
    (1, "train.save_interval=0", "train.save_interval=0: must be at least 1"),
    (1, "optim.warmup_steps=8", "optim.warmup_steps=8: must be below the 8 steps"),
    (1, "optim.lr=-1", "optim.lr=-1.0: must be positive"),
    (1, "optim.beta1=1", "optim.beta1=1.0: must lie in [0, 1)"),
    (1, "moe.aux_loss_coeff=-1", "moe.aux_loss_coeff=-1.0: must not be negative"),
    (1, "model.vocab_size=64", "model.vocab_size=64: the tokenizer has "),
    (1, "data.pad_multiple=7", "data.sequence_length=512: must divide by data.pad_multiple=7"),
    (1, "init_from=nowhere", "init_from=nowhere: "),
    (1, "output_dir=/proc/nowhere", "output_dir=/proc/nowhere: /proc is not a folder that can be written"),
]


def test_bad_input_is_refused_before_anything_starts(recipe, uninterrupted, tmp_path):
    plan = tmp_path / "runs.json"
    common = [*recipe, f"output_dir={uninterrupted}"]
    plan.write_text(json.dumps([[world_size, [*common, override]] for world_size, override, _ in REFUSALS]))
    worker = Path(__file__).with_name("sft_refusals.py")
    done = subprocess.run(
        [sys.executable, str(worker), str(plan)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for (_, override, expected), answer in zip(REFUSALS, json.loads(done.stdout), strict=True):
        assert answer is not None, f"{override} was accepted"
        assert answer.startswith(expected), answer
    assert len(metrics(uninterrupted)) == 8


def test_a_finished_run_is_left_as_it_is(recipe, uninterrupted):
    before = shards(uninterrupted)
    must_run("magic_megatron.sft", *recipe, f"output_dir={uninterrupted}")
    assert shards(uninterrupted) == before
    assert len(metrics(uninterrupted)) == 8
