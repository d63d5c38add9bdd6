"""Megatron-Core's top-k router with losses that don't depend on the layout.

``use_balanced_router`` puts the router into a layer spec; ``RouterStatistics`` is what a training loop talks
to. Without it, and outside its steps, the router is Megatron-Core's own, without losses. The mathematics, and
where upstream's losses go wrong: ``docs/router.md``.

Shape letters: S sequence positions and B sequences of a micro-batch on this rank, T = S·B tokens, E experts,
K experts chosen per token, L layers of the whole model, D domains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from megatron.core.process_groups_config import ProcessGroupCollection
from megatron.core.transformer.moe.moe_utils import MoEAuxLossAutoScaler
from megatron.core.transformer.moe.router import TopKRouter
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor, nn

from magic_megatron.config.moe import MoeConfig
from magic_megatron.moe.balance import z_loss
from magic_megatron.moe.load_balancing import Step, Surroundings
from magic_megatron.moe.tally import BatchStatistics, RoutedTokens, RouterMetrics, Tally
from magic_megatron.platform.specs import set_router


class BalancedTopKRouter(TopKRouter):
    """Chooses experts as upstream does, counts the choices, and attaches this rank's share of the losses.

    Gradients are summed over data- and context-parallel ranks, and over tensor-parallel ones where they split
    the sequence, then divided by the loss tokens of the global batch. A share is multiplied by that number
    beforehand: what remains is the gradient of the loss of the global batch.
    """

    def __init__(
        self,
        config: TransformerConfig,
        pg_collection: ProcessGroupCollection | None = None,
        is_mtp_layer: bool = False,
    ) -> None:
        super().__init__(config=config, pg_collection=pg_collection, is_mtp_layer=is_mtp_layer)
        _refuse_other_losses(config)
        self.step: Step | None = None
        self.pending: deque[tuple[Tensor, Surroundings | None]] = deque()

    @property
    def layer(self) -> int:
        """Place in the whole model, from 0."""
        return self.layer_number - 1

    def routing(self, logits: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The chosen experts' weights and the choice, both [T, E], from the logits [S, B, E].

        With recomputation a micro-batch comes twice: in the forward pass without a graph, and in the backward
        pass, where the graph is built. It is counted the first time, and gets its losses with the graph.

        Args:
            logits: [S, B, E].
            padding_mask: bool [S, B], true at padding; of the sequence before its split, where a later
                pipeline stage gets it that way.
        """
        probs, routing_map = super().routing(logits)
        step = self.step
        if step is None or step.phase == "idle" or not self.training:
            return probs, routing_map
        seq_length = logits.shape[0]
        logits = logits.reshape(-1, self.num_experts).float()
        # Inside a backward pass only recomputation calls a router.
        if torch._C._current_graph_task_id() != -1:
            real, around = self.pending.popleft()
            loss, _ = self._losses(step, *_scores(logits), real, around)
            return self._attach(step, probs, loss), routing_map
        tokens = self._tokens(step, logits, routing_map, seq_length, padding_mask)
        drops = self.config.moe_expert_capacity_factor is not None
        step.tally.add(tokens, kept=routing_map if drops else None)
        if step.phase == "counting":
            return probs, routing_map
        around = step.load_balancing.surround(step, tokens)
        loss, aux_loss = self._losses(step, tokens.probs, tokens.logsumexp, tokens.real, around)
        if aux_loss is not None:
            step.tally.add_aux_loss(self.layer, aux_loss)
        if torch.is_grad_enabled():
            return self._attach(step, probs, loss), routing_map
        self.pending.append((tokens.real, around))
        return probs, routing_map

    def _losses(
        self, step: Step, probs: Tensor, logsumexp: Tensor, real: Tensor, around: Surroundings | None
    ) -> tuple[Tensor, Tensor | None]:
        """This rank's share of both losses with their coefficients, and of the balancing one without."""
        loss = step.moe.z_loss_coeff * z_loss(logsumexp, step.num_tokens, real)
        if around is None:
            return loss, None
        aux_loss = step.load_balancing.share(probs, real, around)
        return loss + step.moe.aux_loss_coeff * aux_loss, aux_loss

    def _attach(self, step: Step, probs: Tensor, loss: Tensor) -> Tensor:
        """``probs``, in whose backward pass the gradient of ``loss`` sets off. No communication there."""
        return MoEAuxLossAutoScaler.apply(probs, loss * max(step.num_loss_tokens, 1))

    def _tokens(
        self,
        step: Step,
        logits: Tensor,
        routing_map: Tensor,
        seq_length: int,
        padding_mask: Tensor | None,
    ) -> RoutedTokens:
        if padding_mask is None:
            real = logits.new_ones(len(logits))
        else:
            real = (~self._local_tokens(padding_mask, seq_length)).to(logits.dtype)
        domain_ids, sequence_ids = (
            None if ids is None else self._local_tokens(ids.transpose(0, 1), seq_length)
            for ids in (step.domain_ids, step.sequence_ids)
        )
        probs, logsumexp = _scores(logits)
        return RoutedTokens(
            layer=self.layer,
            probs=probs,
            logsumexp=logsumexp,
            selected=self._selected(logits, routing_map).to(logits.dtype),
            real=real,
            domain_ids=domain_ids,
            sequence_ids=sequence_ids,
            microbatch_group=self.tp_cp_group if self.config.sequence_parallel else self.cp_group,
            batch_group=self.tp_dp_cp_group,
        )

    def _local_tokens(self, per_token: Tensor, seq_length: int) -> Tensor:
        """[T] of [S, B], or of [S·tp, B] as it was before sequence parallelism split it.

        Upstream splits the padding mask on the first pipeline stage only (GPTModel._preprocess, 0.19.2).
        """
        if per_token.shape[0] != seq_length:
            assert per_token.shape[0] == seq_length * self.tp_group.size(), "a mask of another sequence"
            per_token = per_token.chunk(self.tp_group.size())[self.tp_group.rank()]
        return per_token.reshape(-1)

    def _selected(self, logits: Tensor, routing_map: Tensor) -> Tensor:
        """bool [T, E]: the choice before an expert's capacity drops tokens."""
        if self.config.moe_expert_capacity_factor is None:
            return routing_map
        chosen = torch.topk(logits, k=self.topk, dim=-1).indices
        return torch.zeros_like(routing_map).scatter_(-1, chosen, True)


def _scores(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax [T, E] and logsumexp [T] of the logits [T, E]."""
    logsumexp = torch.logsumexp(logits, dim=-1)
    return torch.exp(logits - logsumexp.unsqueeze(-1)), logsumexp


@dataclass(frozen=True)
class BatchSize:
    """How much there is in a global batch, over all ranks.

    Attributes:
        num_tokens: real tokens, prompts included.
        num_loss_tokens: those with a loss, which ``finalize_model_grads`` divides by.
        num_microbatches: micro-batches; only ``moe.load_balancing=micro_batch`` looks at it.
        num_sequences: sequences; only ``moe.load_balancing=sequence`` looks at it.
    """

    num_tokens: int
    num_loss_tokens: int
    num_microbatches: int
    num_sequences: int


class RouterStatistics:
    """The routers of this rank, as a training loop sees them. All methods are called by every rank.

    A step: ``begin_step``; where ``needs_statistics_pass``, a forward pass over the whole batch inside
    ``counting``; then forward and backward, each micro-batch's forward inside ``microbatch``; ``end_step``.
    One all-reduce a step, of all layers together, under way while the last backward passes run; and one more for
    a statistics pass.
    """

    def __init__(self, model_chunks: Sequence[nn.Module], moe: MoeConfig, num_domains: int = 0) -> None:
        """
        Args:
            model_chunks: this rank's part of the model, wrapped or not, whose layers are all MoE layers.
            num_domains: D, for counts by domain; 0 counts none.

        Raises:
            ValueError: a chunk without a ``BalancedTopKRouter``.
        """
        self.routers = [
            m for chunk in model_chunks for m in chunk.modules() if isinstance(m, BalancedTopKRouter)
        ]
        if not self.routers:
            raise ValueError("the model has no BalancedTopKRouter; put it in with use_balanced_router(spec)")
        self.num_domains = num_domains
        self.config: TransformerConfig = self.routers[0].config
        self._step = Step(moe, self.config.moe_router_topk, self._new_tally(0))
        self._last: BatchStatistics | None = None
        self._num_local_microbatches = self._microbatches_to_come = 0
        self._adding_up: dist.Work | None = None
        for router in self.routers:
            router.step = self._step

    def begin_step(self, size: BatchSize, num_local_microbatches: int) -> None:
        """Start a global batch, of which this rank gets ``num_local_microbatches``."""
        step = self._step
        step.phase = "training"
        step.num_tokens, step.num_loss_tokens = size.num_tokens, size.num_loss_tokens
        step.num_microbatches, step.num_sequences = size.num_microbatches, size.num_sequences
        step.tally = self._new_tally(self.num_domains)
        step.known = self._known()
        self._num_local_microbatches = self._microbatches_to_come = num_local_microbatches

    @property
    def needs_statistics_pass(self) -> bool:
        """The loss needs statistics that only a forward pass over this batch can tell."""
        step = self._step
        return step.phase == "training" and step.known is None and step.load_balancing.of_batch

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A forward pass over the batch in here is counted; it builds no graph and gets no losses."""
        step, tally = self._step, self._step.tally
        step.phase, step.tally = "counting", self._new_tally(0)
        with torch.no_grad():
            yield
        counted = self._finish_adding_up()
        step.known = self._as_known(counted.statistics())
        step.phase, step.tally = "training", tally
        self._microbatches_to_come = self._num_local_microbatches

    @contextmanager
    def microbatch(
        self, domain_ids: Tensor | None, sequence_ids: Tensor, num_sequences: int
    ) -> Iterator[None]:
        """Around the forward pass of a micro-batch.

        Args:
            domain_ids: int64 [B, S], this context-parallel rank's tokens, anything at padding. ``None`` where the
                domains aren't counted.
            sequence_ids: likewise; the sequence of each token, from 0, at padding too.
            num_sequences: sequences of the micro-batch, over all context-parallel ranks.
        """
        step = self._step
        step.domain_ids = domain_ids if step.tally.domain_counts.numel() else None
        step.sequence_ids, step.num_local_sequences = sequence_ids, num_sequences
        yield
        self._microbatches_to_come -= 1
        if self._microbatches_to_come == 0:
            self._start_adding_up()

    def end_step(self) -> RouterMetrics:
        """Close the step, after its last backward pass.

        Raises:
            RuntimeError: the routers saw other tokens than ``begin_step`` was told.
        """
        step = self._step
        step.phase = "idle"
        assert not any(router.pending for router in self.routers), "a backward pass is missing"
        tally = self._finish_adding_up()
        self._last = tally.statistics()
        return tally.metrics(step.num_tokens)

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics of the last step, float64 [L, E]: the same on every rank and in every layout."""
        if self._last is None:
            return {}
        return {"tokens_per_expert": self._last.counts, "prob_sums": self._last.prob_sums}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from ``state_dict``; an empty one makes the next step count first.

        Raises:
            ValueError: statistics of a model with other layers or experts.
        """
        if not state:
            self._last = None
            return
        last = BatchStatistics(state["tokens_per_expert"], state["prob_sums"])
        if last.counts.shape != self._step.tally.counts.shape:
            raise ValueError(
                f"router statistics of {tuple(last.counts.shape)} layers and experts don't fit a model of"
                f" {tuple(self._step.tally.counts.shape)}; load a checkpoint of this model"
            )
        self._last = last

    def _known(self) -> BatchStatistics | None:
        if self._step.moe.statistics == "running":
            nothing = torch.zeros_like(self._step.tally.counts)
            return self._as_known(BatchStatistics(nothing, nothing))
        if self._step.moe.statistics == "exact" or self._last is None:
            return None
        return self._as_known(self._last)

    def _as_known(self, statistics: BatchStatistics) -> BatchStatistics:
        """In the routers' precision and on their device; a copy, since ``running`` adds to it."""
        device = self._step.tally.counts.device
        return BatchStatistics(
            statistics.counts.to(device, torch.float32, copy=True),
            statistics.prob_sums.to(device, torch.float32, copy=True),
        )

    def _new_tally(self, num_domains: int) -> Tally:
        config, device = self.config, self.routers[0].weight.device
        return Tally(config.num_layers, config.num_moe_experts, num_domains, device)

    def _start_adding_up(self) -> None:
        """All ranks' tallies. Pipeline stages fill in each other's layers; ranks with the same tokens count once."""
        if not self.config.sequence_parallel and self.routers[0].tp_group.rank() != 0:
            self._step.tally.sums.zero_()
        self._adding_up = dist.all_reduce(self._step.tally.sums, async_op=True)

    def _finish_adding_up(self) -> Tally:
        """The checked sum over all ranks, on the CPU.

        Raises:
            RuntimeError: micro-batches are missing, or the routers saw other tokens than announced.
        """
        if self._adding_up is None:
            raise RuntimeError(
                f"{self._microbatches_to_come} micro-batches are missing; run each forward pass inside microbatch()"
            )
        self._adding_up.wait()
        self._adding_up = None
        tally = self._step.tally.to_cpu()
        tally.check(self._step.num_tokens, self._step.topk)
        return tally


def use_balanced_router(block: TransformerBlockSubmodules) -> None:
    """Have every MoE layer of a layer spec built with a ``BalancedTopKRouter``."""
    set_router(block, BalancedTopKRouter)


def _refuse_other_losses(config: TransformerConfig) -> None:
    """What the exactness of the losses rests on; ``models.transformer_config`` sets all of it."""
    wanted = {
        "moe_router_load_balancing_type": "none",
        "moe_z_loss_coeff": None,
        "moe_router_score_function": "softmax",
        "moe_router_group_topk": None,
        "moe_router_enable_expert_bias": False,
        "calculate_per_token_loss": True,
    }
    for key, value in wanted.items():
        if getattr(config, key) != value:
            raise ValueError(f"{key}={getattr(config, key)}: the balanced router needs {key}={value}")
