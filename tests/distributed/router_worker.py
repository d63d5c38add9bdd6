"""Run by test_router_parity.py: routers of a tiny Mixture-of-Experts model under many layouts.

    router_worker.py single OUT       in one process: plain autograd over the formulas, and more
    router_worker.py layouts OUT      in four ranks: all layouts in turn but TP4·EP4
    router_worker.py tp4_ep4_recompute OUT

Both write a file of torch.save: results by case, a case holding ``gradients`` and ``metrics``.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist

from magic_megatron.platform import activate

activate("rehearsal")

from megatron.core import parallel_state  # noqa: E402
from megatron.core.distributed import (  # noqa: E402
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.pipeline_parallel import get_forward_backward_func  # noqa: E402
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed  # noqa: E402
from megatron.core.transformer.moe.moe_utils import (  # noqa: E402
    MoEAuxLossAutoScaler,
    get_default_pg_collection,
)
from megatron.core.transformer.moe.router import TopKRouter  # noqa: E402

from magic_megatron.config.layout import ParallelConfig  # noqa: E402
from magic_megatron.config.model import ModelConfig  # noqa: E402
from magic_megatron.config.moe import MoeConfig  # noqa: E402
from magic_megatron.data.context_parallel import partition_indices  # noqa: E402
from magic_megatron.models.gpt import build_model  # noqa: E402
from magic_megatron.models.initialization import initialize_weights  # noqa: E402
from magic_megatron.models.transformer_config import transformer_config  # noqa: E402
from magic_megatron.moe.router import BalancedTopKRouter, BatchSize, RouterStatistics  # noqa: E402
from magic_megatron.platform.specs import decoder_block_spec, set_router  # noqa: E402

VOCABULARY, LAYERS, ROWS, LENGTH, EXPERTS, TOPK, DOMAINS = 64, 4, 8, 16, 8, 2, 3
MODEL = ModelConfig(
    name="router_test",
    num_hidden_layers=LAYERS,
    hidden_size=32,
    intermediate_size=32,
    num_attention_heads=4,
    num_key_value_heads=4,
    head_dim=8,
    vocab_size=VOCABULARY,
    max_position_embeddings=LENGTH,
    rope_theta=1e4,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
    attention_bias=False,
    qk_norm=True,
    initializer_range=0.2,
    num_experts=EXPERTS,
    num_experts_per_tok=TOPK,
    moe_intermediate_size=16,
    norm_topk_prob=True,
)
MOE = MoeConfig(
    "global", aux_loss_coeff=0.3, z_loss_coeff=0.02, statistics="previous_step", capacity_factor=None
)
Gradients = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """How a run is spread; what is left of the world is data-parallel."""

    tp: int = 1
    pp: int = 1
    cp: int = 1
    ep: int = 1
    micro_batch_size: int = 1
    recompute: str = "none"


LAYOUTS = {
    "dp4": Layout(),
    "tp2_ep2": Layout(tp=2, ep=2),
    "tp4_ep4_recompute": Layout(tp=4, ep=4, recompute="full"),
    "cp2_ep2": Layout(cp=2, ep=2),
    "pp2": Layout(pp=2),
    "pp2_ep2_recompute": Layout(pp=2, ep=2, recompute="full"),
    "tp2_pp2_recompute": Layout(tp=2, pp=2, recompute="full", micro_batch_size=2),
    "tp2_cp2": Layout(tp=2, cp=2),
    "pp2_cp2_ep2": Layout(pp=2, cp=2, ep=2),
}


@dataclass(frozen=True)
class Batch:
    """A global batch, tensors [ROWS, LENGTH]."""

    tokens: torch.Tensor
    labels: torch.Tensor
    loss_mask: torch.Tensor
    padding_mask: torch.Tensor
    domain_ids: torch.Tensor

    @property
    def num_tokens(self) -> int:
        return int((~self.padding_mask).sum())

    @property
    def num_loss_tokens(self) -> int:
        return int(self.loss_mask.sum())

    def rows(self, start: int, stop: int) -> Batch:
        return Batch(*(getattr(self, f)[start:stop] for f in self.__dataclass_fields__))

    def positions(self, index: torch.Tensor) -> Batch:
        return Batch(*(getattr(self, f)[:, index] for f in self.__dataclass_fields__))


def make_batch(seed: int) -> Batch:
    """Rows of unlike lengths, loss masks and domains; one row has no loss at all."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, VOCABULARY, (ROWS, LENGTH + 1), generator=generator)
    lengths = torch.randint(3, LENGTH + 1, (ROWS, 1), generator=generator)
    padding = torch.arange(LENGTH) >= lengths
    loss = (torch.rand(ROWS, LENGTH, generator=generator) < 0.4) & ~padding
    loss[0] = False
    domains = torch.randint(0, DOMAINS, (ROWS, LENGTH), generator=generator).masked_fill(padding, -1)
    return Batch(text[:, :-1], text[:, 1:], loss, padding, domains)


FIRST, SECOND = make_batch(1), make_batch(2)


def build(
    layout: Layout, router: type, capacity_factor: float | None = None, **overrides: object
) -> torch.nn.Module:
    """This rank's stage, wrapped for gradients; weights from their names alone.

    Args:
        overrides: of TransformerConfig, for megatron-core's own losses.
    """
    parallel = ParallelConfig(layout.tp, layout.pp, layout.cp, layout.ep, 1, None)
    config = transformer_config(
        MODEL,
        parallel,
        "rehearsal",
        torch.float32,
        recompute=layout.recompute,
        moe_capacity_factor=capacity_factor,
    )
    for key, value in overrides.items():
        setattr(config, key, value)
    spec = decoder_block_spec(config, "rehearsal")
    set_router(spec, router)
    model = build_model(
        MODEL,
        config,
        spec,
        vocab_size=VOCABULARY,
        sequence_length=LENGTH,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    )
    initialize_weights(model, seed=7)
    config.finalize_model_grads_func = finalize_model_grads
    settings = DistributedDataParallelConfig(use_distributed_optimizer=False, overlap_grad_reduce=False)
    wrapped = DistributedDataParallel(config, settings, model)
    wrapped.train()
    return wrapped


def microbatches(batch: Batch, layout: Layout) -> list[Batch]:
    """Those of this data-parallel rank, its context-parallel part of each."""
    dp_rank, dp = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    size = layout.micro_batch_size
    starts = range(dp_rank * size, ROWS, dp * size)
    index = partition_indices(
        torch.tensor([0, LENGTH]), layout.cp, parallel_state.get_context_parallel_rank()
    )
    return [batch.rows(start, start + size).positions(index) for start in starts]


def forward_backward(
    model: torch.nn.Module,
    statistics: RouterStatistics | None,
    batch: Batch,
    layout: Layout,
    cross_entropy: float,
    forward_only: bool = False,
    with_padding_mask: bool = True,
) -> None:
    def forward_step(iterator, chunk):
        part = next(iterator)
        positions = torch.arange(part.tokens.shape[1]).expand_as(part.tokens)
        padding_mask = part.padding_mask if with_padding_mask else None
        rows = len(part.tokens)
        sequence_ids = torch.arange(rows).unsqueeze(1).expand_as(part.tokens)
        counted = statistics.microbatch(part.domain_ids, sequence_ids, rows) if statistics else nullcontext()
        with counted:
            output = chunk(part.tokens, positions, None, labels=part.labels, padding_mask=padding_mask)

        def loss(losses):
            total = cross_entropy * (losses * part.loss_mask).sum()
            return total, part.loss_mask.sum().int(), {"loss": total.detach()}

        return output, loss

    parts = microbatches(batch, layout)
    get_forward_backward_func()(
        forward_step_func=forward_step,
        data_iterator=iter(parts),
        model=[model],
        num_microbatches=len(parts),
        seq_length=LENGTH,
        micro_batch_size=layout.micro_batch_size,
        forward_only=forward_only,
    )


def gradients(model: torch.nn.Module) -> Gradients:
    """Of the weights that are whole on some rank, routers, norms and experts, by names in the whole model."""
    found: Gradients = {}
    ep_offset = parallel_state.get_expert_model_parallel_rank() * (
        EXPERTS // parallel_state.get_expert_model_parallel_world_size()
    )
    for layer in model.module.decoder.layers:
        for name, weight in layer.named_parameters():
            if name.startswith("mlp.experts.local_experts."):
                index, rest = name.removeprefix("mlp.experts.local_experts.").split(".", 1)
                name = f"expert{int(index) + ep_offset}.{rest}"
            elif "norm" not in name and "router" not in name:
                continue
            found[f"layer{layer.layer_number - 1}.{name}"] = weight.main_grad.clone()
    return found


def step(
    model: torch.nn.Module,
    statistics: RouterStatistics,
    batch: Batch,
    layout: Layout,
    cross_entropy: float,
) -> dict:
    model.zero_grad_buffer()
    size = BatchSize(batch.num_tokens, batch.num_loss_tokens, ROWS // layout.micro_batch_size, ROWS)
    statistics.begin_step(size, len(microbatches(batch, layout)))
    passes = statistics.needs_statistics_pass
    if passes:
        with statistics.counting():
            forward_backward(model, statistics, batch, layout, cross_entropy, forward_only=True)
    forward_backward(model, statistics, batch, layout, cross_entropy)
    metrics = statistics.end_step()
    return {"gradients": everywhere(gradients(model)), "metrics": metrics, "statistics_pass": passes}


def everywhere(local: Gradients) -> Gradients:
    """Gradients of all stages and experts; ranks that hold the same weight must agree."""
    gathered: list[Gradients] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, local)
    merged: Gradients = {}
    for part in gathered:
        for name, gradient in part.items():
            torch.testing.assert_close(merged.setdefault(name, gradient), gradient, rtol=1e-5, atol=1e-7)
    return merged


def run_layout(layout: Layout) -> dict:
    model = build(layout, BalancedTopKRouter)
    results = {}
    exact = RouterStatistics([model], replace(MOE, statistics="exact"), num_domains=DOMAINS)
    results["exact_alone"] = step(model, exact, SECOND, layout, cross_entropy=0.0)
    previous = RouterStatistics([model], MOE, num_domains=DOMAINS)
    results["first_step"] = step(model, previous, FIRST, layout, cross_entropy=1.0)
    resumed = RouterStatistics([model], MOE, num_domains=DOMAINS)
    resumed.load_state_dict(previous.state_dict())
    results["second_step"] = step(model, resumed, SECOND, layout, cross_entropy=1.0)
    for loss in ("micro_batch", "sequence", "variance"):
        alone = replace(MOE, load_balancing=loss, statistics="exact", z_loss_coeff=0.0)
        results[loss] = step(model, RouterStatistics([model], alone), SECOND, layout, cross_entropy=0.0)
    return results


class RecordingRouter(TopKRouter):
    """Upstream's router, whose logits can be read afterwards."""

    def routing(self, logits, padding_mask=None):
        self.seen = logits.reshape(-1, EXPERTS)
        return super().routing(logits)


def run_reference() -> dict:
    """The formulas of Eq. 14–16, written down over a whole batch in one process."""
    layout = Layout(micro_batch_size=ROWS)
    model = build(layout, RecordingRouter)

    def route(batch):
        positions = torch.arange(LENGTH).expand_as(batch.tokens)
        losses = model(batch.tokens, positions, None, labels=batch.labels)
        real = ~batch.padding_mask.T.reshape(-1)
        logits = [layer.mlp.router.seen[real] for layer in model.module.decoder.layers]
        chosen = [torch.zeros_like(x).scatter(1, x.topk(TOPK).indices, 1.0) for x in logits]
        return losses, logits, chosen

    def fractions(batch):
        return [c.sum(0) / (batch.num_tokens * TOPK) for c in route(batch)[2]]

    def result(batch, f, cross_entropy):
        model.zero_grad_buffer()
        losses, logits, chosen = route(batch)
        total = cross_entropy * (losses * batch.loss_mask).sum() / batch.num_loss_tokens
        for x, f_layer in zip(logits, f, strict=True):
            P = torch.softmax(x, dim=-1).mean(0)
            total = total + MOE.aux_loss_coeff * EXPERTS * sum(f_layer[i] * P[i] for i in range(EXPERTS))
            total = total + MOE.z_loss_coeff * (x.exp().sum(-1).log() ** 2).mean()
        total.backward()
        own = fractions(batch)
        P = [torch.softmax(x, dim=-1).mean(0) for x in logits]
        ids = batch.domain_ids.T.reshape(-1)[~batch.padding_mask.T.reshape(-1)]
        metrics = {
            "load_balancing_loss": sum(EXPERTS * (a * b).sum() for a, b in zip(own, P, strict=True)) / LAYERS,
            "z_loss": sum((x.exp().sum(-1).log() ** 2).mean() for x in logits) / LAYERS,
            "tokens_per_expert": torch.stack([c.sum(0) for c in chosen]).long(),
            "domain_counts": torch.stack(
                [torch.stack([c[ids == d].sum(0) for d in range(DOMAINS)]) for c in chosen]
            ).long(),
        }
        return {"gradients": gradients(model), "metrics": metrics}

    def alone(loss, batch):
        """Gradients of one of Table 6's other losses and its value, mean over the layers."""
        model.zero_grad_buffer()
        _, logits, chosen = route(batch)
        values = [loss(x, c) for x, c in zip(logits, chosen, strict=True)]
        (MOE.aux_loss_coeff * sum(values)).backward()
        return {"gradients": gradients(model), "aux_loss": sum(values).item() / LAYERS}

    def by_group(group_of_row):
        real = ~SECOND.padding_mask.T
        groups = group_of_row.expand(LENGTH, ROWS)[real]

        def loss(x, chosen):
            values = []
            for group in groups.unique():
                own = groups == group
                f = chosen[own].sum(0) / (own.sum() * TOPK)
                values.append(EXPERTS * (f * torch.softmax(x[own], dim=-1).mean(0)).sum())
            return sum(values) / len(values)

        return loss

    def variance(x, chosen):
        s = torch.softmax(x, dim=-1)
        return -((s - s.mean(0)) ** 2).sum() / (len(s) * EXPERTS)

    first, second = fractions(FIRST), fractions(SECOND)
    rows = torch.arange(ROWS)
    return {
        "exact_alone": result(SECOND, second, 0.0),
        "first_step": result(FIRST, first, 1.0),
        "second_step": result(SECOND, first, 1.0),
        "sequence": alone(by_group(rows), SECOND),
        "micro_batch": {size: alone(by_group(rows // size), SECOND) for size in (1, 2)},
        "variance": alone(variance, SECOND),
    }


def run_single() -> dict:
    """One process: the reference, and what doesn't depend on a layout."""
    results = run_reference()
    layout = Layout(micro_batch_size=ROWS)
    model = build(layout, BalancedTopKRouter)

    def run(**changes):
        statistics = RouterStatistics([model], replace(MOE, **changes))
        return step(model, statistics, SECOND, layout, cross_entropy=0.0)

    results["running_at_once"] = run(statistics="running")
    results["without_balance"] = run(load_balancing="none")
    results["without_z"] = run(statistics="exact", z_loss_coeff=0.0)
    capped = build(layout, BalancedTopKRouter, capacity_factor=1.0)
    statistics = RouterStatistics([capped], replace(MOE, statistics="exact"))
    results["capped"] = step(capped, statistics, SECOND, layout, cross_entropy=0.0)
    results["refusals"] = refusals(model, layout)
    results["stock"] = stock(Layout(), *STOCK, "balance mask", "balance half", "micro half", "z half")
    return results


def refusals(model: torch.nn.Module, layout: Layout) -> dict[str, str]:
    """What RouterStatistics says of wrong use."""
    found = {}
    statistics = RouterStatistics([model], MOE, num_domains=DOMAINS)
    whole = BatchSize(SECOND.num_tokens, SECOND.num_loss_tokens, 1, ROWS)
    statistics.begin_step(whole, 1)
    try:
        forward_backward(model, statistics, SECOND, layout, 1.0)
    except RuntimeError as error:
        found["no statistics pass"] = str(error)
    statistics = RouterStatistics([model], replace(MOE, load_balancing="none"), num_domains=DOMAINS)
    statistics.begin_step(replace(whole, num_tokens=SECOND.num_tokens + 1), 1)
    forward_backward(model, statistics, SECOND, layout, 1.0)
    try:
        statistics.end_step()
    except RuntimeError as error:
        found["wrong count"] = str(error)
    statistics.begin_step(whole, 2)
    forward_backward(model, statistics, SECOND, layout, 1.0)
    try:
        statistics.end_step()
    except RuntimeError as error:
        found["missing micro-batch"] = str(error)
    try:
        other = torch.ones(LAYERS, EXPERTS + 1)
        statistics.load_state_dict({"tokens_per_expert": other, "prob_sums": other})
    except ValueError as error:
        found["other model"] = str(error)
    try:
        RouterStatistics([build(layout, TopKRouter)], MOE)
    except ValueError as error:
        found["stock router"] = str(error)
    try:
        build(layout, BalancedTopKRouter, moe_z_loss_coeff=1e-3)
    except ValueError as error:
        found["two z-losses"] = str(error)
    return found


# Upstream's switches, and what ours is called.
STOCK = {
    "balance": ({"moe_router_load_balancing_type": "global_aux_loss", "moe_aux_loss_coeff": 1.0}, "global"),
    "micro": ({"moe_router_load_balancing_type": "aux_loss", "moe_aux_loss_coeff": 1.0}, "micro_batch"),
    "sequence": ({"moe_router_load_balancing_type": "seq_aux_loss", "moe_aux_loss_coeff": 1.0}, "sequence"),
    "z": ({"moe_z_loss_coeff": 1.0}, "none"),
}


def stock(layout: Layout, *cases: str) -> dict[str, float]:
    """Norm of the routers' gradients under one of megatron-core's losses alone, over that under ours.

    The global batch is one row, repeated, without padding, so that every micro-batch has the loads of the
    global batch and nothing but scaling can differ.

    Args:
        cases: the loss, then ``half`` if only half of the tokens count for the cross-entropy, ``mask`` to give
            the model a padding mask, in which nothing is padding.
    """
    row = make_batch(3).rows(0, 1)
    same = Batch(*(getattr(row, f).expand(ROWS, LENGTH) for f in row.__dataclass_fields__))
    none = torch.zeros(ROWS, LENGTH, dtype=torch.bool)
    halves = {True: (torch.arange(LENGTH) % 2 == 0).expand(ROWS, LENGTH), False: ~none}
    found: dict[str, float] = {}
    exact: dict[str, float] = {}
    for case in cases:
        loss, *words = case.split()
        batch = replace(same, loss_mask=halves["half" in words], padding_mask=none)
        switches, name = STOCK[loss]
        unmasked = case.removesuffix(" mask")  # ours gives the model the mask in any case
        if unmasked not in exact:
            ours = build(layout, BalancedTopKRouter)
            moe = MoeConfig(name, 1.0, float(loss == "z"), statistics="exact", capacity_factor=None)
            stepped = step(ours, RouterStatistics([ours], moe), batch, layout, 0.0)
            exact[unmasked] = router_norm(stepped["gradients"])
        theirs = build(layout, TopKRouter, **switches)
        theirs.zero_grad_buffer()
        forward_backward(theirs, None, batch, layout, 0.0, with_padding_mask="mask" in words)
        found[case] = router_norm(everywhere(gradients(theirs))) / exact[unmasked]
    return found


def router_norm(found: Gradients) -> float:
    return torch.cat([g.flatten() for name, g in found.items() if "router" in name]).norm().item()


def run_alone(name: str) -> dict:
    return {name: in_layout(LAYOUTS[name], partial(run_layout, LAYOUTS[name]))}


def run_layouts() -> dict:
    results: dict = {}
    for name in [name for name in LAYOUTS if name != "tp4_ep4_recompute"]:
        results |= run_alone(name)
    for name in ("pp2", "pp2_ep2_recompute"):
        results[name]["running"] = in_layout(LAYOUTS[name], partial(run_running, LAYOUTS[name]))
    results["tp2_without_sequence_parallel"] = in_layout(Layout(tp=2), run_router_alone)
    for name in ("dp4", "tp2_cp2"):
        cases = partial(stock, LAYOUTS[name], "balance", "balance mask", "micro", "micro mask", "sequence")
        results[f"stock_{name}"] = in_layout(LAYOUTS[name], cases)
    return results


def run_running(layout: Layout) -> dict:
    model = build(layout, BalancedTopKRouter)
    statistics = RouterStatistics([model], replace(MOE, statistics="running"), num_domains=DOMAINS)
    return step(model, statistics, SECOND, layout, cross_entropy=0.0)


def run_router_alone() -> dict:
    """Tensor parallelism without a split of the sequence: a layer refuses it in training, a router needn't.

    Both tensor-parallel ranks hold the same tokens; each must have the whole gradient.
    """
    parallel = ParallelConfig(tp=2, pp=1, cp=1, ep=1, etp=1, sequence_parallel=False)
    model = replace(MODEL, num_hidden_layers=1)
    config = transformer_config(
        model, parallel, "rehearsal", torch.float32, recompute="none", moe_capacity_factor=None
    )
    router = BalancedTopKRouter(config, get_default_pg_collection())
    router.set_layer_number(1)
    generator = torch.Generator().manual_seed(5)
    router.weight.data = torch.randn(EXPERTS, 32, generator=generator)
    hidden = torch.randn(LENGTH, ROWS, 32, generator=generator)
    padding = FIRST.padding_mask.T
    dp_rank = parallel_state.get_data_parallel_rank()
    own_hidden, own_padding = hidden.chunk(2, dim=1)[dp_rank].contiguous(), padding.chunk(2, dim=1)[dp_rank]
    found = {
        loss: _alone(router, own_hidden, own_padding, loss) for loss in ("global", "micro_batch", "variance")
    }
    weight = router.weight.detach().clone().requires_grad_()
    logits = (hidden @ weight.T)[~padding]
    probs = torch.softmax(logits, dim=-1)
    f = torch.zeros_like(logits).scatter(1, logits.topk(TOPK).indices, 1.0).sum(0) / (TOPK * len(logits))
    halves = [(hidden[:, own] @ weight.T)[~padding[:, own]] for own in (slice(0, 4), slice(4, 8))]
    losses = {
        "global": EXPERTS * (f * probs.mean(0)).sum(),
        "micro_batch": sum(
            EXPERTS
            * (
                torch.zeros_like(x).scatter(1, x.topk(TOPK).indices, 1.0).mean(0)
                / TOPK
                * torch.softmax(x, dim=-1).mean(0)
            ).sum()
            for x in halves
        )
        / 2,
        "variance": -((probs - probs.mean(0)) ** 2).sum() / (EXPERTS * len(probs)),
    }
    z = MOE.z_loss_coeff * (torch.logsumexp(logits, dim=-1) ** 2).mean()
    for loss, value in losses.items():
        total = MOE.aux_loss_coeff * value + z
        found[loss]["want"] = torch.autograd.grad(total, weight, retain_graph=True)[0]
        found[loss]["want_value"] = value.item()
    return found


def _alone(router: BalancedTopKRouter, hidden: torch.Tensor, padding: torch.Tensor, loss: str) -> dict:
    router.weight.grad = None
    moe = replace(MOE, load_balancing=loss, statistics="exact")
    statistics = RouterStatistics([router], moe)
    statistics.begin_step(BatchSize(FIRST.num_tokens, FIRST.num_loss_tokens, 2, ROWS), 1)
    sequence_ids = torch.arange(4).unsqueeze(1).expand(4, LENGTH)
    if statistics.needs_statistics_pass:
        with statistics.counting(), statistics.microbatch(None, sequence_ids, 4):
            router(hidden, padding)
    with statistics.microbatch(None, sequence_ids, 4):
        probs, _ = router(hidden, padding)
    MoEAuxLossAutoScaler.set_loss_scale(torch.ones(1))
    (0.0 * probs.sum()).backward()
    metrics = statistics.end_step()
    got = router.weight.grad.clone()
    dist.all_reduce(got, group=parallel_state.get_data_parallel_group())
    return {"got": got / FIRST.num_loss_tokens, "value": metrics.aux_loss}


def in_layout(layout: Layout, run):
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=layout.tp,
        pipeline_model_parallel_size=layout.pp,
        context_parallel_size=layout.cp,
        expert_model_parallel_size=layout.ep,
        expert_tensor_parallel_size=1,
    )
    model_parallel_cuda_manual_seed(1)
    try:
        return run()
    finally:
        parallel_state.destroy_model_parallel()


def main() -> None:
    mode, out = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    if mode == "single":
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    else:
        dist.init_process_group("gloo")
    runs = {"single": partial(in_layout, Layout(), run_single), "layouts": run_layouts}
    results = runs[mode]() if mode in runs else run_alone(mode)
    if dist.get_rank() == 0:
        torch.save(results, out)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
