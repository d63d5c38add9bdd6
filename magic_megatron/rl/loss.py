"""The actor's loss for verl's ``set_loss_fn``: verl's clipped surrogate and KL, and the entropy terms of Eq. 13.

verl's engines call it with the model's output for each micro-batch and add up the gradients; FSDP and Megatron average
them over data-parallel ranks. So a share (``xxpo.py``) is multiplied by the number of those ranks, and as a metric, by
which verl averages over ranks and sums over micro-batches, it comes out as the term over the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.utils.metric import AggregationType, Metric
from verl.workers.utils.losses import ppo_loss

from magic_megatron.config.rl_algorithm import AlgorithmConfig
from magic_megatron.rl.xxpo import (
    ACTION,
    THINK,
    BatchSize,
    History,
    information_bottleneck,
    penalty,
    segment_bounds,
    segment_mean,
    token_weights,
    turn_bounds,
    turn_weights,
)

METRIC_PREFIX = "actor/magic/"


@dataclass(frozen=True)
class MicroBatch:
    """The responses of N samples, padded to the longest, L tokens.

    Attributes:
        entropy: nats, with gradient [N, L].
        mask: true where a token counts [N, L].
        segments: ``NEITHER``, ``THINK`` or ``ACTION`` [N, L].
        turn_index: of each sample in its episode, from 0 [N].
        episode_turns: number of turns of its episode [N].
    """

    entropy: Tensor
    mask: Tensor
    segments: Tensor
    turn_index: Tensor
    episode_turns: Tensor


def policy_loss(
    config: Any,
    model_output: dict[str, Tensor],
    data: TensorDict,
    dp_group: Any = None,
    *,
    settings: AlgorithmConfig,
    history: History,
    size: BatchSize,
) -> tuple[Tensor, dict[str, Any]]:
    """Loss of one micro-batch and its metrics.

    Bind everything but ``model_output``, ``data`` and ``dp_group`` with ``functools.partial`` and push it before each
    step: ``history`` and ``size`` change. ``config`` is verl's ``ActorConfig`` with ``calculate_entropy`` on and
    ``entropy_coeff`` 0.

    Args:
        model_output: ``log_probs`` and ``entropy``, nested over prompt and response.
        data: beside verl's fields, per response token ``segments``, and per sample ``turn_index`` and
            ``episode_turns``, nested with one number a row, or dense.
        size: of the step's whole batch, see ``xxpo.measure_batch``.
    """
    assert "entropy" in model_output, "actor.calculate_entropy must be on: the loss needs the entropy"
    # verl counts padding samples, and divides by nothing where a mini-batch has no other.
    tu.assign_non_tensor(
        data,
        global_batch_size=max(size.num_samples, 1) / size.num_mini_batches,
        batch_num_tokens=max(data["batch_num_tokens"], 1),
    )
    loss, metrics = ppo_loss(config=config, model_output=model_output, data=data, dp_group=dp_group)
    terms = entropy_terms(micro_batch(model_output["entropy"], data), settings, history, size)
    regularizer = (
        settings.lambda2 * terms["smooth"]
        - settings.lambda1 * terms["entropy_term"]
        - settings.lambda3 * terms["information_bottleneck"]
    )
    dp_size = data["dp_size"]
    values = (torch.stack(list(terms.values())).detach() * dp_size).tolist()
    for name, value in zip(terms, values, strict=True):
        metrics[METRIC_PREFIX + name] = Metric(value=value, aggregation=AggregationType.SUM)
    return loss + dp_size * regularizer, metrics


def entropy_terms(
    batch: MicroBatch, settings: AlgorithmConfig, history: History, size: BatchSize
) -> dict[str, Tensor]:
    """This micro-batch's shares: the three terms of Eq. 13, both segments' mean entropies, and ``gate``.

    ``gate`` is the share of tokens outside their bounds: of thought and action, or of all where bounds are by turn.
    """
    by_turn = settings.history == "turn"
    if by_turn:
        low, high = turn_bounds(batch.turn_index, history, settings.kappa_low, settings.kappa_high)
    else:
        high = segment_bounds(batch.segments, history, settings.kappa_think, settings.kappa_act)
        low = torch.full_like(high[:, :1], -torch.inf)
    if settings.entropy_weighting == "turn":
        weights = turn_weights(batch.mask, batch.episode_turns, size)
    else:
        weights = token_weights(batch.mask, size)
    paid = penalty(batch.entropy, low, high, settings.delta, settings.smoothing)
    outside = penalty(batch.entropy.detach(), low, high, 1.0, "indicator")
    think = segment_mean(batch.entropy, batch.mask & (batch.segments == THINK), size.num_think, size)
    action = segment_mean(batch.entropy, batch.mask & (batch.segments == ACTION), size.num_action, size)
    bounded = size.num_tokens if by_turn else size.num_think + size.num_action
    return {
        "entropy_term": (batch.entropy * weights).sum(),
        "smooth": (paid * weights).sum(),
        "information_bottleneck": information_bottleneck(think, action, settings.beta),
        "entropy_think": think,
        "entropy_act": action,
        "gate": segment_mean(outside, batch.mask, bounded, size),
    }


def micro_batch(entropy: Tensor, data: TensorDict) -> MicroBatch:
    """The responses' part of the model's nested entropy, and the fields beside it.

    verl's padding samples have a response of one masked token and may carry the fields of another sample: what lies
    beyond a response is left out.
    """
    lengths = data["responses"].offsets().diff()
    width = int(lengths.max())
    # The entropy at a token is that of the distribution it was drawn from, one place before.
    starts = (data["prompts"].offsets().diff() + lengths).cumsum(0) - lengths - 1
    mask = _rows(data["response_mask"], lengths, width).bool()
    return MicroBatch(
        entropy=_gather(entropy.values(), starts, lengths, width).float().masked_fill(~mask, 0),
        mask=mask,
        segments=_rows(data["segments"], lengths, width),
        turn_index=_per_sample(data["turn_index"]),
        episode_turns=_per_sample(data["episode_turns"]),
    )


def _rows(field: Any, lengths: Tensor, width: int) -> Tensor:
    """A nested field per response token, padded with 0 to [N, width]."""
    offsets = field.offsets()
    return _gather(field.values(), offsets[:-1], torch.minimum(lengths, offsets.diff()), width)


def _gather(values: Tensor, starts: Tensor, lengths: Tensor, width: int) -> Tensor:
    """``values[starts[n] : starts[n] + lengths[n]]`` as row n, padded with 0 to [N, width]."""
    place = torch.arange(width, device=values.device)
    inside = place < lengths.unsqueeze(1)
    rows = values[torch.where(inside, starts.unsqueeze(1) + place, 0)]
    return rows.masked_fill(~inside, 0)


def _per_sample(field: Any) -> Tensor:
    """One number a sample, int64 [N]."""
    first = field.values()[field.offsets()[:-1]] if field.is_nested else field
    return first.reshape(-1).long()
