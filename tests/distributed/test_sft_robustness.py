"""What can go wrong with a run's folder or its numbers: damaged checkpoints, a full disk, a loss that is no number."""

import json
import os
import resource
import shutil
import subprocess
import time

import pytest
import torch.distributed as dist
from commands import must_run, run_module
from sft_runs import launcher, metrics, run_sft

from magic_megatron.sft.integrity import find_damage

RECIPE = [
    "platform=rehearsal",
    "train.num_steps=4",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "train.save_interval=2",
    "train.keep_checkpoints=9",
    "data.sequence_length=512",
    "optim.lr=2e-3",
]


@pytest.fixture(scope="module")
def recipe(export_folder):
    return [f"data.path={export_folder / 'train'}", *RECIPE]


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run_sft(1, {"run": recipe}, folder)
    return folder / "run"


def losses(output_dir):
    return [line["loss"] for line in metrics(output_dir)]


def names(output_dir):
    return sorted(path.name for path in (output_dir / "checkpoints").iterdir())


def cut(path):
    path.write_bytes(path.read_bytes()[:-64])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def spoil(path):
    path.write_text("{")


DAMAGE = [
    (cut, "__0_0.distcp", "__0_0.distcp isn't as it was written"),
    (flip, ".metadata", ".metadata isn't as it was written"),
    (os.remove, "tokenizer/tokenizer.json", "tokenizer.json: No such file or directory"),
    (spoil, "trainer.json", "trainer.json isn't as it was written"),
    (spoil, "integrity.json", "integrity.json can't be read"),
]


@pytest.fixture
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(("harm", "name", "said"), DAMAGE, ids=[name for _, name, _ in DAMAGE])
def test_damage_is_found_and_named(one_process, finished, tmp_path, harm, name, said):
    checkpoint = tmp_path / "step_0000004"
    shutil.copytree(finished / "checkpoints/step_0000004", checkpoint)
    assert find_damage(checkpoint) is None
    harm(checkpoint / name)
    assert said in find_damage(checkpoint)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(recipe, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    newest = run / "checkpoints/step_0000004"
    harm, name, said = DAMAGE[0]
    harm(newest / name)
    done = must_run("magic_megatron.sft", *recipe, f"output_dir={run}")
    assert f"warning: checkpoint {newest} is damaged ({said}" in done.stderr
    assert "set aside as step_0000004.damaged, going on from step_0000002" in done.stderr
    assert names(run) == ["step_0000000", "step_0000002", "step_0000004", "step_0000004.damaged"]
    assert losses(run) == losses(finished)
    assert [line["step"] for line in metrics(run)] == [1, 2, 3, 4]


def test_without_a_whole_checkpoint_nothing_is_touched(recipe, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for step in (0, 2, 4):
        flip(run / f"checkpoints/step_000000{step}/__0_0.distcp")
    (run / "checkpoints/step_0000004/recipe.yaml").unlink()
    before = names(run), (run / "metrics.jsonl").read_text()
    done = run_module("magic_megatron.sft", *recipe, f"output_dir={run}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"output_dir={run}: no checkpoint of the run there is whole: step_0000004 (" in done.stderr
    assert "step_0000002 (__0_0.distcp isn't as it was written), step_0000000 (" in done.stderr
    assert "start anew in another output_dir" in done.stderr
    assert (names(run), (run / "metrics.jsonl").read_text()) == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 20 MiB: two checkpoints of the tiny model fit, three don't."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("num_processes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_no_room_for_a_checkpoint(recipe, finished, small_disk, num_processes):
    run = small_disk / "run"
    command = [*launcher(num_processes), "-m", "magic_megatron.sft", *recipe, f"output_dir={run}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == (2 if num_processes == 1 else 1)
    assert f"error: output_dir={run}: the checkpoint of step 4, 0.0" in done.stderr
    assert "GB, could not be written (No space left on device); 0.0" in done.stderr
    assert "GB are free there; make room, and the same command goes on from step 2" in done.stderr
    assert "Traceback" not in done.stderr or num_processes > 1
    assert names(run) == ["step_0000000", "step_0000002"]
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    subprocess.run(command, check=True, timeout=600)
    assert names(run) == ["step_0000000", "step_0000002", "step_0000004"]
    assert losses(run) == pytest.approx(losses(finished), rel=1e-5)


def test_the_disk_runs_full_between_checkpoints(recipe, finished, small_disk):
    run = small_disk / "run"
    arguments = [*recipe, "train.num_steps=300", "train.save_interval=300", f"output_dir={run}"]
    command = [*launcher(1), "-m", "magic_megatron.sft", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600
    while not (run / "metrics.jsonl").exists() or not metrics(run):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    filler = subprocess.run(
        ["dd", "if=/dev/zero", f"of={small_disk / 'filler'}", "bs=1k"], capture_output=True
    )
    assert b"No space left" in filler.stderr
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2, errors[-3000:]
    assert f"output_dir={run}: metrics.jsonl could not be written (No space left on device); 0.0" in errors
    assert names(run) == ["step_0000000"]
    (small_disk / "filler").unlink()
    must_run("magic_megatron.sft", *recipe, "train.save_interval=4", f"output_dir={run}")
    assert losses(run) == losses(finished)


@pytest.mark.parametrize("async_save", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_a_write_that_fails_in_the_middle(recipe, tmp_path, async_save):
    """Every file may have 6 MB, a shard with the optimizer's state needs 11."""
    run = tmp_path / "run"
    done = subprocess.run(
        [
            *launcher(1),
            "-m",
            "magic_megatron.sft",
            *recipe,
            f"train.async_save={async_save}",
            f"output_dir={run}",
        ],
        capture_output=True,
        text=True,
        timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000)),
    )
    assert done.returncode == 2, done.stderr[-3000:]
    assert f"output_dir={run}: the checkpoint of step 2, 0.01" in done.stderr
    assert "could not be written (File too large)" in done.stderr
    assert "goes on from step 0" in done.stderr
    assert names(run) == ["step_0000000"]


@pytest.mark.parametrize(("lr", "is_spoilt"), [("1e20", False), ("1e30", True)])
def test_a_loss_that_is_no_number(recipe, export_folder, tmp_path, lr, is_spoilt):
    """With 1e20 a finite update makes the loss overflow; with 1e30 the gradients do, and spoil the weights first."""
    run = tmp_path / "run"
    arguments = [
        *recipe,
        f"optim.lr={lr}",
        "optim.clip_grad=0",
        "train.save_interval=100",
        "train.keep_checkpoints=1",
    ]
    done = run_module("magic_megatron.sft", *arguments, f"output_dir={run}")
    assert done.returncode == 1
    bad = json.loads((run / "bad_batch.json").read_text())
    step = bad["step"]
    assert f"FloatingPointError: loss={bad['loss']} at step {step}: stopped before the update" in done.stderr
    assert f"{run / 'bad_batch.json'} names the rows of the step" in done.stderr
    last = "step_0000000" if is_spoilt else f"step_{step - 1:07d}"
    assert f"init_from={run / 'checkpoints' / last}" in done.stderr
    assert ("The weights are spoilt since an earlier update" in done.stderr) == is_spoilt
    assert names(run) == sorted({"step_0000000", last})
    assert bad["losses_before"] == losses(run)
    assert [pack["pack"] for pack in bad["packs"]] == list(range(4 * (step - 1), 4 * step))
    lines = [json.loads(line) for line in (export_folder / "train_rows.jsonl").read_text().splitlines()]
    rows = [row for pack in bad["packs"] for row in pack["rows"]]
    assert rows
    assert all(row == {"row": row["row"], **lines[row["row"]]} for row in rows)
    assert all(row["id"] for row in rows)
