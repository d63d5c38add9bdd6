"""Loss of every row, from packs and alone: ``packed_rows_worker.py PREFIX OUTPUT``.

With N ranks the packs are context-parallel over all of them. Writes ``{model: {"packed": [...], "alone": [...]}}``,
a sum of token losses for each row of the first two packs; ``alone`` in one process only, as a plain sequence of its
own length, without padding and without ``PackedSeqParams``.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import torch
import torch.distributed as dist

from magic_megatron import platform

platform.activate("rehearsal")

from magic_megatron.config.layout import ParallelConfig  # noqa: E402
from magic_megatron.config.sft import SftConfig  # noqa: E402
from magic_megatron.data.batch import collate  # noqa: E402
from magic_megatron.data.dataset import PackedDataset  # noqa: E402
from magic_megatron.models.gpt import build_model  # noqa: E402
from magic_megatron.models.initialization import initialize_weights  # noqa: E402
from magic_megatron.models.transformer_config import transformer_config  # noqa: E402
from magic_megatron.platform.specs import decoder_block_spec  # noqa: E402
from magic_megatron.sft.processes import distributed, model_parallel, world_size  # noqa: E402
from recipes.command import compose, typed  # noqa: E402

MODELS = ("qwen3_tiny", "qwen3_moe_tiny")
SEQUENCE_LENGTH = 1024


def main() -> None:
    dataset = PackedDataset(sys.argv[1], SEQUENCE_LENGTH, seed=5, pad_multiple=8, mixture=None)
    batch = collate([dataset[0], dataset[1]])
    losses = {}
    for name in MODELS:
        config = typed(
            SftConfig, compose("sft", [f"model={name}", f"data.path={sys.argv[1]}", "output_dir=-"])
        )
        if not dist.is_initialized():
            context = distributed(config.platform)
            context.__enter__()
        cp = world_size()
        layout = ParallelConfig(tp=1, pp=1, cp=cp, ep=1, etp=1, sequence_parallel=None)
        with model_parallel(layout, seed=0), torch.no_grad():
            model = build(config, layout, dataset.manifest.vocab_size)
            losses[name] = {"packed": packed(model, batch.context_parallel_part(cp, dist.get_rank()))}
            if cp == 1:
                losses[name]["alone"] = alone(model, batch)
    if dist.get_rank() == 0:
        Path(sys.argv[2]).write_text(json.dumps(losses))
    context.__exit__(None, None, None)


def build(config, layout, vocab_size):
    core = transformer_config(
        config.model, layout, "rehearsal", torch.float32, recompute="none", moe_capacity_factor=None
    )
    model = build_model(
        config.model,
        core,
        decoder_block_spec(core, "rehearsal"),
        vocab_size=vocab_size,
        sequence_length=2 * SEQUENCE_LENGTH,
        pre_process=True,
        post_process=True,
    )
    initialize_weights(model, seed=7)
    return model.eval()


def packed(model, part):
    """Sum of the token losses of each row of the pack, over the context-parallel ranks."""
    token_losses = model(
        input_ids=part.tokens,
        position_ids=part.position_ids,
        attention_mask=None,
        labels=part.labels.clamp(min=0),
        packed_seq_params=part.packed_seq_params,
        padding_mask=part.padding_mask,
    )
    sums = torch.zeros(part.num_sequences, dtype=torch.float64)
    sums.index_add_(0, part.sequence_ids[0], (token_losses * part.loss_mask)[0].double())
    dist.all_reduce(sums)
    return sums.tolist()


def alone(model, batch):
    """The same, each row a plain sequence of its own."""
    sums = []
    for first, end in pairwise(batch.packed_seq_params.cu_seqlens_q_padded.tolist()):
        own = slice(first, first + int(batch.token_mask[0, first:end].sum()))
        tokens, labels, mask = (x[:, own] for x in (batch.tokens, batch.labels, batch.loss_mask))
        positions = torch.arange(tokens.shape[1])[None]
        token_losses = model(
            input_ids=tokens, position_ids=positions, attention_mask=None, labels=labels.clamp(min=0)
        )
        sums.append(float((token_losses * mask).double().sum()))
    return sums


if __name__ == "__main__":
    main()
