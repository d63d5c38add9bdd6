"""``python -m magic_megatron.rl``: the real verl, vLLM and Ray, killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from tiny_model import save_tiny_model

from magic_megatron.rl.rollouts import read

NUM_STEPS = 2
OVERRIDES = [
    "platform=rehearsal",
    "algorithm=xxpo",
    "env=errand",
    "env.max_steps=3",
    "env.history_length=0",
    "env.num_instances=8",
    "env.num_validation_instances=2",
    "data.max_prompt_length=440",
    "data.max_response_length=24",
    f"train.num_steps={NUM_STEPS}",
    "train.batch_size=2",
    "train.save_interval=1",
    "rollout.n=2",
    "rollout.top_p=1",
    "rollout.top_k=-1",
    "validation.num_samples=1",
    "validation.interval=2",
    "validation.before=false",
    "optim.lr=1e-3",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    save_tiny_model(folder, num_experts=0)
    return folder


def start(model, run, log, *overrides):
    command = [sys.executable, "-m", "magic_megatron.rl", *OVERRIDES, f"model.path={model}"]
    environment = os.environ | {"MAGIC_TEST_RUN": str(run)}
    return subprocess.Popen(
        [*command, f"output_dir={run}", *overrides],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


def metrics(run):
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def processes_of(run):
    """Everything that was started for the run, Ray's daemons and vLLM included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MAGIC_TEST_RUN") == str(run):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until(condition, timeout, log):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.5)


def finish(model, run, log_path, *overrides):
    with log_path.open("a") as log:
        driver = start(model, run, log, *overrides)
        try:
            assert driver.wait(timeout=800) == 0, log_path.read_text()[-4000:]
        finally:
            driver.kill()
            driver.wait()
    wait_until(lambda: not processes_of(run), 90, log_path)


def check(run):
    lines = metrics(run)
    assert [line["step"] for line in lines] == list(range(1, NUM_STEPS + 1))
    for line in lines:
        # vLLM has the weights that the actor trains, and both compute in fp32.
        assert line["log_prob_difference_max"] < 1e-3
        assert line["num_samples"] == 2 * 2 * 3  # nobody wins with random weights
        assert line["grad_norm"] > 0
        assert line["entropy_term"] > 0
    assert "validation/errand/valid_seen/greedy" in lines[-1]
    samples = list(read(run, {NUM_STEPS}))
    assert len(samples) == lines[-1]["num_samples"]
    assert all(len(sample.entropies) == len(sample.response_ids) for sample in samples)
    kept = sorted(path.name for path in (run / "checkpoints").glob("global_step_*"))
    assert kept == ["global_step_1", "global_step_2"]


def test_a_run_in_an_environment(model, tmp_path):
    finish(model, tmp_path / "run", tmp_path / "log")
    check(tmp_path / "run")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_leaves_nothing_behind(model, tmp_path):
    run, log_path = tmp_path / "run", tmp_path / "log"
    with log_path.open("w") as log:
        driver = start(model, run, log)
        try:
            wait_until(lambda: metrics(run) or driver.poll() is not None, 800, log_path)
            assert driver.poll() is None, log_path.read_text()[-4000:]
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
    wait_until(lambda: not processes_of(run), 90, log_path)
    assert [line["step"] for line in metrics(run)] == [1]
    finish(model, run, log_path)
    check(run)


@pytest.mark.slow
def test_a_dead_engine_ends_the_run_with_a_reason(model, tmp_path):
    run, log_path = tmp_path / "run", tmp_path / "log"
    with log_path.open("w") as log:
        driver = start(model, run, log, "train.num_steps=200")
        try:
            wait_until(lambda: metrics(run) or driver.poll() is not None, 800, log_path)
            engines = [p for p in processes_of(run) if "EngineCore" in " ".join(p.cmdline())]
            assert engines
            engines[0].kill()
            assert driver.wait(timeout=300) == 1
        finally:
            driver.kill()
            driver.wait()
    assert "RolloutError" in log_path.read_text()
    wait_until(lambda: not processes_of(run), 90, log_path)
