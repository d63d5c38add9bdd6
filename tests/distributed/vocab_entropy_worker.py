"""``python vocab_entropy_worker.py FOLDER``: verl's Megatron engine on vocabulary-parallel logits, two gloo ranks.

The ranks are forked from one interpreter, so that verl is imported once.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from magic_megatron.platform import activate

activate("rehearsal")

from megatron.core import parallel_state  # noqa: E402
from verl.workers.engine.megatron.transformer_impl import MegatronEngineWithLMHead  # noqa: E402

NUM_TOKENS, VOCAB, CHUNK = 9, 40, 4
TEMPERATURE = 0.9


def reference(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of whole rows, in float64."""
    log_probs = (logits / TEMPERATURE).log_softmax(-1)
    return log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1), -(log_probs.exp() * log_probs).sum(-1)


def engine_outputs(logits: torch.Tensor, labels: torch.Tensor, chunked: bool) -> dict[str, torch.Tensor]:
    """The engine's own method on this rank's columns."""
    config = SimpleNamespace(entropy_from_logits_with_chunking=chunked, entropy_from_logits_chunk_size=CHUNK)
    return MegatronEngineWithLMHead._lm_head_logits_processor(
        SimpleNamespace(engine_config=config),
        logits * 1.0,  # it divides in place
        labels,
        torch.full(labels.shape, TEMPERATURE),
        calculate_sum_pi_squared=False,
        calculate_entropy=True,
        distillation_use_topk=False,
        distillation_only=False,
        logits_processor_func=None,
        batch=None,
        data_format="thd",
    )


def check(rank: int, store: str) -> None:
    dist.init_process_group("gloo", store=dist.FileStore(store, 2), rank=rank, world_size=2)
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=2)
    generator = torch.Generator().manual_seed(0)
    whole = 4 * torch.randn(1, NUM_TOKENS, VOCAB, generator=generator, dtype=torch.float64)
    whole[0, 0, 7] = 60.0  # one certain token
    labels = torch.randint(0, VOCAB, (1, NUM_TOKENS), generator=generator)
    weights = torch.randn(2, 1, NUM_TOKENS, generator=generator, dtype=torch.float64)
    exact = whole.clone().requires_grad_()
    log_probs, entropy = reference(exact, labels)
    (weights[0] * log_probs + weights[1] * entropy).sum().backward()
    assert exact.grad is not None

    own = whole.float().chunk(2, dim=-1)[rank].clone().requires_grad_()
    outputs = engine_outputs(own, labels, chunked=False)
    (weights[0] * outputs["log_probs"] + weights[1] * outputs["entropy"]).sum().backward()
    torch.testing.assert_close(outputs["entropy"].double(), entropy, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outputs["log_probs"].double(), log_probs, rtol=1e-5, atol=1e-5)
    assert own.grad is not None
    torch.testing.assert_close(own.grad.double(), exact.grad.chunk(2, dim=-1)[rank], rtol=1e-4, atol=1e-5)

    chunked = engine_outputs(own, labels, chunked=True)["entropy"]
    torch.testing.assert_close(chunked.double(), entropy, rtol=1e-5, atol=1e-5)
    try:
        chunked.sum().backward()
        outcome = "differentiable"
    except RuntimeError as error:
        outcome = "refused" if "modified by an inplace operation" in str(error) else "broken"
    dist.barrier()
    if rank == 0:
        print(f"equal; chunked: {outcome}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.start_processes(check, args=(f"{sys.argv[1]}/store",), nprocs=2, start_method="fork")
