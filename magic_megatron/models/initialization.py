"""Initial weights that depend on the seed and the weight's name alone, never on the layout.

Megatron-Core's sharded state dict says of every local tensor which global tensor it is a part of and where.
The global tensor is drawn whole from a generator of its own, and the local part is cut out of it.
"""

from __future__ import annotations

import hashlib
import math

import torch
from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.models.gpt import GPTModel

from magic_megatron.models.weights import local_part, weight_shards

_OUTPUT_PROJECTIONS = ("linear_proj.weight", "linear_fc2.weight")


@torch.no_grad()
def initialize_weights(model: GPTModel, seed: int) -> None:
    """Fill ``model``, one stage under any layout: every layout starts from the same model.

    Megatron's convention: normal with standard deviation ``config.init_method_std``, divided by √(2·layers)
    for the projections back into the residual stream; norms one, biases zero. Besides the model one whole
    weight matrix is held at a time.
    """
    filled = 0
    for shard in weight_shards(model):
        shard.data.copy_(_draw(shard, seed, _standard_deviation(model, shard.key))[local_part(shard)])
        filled += shard.data.numel()
    assert filled == sum(parameter.numel() for parameter in model.parameters()), "a parameter was left out"


def _draw(shard: ShardedTensor, seed: int, standard_deviation: float) -> torch.Tensor:
    """The whole weight of one layer (of one expert): ``shard`` without its leading layer and expert axes."""
    indices = shard.global_offset[: shard.prepend_axis_num]
    shape = shard.global_shape[shard.prepend_axis_num :]
    if shard.key.endswith("bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    name = f"{seed}/{shard.key}/{'/'.join(map(str, indices))}"
    digest = hashlib.sha256(name.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
    return torch.normal(0.0, standard_deviation, shape, generator=generator)


def _standard_deviation(model: GPTModel, key: str) -> float:
    scale = math.sqrt(2 * model.config.num_layers) if key.endswith(_OUTPUT_PROJECTIONS) else 1.0
    return model.config.init_method_std / scale
