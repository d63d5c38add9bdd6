"""Waiting for rollouts, with an end: verl's replay buffer, watched.

A vLLM engine or an agent loop that dies leaves verl's trainer waiting for answers that never come, or goes on with
fewer samples than asked for. Here either ends the run with a reason, and the run resumes from its checkpoint.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ray
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from magic_megatron.rl.agents.base import ERRORS_FILE

POLL_S = 0.1
ACTOR_CHECK_S = 5.0


class RolloutError(RuntimeError):
    """A rollout failed or stopped. The message says what is known and what to do."""


class WatchedReplayBuffer(ReplayBuffer):
    """verl's ``trainer.v1.sampler.custom_sampler``, where ``sample`` raises ``RolloutError`` and doesn't wait in vain.

    Args:
        sampler_kwargs: ``timeout_s``, the longest time without a finished prompt, and ``output_dir``, where the agent
            loops note their errors.
    """

    def __init__(self, *, sampler_kwargs: Any, **kwargs: Any) -> None:
        super().__init__(sampler_kwargs=sampler_kwargs, poll_interval=POLL_S, **kwargs)
        self._timeout_s = float(sampler_kwargs.timeout_s)
        self._errors = Path(sampler_kwargs.output_dir) / ERRORS_FILE
        self._num_old_errors = len(self._read_errors())
        self._state: tuple[int, int] | None = None
        self._last_change = self._last_check = time.monotonic()

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """As verl's; the time for training since the last call doesn't count as waiting."""
        self._state = None
        sampled: tuple[Any, dict[str, Any]] = super().sample(global_steps, partition_id, batch_size)
        if not sampled[0].keys:
            raise RolloutError(
                f"all episodes of {batch_size} prompts were lost before their first turn; {self._first_error(True)}"
            )
        return sampled

    def _sampleable_terminal_keys(self, partition_id: str, eviction_reasons: Any) -> set[str]:
        """verl goes on with failed prompts; it asks for these before each selection."""
        self._refuse_failures(partition_id)
        keys: set[str] = super()._sampleable_terminal_keys(partition_id, eviction_reasons)
        return keys

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        now = time.monotonic()
        state = (
            sum(len(keys) for keys in self.pending_keys.values()),
            len(self.partitions[partition_id]),
        )
        if state != self._state:
            self._state, self._last_change = state, now
        if now - self._last_check > ACTOR_CHECK_S:
            self._last_check = now
            _refuse_dead_actors()
        if now - self._last_change > self._timeout_s:
            raise RolloutError(
                f"watchdog.timeout_s={self._timeout_s:g}: no answer was finished for that long while"
                f" {len(self.running_keys[partition_id])} prompts were running; the rollout engine hangs, or raise it"
                " if answers take this long"
            )
        time.sleep(self.poll_interval)
        return last_debug_time

    def _refuse_failures(self, partition_id: str) -> None:
        failed = self.failure_keys[partition_id]
        if not failed:
            return
        raise RolloutError(f"{len(failed)} prompts failed in the agent loop; {self._first_error(False)}")

    def _first_error(self, lost: bool) -> str:
        """Of this run, of episodes that were ``lost`` or of those that failed."""
        known = [json.loads(line) for line in self._read_errors()[self._num_old_errors :]]
        for error in known:
            if error["lost"] == lost:
                last_line = error["error"].strip().splitlines()[-1]
                return f"the first, {error['prompt']}: {last_line} (all in {self._errors})"
        return "see the logs of Ray's workers"

    def _read_errors(self) -> list[str]:
        """What agent loops noted, in earlier runs of the folder too."""
        return self._errors.read_text().splitlines() if self._errors.exists() else []


def _refuse_dead_actors() -> None:
    """Ray tells of a dead actor only who calls it, and nobody calls one that is waited for."""
    dead = Counter(
        state["ActorClassName"]
        for state in ray._private.state.actors().values()
        if state["State"] == "DEAD" and state.get("JobID") == ray.get_runtime_context().get_job_id()
    )
    if dead:
        names = ", ".join(f"{count} {name}" for name, count in dead.items())
        raise RolloutError(
            f"processes of the run died: {names}; the same command resumes from the last checkpoint"
        )
