"""The training loop: build, restore, step, log, save."""

from __future__ import annotations

import dataclasses
import math
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import (
    DistributedDataParallel,
    finalize_model_grads,
)

from magic_megatron.config.record import write_recipe
from magic_megatron.data.balance import attention_weight
from magic_megatron.data.batch import MicroBatch
from magic_megatron.data.sampler import GlobalBatches
from magic_megatron.data.summary import tell_summary
from magic_megatron.models.main_rank import on_main
from magic_megatron.models.training_state import TrainingState
from magic_megatron.moe.router import BatchSize, RouterStatistics
from magic_megatron.moe.tally import RouterMetrics
from magic_megatron.platform import peak_memory
from magic_megatron.sft import checkpoints
from magic_megatron.sft.bad_batch import write_bad_batch
from magic_megatron.sft.build import build_chunk, build_optimizer, build_scheduler, core_config, wrap
from magic_megatron.sft.preflight import RunPlan, data_digest
from magic_megatron.sft.processes import model_parallel
from magic_megatron.sft.progress import RunLog, run_log
from magic_megatron.sft.saving import CheckpointWriter, no_room
from magic_megatron.sft.speed import SpeedMeter, StepClock
from magic_megatron.sft.step import ForwardBackward
from magic_megatron.sft.stopping import StopRequest, stop_on_signal, write_status
from magic_megatron.sft.validation import Validation
from recipes.command import InputError, hold_folder


def train(plan: RunPlan) -> None:
    """Run ``plan`` to its last step. Every process of the world calls this, inside ``distributed``."""
    config = plan.config
    is_main = dist.get_rank() == 0
    with (
        stop_on_signal() as stop,
        model_parallel(config.parallel, config.seed),
        hold_folder("output_dir", Path(config.output_dir)) if is_main else nullcontext(),
    ):
        plan = _from_whole_checkpoint(plan)
        if is_main:
            write_recipe(config)
            shutil.copytree(plan.tokenizer, Path(config.output_dir) / "tokenizer", dirs_exist_ok=True)
            tell_summary(plan.dataset, Path(config.output_dir))
        dist.barrier()
        trainer = Trainer(plan, stop)
        try:
            with run_log(config, plan.first_step, plan.num_steps, is_main) as log:
                trainer.run(log)
        except OSError as error:
            # On a full disk the log can't be closed either, which must not hide why the run ended.
            if isinstance(error.__context__, InputError):
                raise error.__context__ from error
            raise


class Trainer:
    """The model, optimizer and router statistics of this rank, and the steps over them."""

    def __init__(self, plan: RunPlan, stop: StopRequest) -> None:
        self.plan = plan
        self.stop = stop
        self.config = plan.config
        core = core_config(self.config)
        chunk = build_chunk(plan, core)
        self.ddp = wrap(chunk, core, self.config)
        self.optimizer = build_optimizer(self.config, self.ddp)
        core.finalize_model_grads_func = finalize_model_grads
        core.grad_scale_func = self.optimizer.scale_loss
        self.router = _router_statistics(plan, self.ddp)
        self.state = TrainingState(chunk, self.optimizer, self.router)
        self.step = plan.first_step
        self.output_dir = Path(self.config.output_dir)
        self.writer = CheckpointWriter(
            self.output_dir,
            plan.tokenizer,
            keep=self.config.train.keep_checkpoints,
            in_background=self.config.train.async_save,
        )
        self.speed = SpeedMeter(
            self.config.model, self.config.cluster, plan.vocab_size, dist.get_world_size()
        )
        self.peak_memory = 0
        self.losses: deque[float] = deque(maxlen=10)
        self.log_error: OSError | None = None
        if plan.checkpoint is not None:
            self.state.restore(plan.checkpoint, checkpoints.step_of(plan.checkpoint))
        self.scheduler = build_scheduler(self.config, self.optimizer, plan.num_steps)
        self.scheduler.step(self.step)
        self.batches = GlobalBatches(
            plan.dataset,
            global_batch_size=self.config.train.global_batch_size,
            micro_batch_size=self.config.train.micro_batch_size,
            dp_rank=parallel_state.get_data_parallel_rank(),
            dp_size=plan.dp,
            attention_weight=attention_weight(self.config.model, plan.vocab_size),
        )
        self.forward_backward = ForwardBackward(
            [self.ddp],
            self.router,
            self.config.train.micro_batch_size * self.config.data.sequence_length,
        )

    @cached_property
    def validation(self) -> Validation | None:
        if self.plan.validation is None:
            return None
        return Validation(self.ddp, self.plan.validation, self.config.train.micro_batch_size, self.plan.dp)

    def run(self, log: RunLog) -> None:
        """From the step after the last checkpoint to the end; a fresh run saves its untrained weights first."""
        self._tell("running")
        if self.plan.checkpoint is None:
            self._save()
        while self.step < self.plan.num_steps:
            if signal_number := self._agree():
                self._stop(signal.Signals(signal_number))
                return
            metrics, routing = self._train_step()
            self._log(log.step, metrics)
            if self.validation is not None and self._is_validation_due():
                self._log(log.validation, {"step": self.step, **self.validation()})
            if routing is not None:
                self._log(log.routing, routing)
            if self.step % self.config.train.save_interval == 0 or self.step == self.plan.num_steps:
                self._save()
        self._agree()
        self.writer.finish()
        self._tell("finished")

    def _agree(self) -> int:
        """Between two steps, in one all-reduce: the signal that reached any rank, how their writing goes, and how
        much memory the fullest took.

        A checkpoint that all ranks have written is made complete.

        Raises:
            InputError: the disk is full.
        """
        memory = peak_memory(self.config.platform.name)
        flags = [self.stop.signal_number, self.writer.is_busy, self.log_error is not None, memory]
        agreed = torch.tensor(flags, dtype=torch.int64, device=torch.cuda.current_device())
        dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
        number, is_busy, cannot_log, self.peak_memory = agreed.tolist()
        if cannot_log:
            self._raise_log_error()
        if not is_busy:
            self.writer.finish()
        return int(number)

    def _stop(self, number: signal.Signals) -> None:
        self._save()
        self.writer.finish()
        self._tell("stopped")
        if dist.get_rank() == 0:
            print(
                f"stopped by {number.name} and saved after step {self.step} of"
                f" {self.plan.num_steps}; the same command goes on from there",
                file=sys.stderr,
            )

    def _log(self, write: Callable[[dict[str, Any]], None], line: dict[str, Any]) -> None:
        """Rank 0 alone writes; what goes wrong there is told to all before the next step."""
        try:
            write(line)
        except OSError as error:
            self.log_error = error

    def _raise_log_error(self) -> NoReturn:
        self.writer.finish()
        errors = [self.log_error]
        dist.broadcast_object_list(errors, src=0)
        assert errors[0] is not None
        raise no_room(self.output_dir, "metrics.jsonl", errors[0])

    def _tell(self, state: Literal["running", "stopped", "finished"]) -> None:
        on_main(lambda: write_status(self.output_dir, state, self.step, self.plan.num_steps))

    def _train_step(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        clock = StepClock()
        num_tokens, num_loss_tokens = self.batches.num_tokens(self.step)
        batches = self._local_microbatches()
        clock.mark()
        lr = self.scheduler.get_lr(self.optimizer.param_groups[0])
        self._begin_router(batches, num_tokens, num_loss_tokens)
        self.ddp.zero_grad_buffer()
        self.optimizer.zero_grad()
        loss = self.forward_backward(batches).item() / max(num_loss_tokens, 1)
        if not math.isfinite(loss):
            self._refuse_loss(loss)
        self.losses.append(loss)
        router = self.router.end_step() if self.router is not None else None
        clock.mark()
        updated, grad_norm, _ = self.optimizer.step()
        assert updated, "the optimizer skipped an update without a gradient scaler"
        clock.mark()
        self.scheduler.step(1)
        lengths = self.batches.row_lengths(self.step)
        self.step += 1
        metrics = {
            "step": self.step,
            "loss": loss,
            "grad_norm": float(grad_norm),
            "lr": lr,
            "num_tokens": num_tokens,
            "num_loss_tokens": num_loss_tokens,
            **(_router_metrics(router) if router is not None else {}),
            **self.speed(clock, lengths, max(self.peak_memory, peak_memory(self.config.platform.name))),
        }
        return metrics, self._routing_line(router)

    def _begin_router(self, batches: list[MicroBatch], num_tokens: int, num_loss_tokens: int) -> None:
        if self.router is None:
            return
        size = BatchSize(
            num_tokens,
            num_loss_tokens,
            num_microbatches=len(batches) * self.plan.dp,
            num_sequences=self.batches.num_sequences(self.step),
        )
        self.router.begin_step(size, num_local_microbatches=len(batches))
        if self.router.needs_statistics_pass:
            with self.router.counting():
                self.forward_backward(batches, forward_only=True)

    def _local_microbatches(self) -> list[MicroBatch]:
        cp_size = parallel_state.get_context_parallel_world_size()
        cp_rank = parallel_state.get_context_parallel_rank()
        device = torch.device(torch.cuda.current_device())
        return [
            batch.context_parallel_part(cp_size, cp_rank).to(device)
            for batch in self.batches.microbatches(self.step)
        ]

    def _routing_line(self, router: RouterMetrics | None) -> dict[str, Any] | None:
        if router is None or router.domain_counts is None or not self._is_routing_due(self.step):
            return None
        return {
            "step": self.step,
            "domains": list(self.plan.dataset.manifest.domains),
            "layers": list(range(self.config.model.num_hidden_layers)),
            "counts": router.domain_counts.tolist(),
            "domain_divergence": router.domain_divergence,
        }

    def _is_validation_due(self) -> bool:
        return self.step % self.config.train.validation_interval == 0 or self.step == self.plan.num_steps

    def _is_routing_due(self, step: int) -> bool:
        return step % self.config.train.routing_interval == 0 or step == self.plan.num_steps

    def _save(self, *, prune: bool = True) -> None:
        if self.step in (self.writer.last_step, self.plan.first_step if self.plan.checkpoint else None):
            return
        trainer = {"step": self.step, "data_sha256": data_digest(self.plan.dataset)}
        self.writer.save(self.state, self.step, trainer, prune=prune)

    def _refuse_loss(self, loss: float) -> NoReturn:
        """Save the state before this step, unless it is spoilt already, and say what the step trained on."""
        finite = all(bool(torch.isfinite(p).all()) for p in self.ddp.parameters())
        agreed = torch.tensor(int(finite), device=torch.cuda.current_device())
        dist.all_reduce(agreed, op=dist.ReduceOp.MIN)
        is_whole = bool(agreed.item())
        if is_whole:
            self._save(prune=False)
        self.writer.finish()
        size = self.config.train.global_batch_size
        report = self.output_dir / "bad_batch.json"
        on_main(
            lambda: write_bad_batch(
                report,
                self.plan.dataset,
                self.config.data.path,
                step=self.step + 1,
                packs=range(self.step * size, (self.step + 1) * size),
                loss=loss,
                losses_before=self.losses,
            )
        )
        last = checkpoints.complete_checkpoints(self.output_dir)[-1]
        raise FloatingPointError(
            f"loss={loss} at step {self.step + 1}: stopped before the update. {report} names the rows of the step."
            f"{'' if is_whole else ' The weights are spoilt since an earlier update; see grad_norm in metrics.jsonl.'}"
            f" Leave out those that are bad, or lower optim.lr={self.config.optim.lr}, and start in another output_dir"
            f" with init_from={last}, the weights of step {checkpoints.step_of(last)}, or one before it"
        )


def _from_whole_checkpoint(plan: RunPlan) -> RunPlan:
    """``plan`` with the newest checkpoint that is found undamaged, where there is one."""
    if plan.checkpoint is None:
        return plan
    checkpoint = checkpoints.newest_whole(Path(plan.config.output_dir))
    return dataclasses.replace(plan, checkpoint=checkpoint, first_step=checkpoints.step_of(checkpoint))


def _router_statistics(plan: RunPlan, ddp: DistributedDataParallel) -> RouterStatistics | None:
    if not plan.config.model.is_moe:
        return None
    return RouterStatistics([ddp], plan.config.moe, num_domains=len(plan.dataset.manifest.domains))


def _router_metrics(router: RouterMetrics) -> dict[str, Any]:
    return {
        "load_balancing_loss": router.load_balancing_loss,
        "aux_loss": router.aux_loss,
        "z_loss": router.z_loss,
        "max_vio": router.max_vio,
        "max_vio_per_layer": router.max_vio_per_layer,
        "num_dropped_tokens": router.num_dropped_tokens,
        "domain_divergence": router.domain_divergence,
    }
