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
from magic_megatron.moe.load_balancing import Step
from magic_megatron.moe.tally import RouterMetrics, Tally
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
        self.pending: deque[Tensor | None] = deque()

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
        logits = logits.reshape(-1, self.num_experts)
        token_mask = self._token_mask(logits, seq_length, padding_mask)
        scores = torch.softmax(logits, dim=-1, dtype=torch.float32)
        # Inside a backward pass only recomputation calls a router.
        if torch._C._current_graph_task_id() == -1:
            selected = self._selected(logits, routing_map)
            domain_ids = self._domain_ids(step, seq_length)
            step.tally.add(self.layer, logits, scores, selected, routing_map, token_mask, domain_ids)
            if step.phase == "counting":
                return probs, routing_map
            loads = step.load_balancing.loads(step, self.layer, self.tp_dp_cp_group, selected, token_mask)
            if not torch.is_grad_enabled():
                self.pending.append(loads)
        else:
            loads = self.pending.popleft()
        if torch.is_grad_enabled():
            probs = self._attach_losses(step, probs, logits, scores, loads, token_mask)
        return probs, routing_map

    def _attach_losses(
        self,
        step: Step,
        probs: Tensor,
        logits: Tensor,
        scores: Tensor,
        loads: Tensor | None,
        token_mask: Tensor,
    ) -> Tensor:
        """``probs``, in whose backward pass the gradient of the losses sets off. No communication there."""
        loss = step.moe.z_loss_coeff * z_loss(logits.float(), step.num_tokens, token_mask)
        if loads is not None:
            share = step.load_balancing.share(step, scores, loads, token_mask)
            loss = loss + step.moe.aux_loss_coeff * share
        return MoEAuxLossAutoScaler.apply(probs, loss * max(step.num_loss_tokens, 1))

    def _token_mask(self, logits: Tensor, seq_length: int, padding_mask: Tensor | None) -> Tensor:
        if padding_mask is None:
            return torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        return ~self._local_tokens(padding_mask, seq_length)

    def _domain_ids(self, step: Step, seq_length: int) -> Tensor | None:
        if step.domain_ids is None:
            return None
        return self._local_tokens(step.domain_ids.transpose(0, 1), seq_length)

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


class RouterStatistics:
    """The routers of this rank, as a training loop sees them. All methods are called by every rank.

    A step: ``begin_step``; where ``needs_statistics_pass``, a forward pass over the whole batch inside
    ``counting``; then forward and backward, each micro-batch announced by ``begin_microbatch``; ``end_step``.
    One all-reduce a step, of all layers together, and one more for a statistics pass.
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
        self._step = Step(moe, self._new_tally(0))
        self._last_counts: Tensor | None = None
        for router in self.routers:
            router.step = self._step

    def begin_step(self, num_tokens: int, num_loss_tokens: int, *, count_domains: bool = True) -> None:
        """Start a global batch.

        Args:
            num_tokens: its real tokens, prompts included.
            num_loss_tokens: its tokens with a loss, those that ``finalize_model_grads`` divides by.
            count_domains: count by domain in this step, if ``num_domains`` isn't 0.
        """
        self._step.phase = "training"
        self._step.num_tokens = num_tokens
        self._step.num_loss_tokens = num_loss_tokens
        self._step.domain_ids = None
        self._step.tally = self._new_tally(self.num_domains if count_domains else 0)
        self._step.counts = self._known_counts()

    @property
    def needs_statistics_pass(self) -> bool:
        """The loss needs loads that only a forward pass over this batch can tell."""
        step = self._step
        return step.phase == "training" and step.counts is None and step.moe.load_balancing != "none"

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A forward pass over the batch in here is counted; it builds no graph and gets no losses."""
        step, tally = self._step, self._step.tally
        step.phase, step.tally = "counting", self._new_tally(0)
        with torch.no_grad():
            yield
        self._add_up(step.tally)
        step.counts = step.tally.counts
        step.phase, step.tally = "training", tally

    def begin_microbatch(self, domain_ids: Tensor | None) -> None:
        """Announce the forward pass of a micro-batch.

        Args:
            domain_ids: int64 [B, S], this context-parallel rank's tokens, anything at padding. Not looked at
                in steps that count no domains.
        """
        self._step.domain_ids = domain_ids if self._step.tally.domain_counts.numel() else None

    def end_step(self) -> RouterMetrics:
        """Close the step, after its last backward pass.

        Raises:
            RuntimeError: the routers saw other tokens than ``begin_step`` was told.
        """
        step = self._step
        step.phase = "idle"
        assert not any(router.pending for router in self.routers), "a backward pass is missing"
        metrics = self._add_up(step.tally).metrics(step.num_tokens)
        self._last_counts = metrics.tokens_per_expert
        return metrics

    def state_dict(self) -> dict[str, Tensor]:
        """The loads of the last step, int64 [L, E]: the same on every rank and in every layout."""
        return {} if self._last_counts is None else {"tokens_per_expert": self._last_counts}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from ``state_dict``; an empty one makes the next step count first.

        Raises:
            ValueError: loads of a model with other layers or experts.
        """
        counts = state.get("tokens_per_expert")
        if counts is not None and counts.shape != self._step.tally.counts.shape:
            raise ValueError(
                f"router statistics of {tuple(counts.shape)} layers and experts don't fit a model of"
                f" {tuple(self._step.tally.counts.shape)}; load a checkpoint of this model"
            )
        self._last_counts = counts

    def _known_counts(self) -> Tensor | None:
        step = self._step
        if step.moe.statistics == "running":
            return torch.zeros_like(step.tally.counts)
        if step.moe.statistics == "exact" or self._last_counts is None:
            return None
        return self._last_counts.to(step.tally.counts)

    def _new_tally(self, num_domains: int) -> Tally:
        config, device = self.config, self.routers[0].weight.device
        return Tally(config.num_layers, config.num_moe_experts, num_domains, device)

    def _add_up(self, tally: Tally) -> Tally:
        """``tally`` becomes the sum over all ranks; returns its checked copy on the CPU.

        Pipeline stages fill in each other's layers; ranks that hold the same tokens count once.
        """
        if not self.config.sequence_parallel and self.routers[0].tp_group.rank() != 0:
            tally.sums.zero_()
        dist.all_reduce(tally.sums)
        copy = tally.to_cpu()
        copy.check(self._step.num_tokens, self.config.moe_router_topk)
        return copy


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
