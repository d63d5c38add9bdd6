"""verl's synchronous trainer with this project's loss, advantages, validation, metrics and checkpoints."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from tqdm import tqdm
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import rename_dict

from magic_megatron.config.rl_algorithm import AlgorithmConfig
from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.rl.advantages import turn_advantages
from magic_megatron.rl.engines.worker import PolicyWorker
from magic_megatron.rl.env_rows import first_games
from magic_megatron.rl.envs.pool import EnvironmentPool
from magic_megatron.rl.episodes import Turn, padded, read_turns
from magic_megatron.rl.loss import policy_loss
from magic_megatron.rl.metrics import step_metrics, summary_line, validation_metrics
from magic_megatron.rl.rollouts import RolloutWriter
from magic_megatron.rl.run_folder import MetricsFile, mark_complete, read_state
from magic_megatron.rl.samples import as_samples
from magic_megatron.rl.xxpo import History, measure_batch
from recipes.command import typed


class MagicTrainer(PPOTrainerSync):
    """One step: roll out, score, advantages within groups, one or several updates, and all of it on record.

    ``config.magic`` holds what verl's config has no place for; see ``verl_config.py``.
    """

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        self.settings = config.magic
        self.algorithm = typed(AlgorithmConfig, self.settings.algorithm)
        self.folder = Path(self.settings.output_dir)
        self.history = History()
        self._turns: list[Turn] = []
        self._entropies: list[list[float]] | None = None
        self._advantages = np.zeros(0)

    def on_init_end(self) -> None:
        """verl has loaded the checkpoint, if there is one, and is about to give the weights to vLLM.

        Raises:
            InputError: the environment doesn't start, or can't play.
        """
        if self.settings.env.get("name"):
            env = typed(EnvConfig, self.settings.env)
            EnvironmentPool.connect(env).check(first_games(self.train_dataset, self.val_dataset))
        if self.global_steps:
            state = read_state(self._checkpoint_folder(self.global_steps))
            self.history.load_state_dict(state["history"])
        self._actor_config = omega_conf_to_dataclass(self.config.actor_rollout_ref.actor)
        self._metrics_file = MetricsFile(self.folder / "metrics.jsonl", last_step=self.global_steps or -1)
        self._rollouts = RolloutWriter(self.folder / "rollouts") if self.settings.save_rollouts else None
        super().on_init_end()

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        worker: Any = ray.remote(PolicyWorker)
        self.role_worker_mapping = dict.fromkeys(self.role_worker_mapping, worker)

    # A step, in verl's order

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        """Samples differ in number from step to step where episodes differ in length: only updates must be even."""
        actor = self.config.actor_rollout_ref.actor
        rows = 1 if actor.use_dynamic_bsz else int(actor.ppo_micro_batch_size_per_gpu)
        return int(dp_size * self.settings.num_updates) * rows

    def _balance_batch(self, batch: KVBatchMeta, *args: Any, **kwargs: Any) -> KVBatchMeta:
        batch = super()._balance_batch(batch, *args, **kwargs)
        padding = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if tag.get("is_padding")]
        if padding:  # verl's padding repeats a sample's fields, but has a response of one token
            zero = torch.zeros(1, dtype=torch.int64)
            row = {"segments": zero, "turn_index": zero, "counts": zero, "is_padding": zero + 1}
            fields = tu.list_of_dict_to_tensordict([row] * len(padding))
            tq.kv_batch_put(keys=padding, partition_id=batch.partition_id, fields=fields)
        return batch

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)
        self._turns = read_turns(batch)
        self._entropies = _read(batch, self._turns, "entropy")
        own = _read(batch, self._turns, "old_log_probs")
        gaps = [
            abs(theirs - ours)
            for turn, values in zip(self._turns, own, strict=True)
            for theirs, ours in zip(turn.log_probs or (), values, strict=False)
        ]
        if gaps:
            metrics["magic/log_prob_difference_mean"] = float(np.mean(gaps))
            metrics["magic/log_prob_difference_max"] = float(np.max(gaps))
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """Eq. 9 over episodes. verl's own pass comes first, for its rollout correction."""
        batch = super()._compute_advantage(batch, metrics)
        self._advantages = turn_advantages(self._turns, self.algorithm)
        rows = np.zeros(len(batch))
        rows[[turn.row for turn in self._turns]] = self._advantages
        masks = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=["response_mask"]
        )["response_mask"]
        values = [mask * float(row) for mask, row in zip(masks.unbind(), rows, strict=True)]
        nested = torch.nested.as_nested_tensor(values, layout=torch.jagged)
        fields = TensorDict({"advantages": nested, "returns": nested.clone()}, batch_size=len(batch))
        return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """``train.num_updates`` optimizer steps over the samples, with the loss of the algorithm."""
        assert self._entropies is not None
        step = padded(self._turns, self._entropies)
        size, episode_turns = measure_batch(
            step.mask, step.segments, step.episodes, int(self.settings.num_updates)
        )
        batch = self._put_episode_turns(batch, episode_turns)
        self.actor_rollout_wg.set_loss_fn(
            partial(
                policy_loss,
                config=self._actor_config,
                settings=self.algorithm,
                history=self.history,
                size=size,
            )
        )
        num_rows = len(batch) // int(self.settings.num_updates)
        actor = self.config.actor_rollout_ref.actor
        batch.extra_info.update(
            {
                "calculate_entropy": True,
                "distillation_use_topk": False,
                "distillation_only": False,
                "global_batch_size": num_rows,
                "mini_batch_size": num_rows,
                "epochs": actor.ppo_epochs,
                "seed": actor.data_loader_seed,
                "dataloader_kwargs": {"shuffle": actor.shuffle},
                "temperature": self.config.actor_rollout_ref.rollout.temperature,
            }
        )
        output = self.actor_rollout_wg.update_actor(batch)
        metrics.update(reduce_metrics(rename_dict(output["metrics"], "actor/")))
        self.history.add(step.entropy, step.mask, step.segments, step.turn_index)
        return batch

    def _step_once(
        self, metrics: dict[str, Any], timing_raw: dict[str, float], sample_batch_size: int
    ) -> Any:
        if not self.settings.rollout_only:
            return super()._step_once(metrics, timing_raw, sample_batch_size)
        batch, _ = self.replay_buffer.sample(
            global_steps=self.global_steps, partition_id="train", batch_size=sample_batch_size
        )
        self._turns = read_turns(batch)
        self._entropies, self._advantages = None, turn_advantages(self._turns, self.algorithm)
        return batch

    def _put_episode_turns(self, batch: KVBatchMeta, episode_turns: torch.Tensor) -> KVBatchMeta:
        rows = torch.zeros(len(batch), 1, dtype=torch.int64)
        rows[[turn.row for turn in self._turns], 0] = episode_turns
        fields = TensorDict({"episode_turns": rows}, batch_size=len(batch))
        return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)

    # Validation

    def _validate(self) -> dict[str, float]:
        """Every held-out prompt greedily and as in training; games by whether they are won."""
        turns: list[Turn] = []
        for rows in chain.from_iterable(map(_by_sampling, self.val_dataloader)):
            rows["uid"] = np.array([str(uuid.uuid4()) for _ in rows["raw_prompt"]], dtype=object)
            batch = tu.get_tensordict(rows)
            tu.assign_non_tensor_data(batch, "global_steps", self.global_steps)
            tu.assign_non_tensor_data(batch, "validate", True)
            tag = {"is_prompt": True, "status": "pending", "global_steps": self.global_steps}
            tq.kv_batch_put(
                keys=list(batch["uid"]), partition_id="val", tags=[dict(tag) for _ in range(len(batch))]
            )
            self.agent_loop_manager.generate_sequences(batch)
            answers, _ = self.replay_buffer.sample(
                global_steps=self.global_steps, partition_id="val", batch_size=len(batch)
            )
            turns += read_turns(answers)
            tq.kv_clear(keys=answers.keys, partition_id="val")
        line = validation_metrics(turns)
        if self.global_steps == 0:  # later ones stand in their step's line
            self._metrics_file.write({"step": 0, **line})
        tqdm.write(summary_line(self.global_steps, line))
        return line

    # Record

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        if self.settings.rollout_only:  # verl's figures are of a batch that was trained on
            metrics |= {f"timing_s/{name}": seconds for name, seconds in timing_raw.items()}
        else:
            super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        line = step_metrics(
            self.global_steps,
            metrics,
            self._turns,
            self._advantages,
            self._num_asked(),
            self.config.data.max_response_length,
        )
        line |= {
            f"history_{name}": past.mean
            for name, past in (("think", self.history.think), ("act", self.history.action))
            if past.mean is not None
        }
        self._metrics_file.write(line)
        tqdm.write(summary_line(self.global_steps, line))
        if self._rollouts is not None:
            samples = as_samples(
                self.global_steps, self._turns, self.tokenizer, self._entropies, self._advantages.tolist()
            )
            self._rollouts.write(self.global_steps, samples)
        checkpoint = self._checkpoint_folder(self.global_steps)
        if checkpoint.is_dir():  # whole only now, so that a run that goes on from it lacks no line
            state = {"step": self.global_steps, "history": self.history.state_dict()}
            mark_complete(checkpoint, state, self.settings.keep_checkpoints)

    def _num_asked(self) -> int:
        return int(self.config.data.train_batch_size * self.config.actor_rollout_ref.rollout.n)

    def _checkpoint_folder(self, step: int) -> Path:
        return Path(self.config.trainer.default_local_dir) / f"global_step_{step}"


def _by_sampling(rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Greedy and sampled answers apart: vLLM on a CPU ignores the seeds of a batch that has both."""
    kinds = np.asarray(rows["sampling"])
    for kind in dict.fromkeys(kinds.tolist()):
        places = np.flatnonzero(kinds == kind)
        yield {name: values[places] for name, values in rows.items()}


def _read(batch: KVBatchMeta, turns: list[Turn], field: str) -> list[list[float]]:
    """A per-token field of the samples that aren't padding."""
    data = tq.kv_batch_get(
        keys=[batch.keys[turn.row] for turn in turns], partition_id=batch.partition_id, select_fields=[field]
    )
    return [row.tolist() for row in data[field].unbind()]
