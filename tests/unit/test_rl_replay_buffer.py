"""What the watched replay buffer says of rollouts that fail or don't come."""

import json

import pytest
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from magic_megatron.rl.agents.base import ERRORS_FILE
from magic_megatron.rl.replay_buffer import RolloutError, WatchedReplayBuffer


def note(folder, prompt, error, lost=False):
    line = {"prompt": prompt, "lost": lost, "error": f"Traceback\nValueError: {error}"}
    with (folder / ERRORS_FILE).open("a") as file:
        file.write(json.dumps(line) + "\n")


def watched(folder, timeout_s=60.0):
    return WatchedReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create({"timeout_s": timeout_s, "output_dir": str(folder)}),
    )


def test_a_failed_prompt_is_named_with_the_error_of_this_run(tmp_path):
    note(tmp_path, "row-1", "of the run before")
    buffer = watched(tmp_path)
    note(tmp_path, "game-3", "the kitchen is gone", lost=True)
    note(tmp_path, "row-7", "the engine is gone")
    buffer.failure_keys["train"] = {"uid"}
    with pytest.raises(RolloutError, match=r"1 prompts failed.*row-7: ValueError: the engine is gone"):
        buffer._sampleable_terminal_keys("train", (set(), set(), set(), {}))
    buffer.failure_keys["train"] = set()
    buffer.finished_keys["train"] = {"other"}
    assert buffer._sampleable_terminal_keys("train", (set(), set(), set(), {})) == {"other"}


def test_a_step_without_a_single_sample_is_told_why(tmp_path, monkeypatch):
    buffer = watched(tmp_path)
    note(tmp_path, "game-3", "environment lost: the kitchen is gone", lost=True)
    monkeypatch.setattr(ReplayBuffer, "sample", lambda *_: (KVBatchMeta(partition_id="train"), {}))
    with pytest.raises(RolloutError, match=r"all episodes of 2 prompts .* game-3: .*the kitchen is gone"):
        buffer.sample(1, "train", 2)


def test_silence_ends_the_run_and_progress_does_not(tmp_path):
    buffer = watched(tmp_path, timeout_s=0.15)
    buffer.pending_keys["train"] = {"a", "b"}
    buffer._wait_for_next_poll("train", 0.0)
    buffer.pending_keys["train"] = {"a"}
    buffer._wait_for_next_poll("train", 0.0)
    with pytest.raises(RolloutError, match=r"watchdog.timeout_s=0.15"):
        for _ in range(5):
            buffer._wait_for_next_poll("train", 0.0)
