"""One training step: forward and backward over the micro-batches of a global batch, through mcore's schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from magic_megatron.data.batch import MicroBatch
from magic_megatron.models.gpt import learned_token_losses
from magic_megatron.moe.router import RouterStatistics


@dataclass(frozen=True)
class ForwardBackward:
    """Runs one global batch through the model chunk of this rank.

    Attributes:
        model: the DDP-wrapped chunk, in a list as megatron's schedules take it.
        router: told of each micro-batch before its forward; ``None`` for a dense model.
        tokens_per_microbatch: length of a collated micro-batch before the context-parallel split.
    """

    model: list[torch.nn.Module]
    router: RouterStatistics | None
    tokens_per_microbatch: int

    def __call__(self, batches: Sequence[MicroBatch], *, forward_only: bool = False) -> Tensor:
        """Sum of the token losses of the global batch, a scalar in float64 that every rank holds.

        ``batches`` are this rank's micro-batches, already cut to its context-parallel slice.
        """
        schedule = get_forward_backward_func()
        outputs: list[dict[str, Tensor]] = schedule(
            forward_step_func=self._forward_step,
            data_iterator=iter(batches),
            model=self.model,
            num_microbatches=len(batches),
            seq_length=self.tokens_per_microbatch,
            micro_batch_size=1,
            forward_only=forward_only,
        )
        return _global_sum([output["loss_sum"] for output in outputs])

    def _forward_step(self, batches: Iterator[MicroBatch], model: torch.nn.Module) -> tuple[Tensor, Any]:
        batch = next(batches)
        counted = (
            nullcontext()
            if self.router is None
            else self.router.microbatch(batch.domain_ids, batch.sequence_ids, batch.num_sequences)
        )
        with counted:
            output = model(
                input_ids=batch.tokens,
                position_ids=batch.position_ids,
                attention_mask=None,
                labels=batch.labels.clamp(min=0),
                loss_mask=batch.loss_mask,
                output_processor=learned_token_losses,
                packed_seq_params=batch.packed_seq_params,
                padding_mask=batch.padding_mask,
            )

        def loss(losses: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            """Sum and count, not a mean: gradients are divided by the global count once, at the end."""
            total = (losses.float() * batch.loss_mask).sum()
            num_tokens = batch.loss_mask.sum().to(torch.int)
            return total, num_tokens, {"loss_sum": total.detach().double()}

        return output, loss


def _global_sum(losses: list[Tensor]) -> Tensor:
    """Over the micro-batches, the data- and context-parallel ranks; known on the last stage, told to all."""
    device = torch.cuda.current_device()
    total = torch.stack(losses).sum() if losses else torch.zeros((), dtype=torch.float64, device=device)
    dist.all_reduce(total, group=parallel_state.get_data_parallel_group(with_context_parallel=True))
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        dist.broadcast(
            total,
            src=parallel_state.get_pipeline_model_parallel_last_rank(),
            group=parallel_state.get_pipeline_model_parallel_group(),
        )
    return total
