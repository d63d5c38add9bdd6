"""``python -m magic_megatron.rl``: the real verl, vLLM and Ray, killed and resumed."""

import signal
import time

import psutil
import pytest
from rl_runs import SAMPLES_PER_STEP, check, finish, metrics, processes_of, start, wait_until
from tiny_model import save_tiny_model

from magic_megatron.rl.rollouts import read


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    save_tiny_model(folder, num_experts=0)
    return folder


def check_whole(run):
    """Of a run that lost nothing."""
    lines = check(run)
    assert [line["num_samples"] for line in lines] == [SAMPLES_PER_STEP] * 2
    assert [line["num_lost"] for line in lines] == [0, 0]
    assert "validation/errand/valid_seen/greedy" in lines[-1]
    kept = sorted(path.name for path in (run / "checkpoints").glob("global_step_*"))
    assert kept == ["global_step_1", "global_step_2"]


def test_a_run_in_an_environment(model, tmp_path):
    finish(model, tmp_path / "run", tmp_path / "log")
    check_whole(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("during", ["metrics.jsonl", "checkpoints/global_step_1"])
def test_a_killed_run_goes_on_and_leaves_nothing_behind(model, tmp_path, during):
    run, log_path = tmp_path / "run", tmp_path / "log"

    def is_there():
        path = run / during
        return path.is_dir() or (path.exists() and path.read_text())

    with log_path.open("w") as log:
        driver = start(model, run, log)
        try:
            wait_until(lambda: is_there() or driver.poll() is not None, 800, log_path, interval=0.01)
            assert driver.poll() is None, log_path.read_text()[-4000:]
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
    wait_until(lambda: not processes_of(run), 90, log_path)
    assert [line["step"] for line in metrics(run)] == ([1] if during == "metrics.jsonl" else [])
    finish(model, run, log_path)
    check_whole(run)


@pytest.mark.slow
def test_rollouts_are_saved_and_trained_on_later(model, tmp_path):
    rolled, trained = tmp_path / "rolled", tmp_path / "trained"
    finish(model, rolled, tmp_path / "log", "rollout_only=true")
    assert [line["num_samples"] for line in metrics(rolled)] == [SAMPLES_PER_STEP] * 2
    assert all("grad_norm" not in line and "reward" in line for line in metrics(rolled))
    finish(model, trained, tmp_path / "log", f"train_only={rolled}")
    lines = metrics(trained)
    assert [line["step"] for line in lines] == [1, 2]
    assert all(line["grad_norm"] > 0 for line in lines)
    # The second step's rollouts are of the policy that rolled out, which was never updated.
    assert lines[0]["log_prob_difference_max"] < 1e-3 < lines[1]["log_prob_difference_max"]
    saved, replayed = (
        [(s.step, s.sample, s.turn, s.response_ids, s.reward, s.won) for s in read(run, {1, 2})]
        for run in (rolled, trained)
    )
    assert replayed == saved


@pytest.mark.slow
def test_a_dead_engine_ends_the_run_with_a_reason(model, tmp_path):
    run, log_path = tmp_path / "run", tmp_path / "log"
    with log_path.open("w") as log:
        driver = start(model, run, log, "train.num_steps=200")
        try:
            wait_until(lambda: metrics(run) or driver.poll() is not None, 800, log_path)
            servers = [process for process in processes_of(run) if "vLLMHttpServer" in title(process)]
            pids = [process.pid for process in servers]
            (engine,) = [p for p in servers if p.ppid() in pids]  # a fork, of the same title
            engine.kill()
            assert driver.wait(timeout=300) == 1
        finally:
            driver.kill()
            driver.wait()
    assert "RolloutError" in log_path.read_text()
    wait_until(lambda: not processes_of(run), 90, log_path)


@pytest.mark.slow
def test_a_killed_environment_costs_its_episodes_and_no_step(model, tmp_path):
    run, log_path = tmp_path / "run", tmp_path / "log"
    num_steps, killed_at = 12, []
    pool = ["env.pool.num_actors=2", "env.pool.games_per_actor=2"]  # two of a step's four episodes in each
    overrides = [*pool, f"train.num_steps={num_steps}", "env.max_steps=24", "validation.interval=0"]

    def some_are_lost():
        """Kill an environment amid a rollout; once more where it had no game just then, as shows two steps later."""
        lines = metrics(run)
        if lines and (not killed_at or len(lines) > killed_at[-1] + 2):
            time.sleep(1.5)  # the next step's rollout began with the line
            hosts = [process for process in processes_of(run) if "GameHost" in title(process)]
            if len(hosts) == 2:
                hosts[0].kill()
                killed_at.append(len(lines))
        return any(line["num_lost"] for line in lines) or driver.poll() is not None

    with log_path.open("w") as log:
        driver = start(model, run, log, *overrides)
        try:
            wait_until(some_are_lost, 800, log_path)
            assert driver.wait(timeout=800) == 0, log_path.read_text()[-4000:]
        finally:
            driver.kill()
            driver.wait()
    lines = check(run, num_steps)
    (lost,) = [line for line in lines if line["num_lost"]]
    assert lost["num_lost"] == 2
    assert lost["step"] < num_steps  # another process plays on
    marked = [sample for sample in read(run, {lost["step"]}) if sample.lost]
    assert all("environment lost: its process crashed" in sample.reason for sample in marked)
    assert len({(sample.group, sample.sample) for sample in marked}) + lost["num_episodes"] - 4 <= 2
    wait_until(lambda: not processes_of(run), 90, log_path)


def title(process):
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
