"""One pipeline stage of a Qwen model as Megatron-Core's GPTModel."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel.mappings import gather_from_sequence_parallel_region
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from magic_megatron.config.model import ModelConfig
from recipes.command import InputError


def build_model(
    model: ModelConfig,
    config: TransformerConfig,
    spec: TransformerBlockSubmodules,
    *,
    vocab_size: int,
    sequence_length: int,
    pre_process: bool,
    post_process: bool,
) -> GPTModel:
    """This rank's part of the model. Its weights are memory as it was found: initialise or load them.

    Called with token ids, position ids and labels, each [batch, sequence], it returns the loss of each token;
    without labels it returns this tensor-parallel rank's logits [batch, sequence, vocabulary / tp].

    Args:
        spec: the layers of this stage, ``magic_megatron.platform.specs.decoder_block_spec``.
        vocab_size: rows of the embedding over all tensor-parallel ranks, see ``vocabulary_size``.
        sequence_length: the longest sequence, in tokens.
        pre_process: the stage holds the embedding.
        post_process: the stage holds the output layer.
    """
    return GPTModel(
        config,
        spec,
        vocab_size=vocab_size,
        max_sequence_length=sequence_length,
        pre_process=pre_process,
        post_process=post_process,
        parallel_output=True,
        share_embeddings_and_output_weights=model.tie_word_embeddings,
        position_embedding_type="rope",
        rotary_percent=1.0,
        rotary_base=model.rope_theta,
    )


def learned_token_losses(
    *,
    hidden_states: Tensor,
    output_layer: Any,
    output_weight: Tensor | None,
    labels: Tensor,
    loss_mask: Tensor,
    compute_language_model_loss: Any,
    **unused: Any,
) -> Tensor:
    """GPTModel's ``output_processor``: the projection to the vocabulary only where a token is learned.

    Most tokens of SFT are prompt; their logits would be computed, kept for backward and multiplied by zero.

    Args:
        hidden_states: [S, 1, H], or [S / tp, 1, H] under sequence parallelism.
        labels: [1, S], any valid token where nothing is learned.
        loss_mask: [1, S], 1 where a token is learned, else 0.

    Returns:
        Loss of each token, float32 [1, S]; to be weighted with ``loss_mask``, where that is 0 it means nothing.
    """
    learned = loss_mask.squeeze(0).nonzero().squeeze(1)
    # Kernels want a token, and every rank a backward pass: without any, the first one is computed and weighs nothing.
    learned = learned if len(learned) else learned.new_zeros(1)
    is_split = output_layer.sequence_parallel
    if is_split:
        # Backward of the output layer sums over tensor-parallel ranks: what is left is to take one's own part.
        hidden_states = gather_from_sequence_parallel_region(
            hidden_states, tensor_parallel_output_grad=False, group=output_layer.tp_group
        )
    output_layer.sequence_parallel = False
    try:
        logits, _ = output_layer(hidden_states.index_select(0, learned), weight=output_weight)
    finally:
        output_layer.sequence_parallel = is_split
    losses = compute_language_model_loss(labels.index_select(1, learned), logits)
    return torch.zeros_like(loss_mask).index_copy(1, learned, losses.to(loss_mask.dtype))


def vocabulary_size(model: ModelConfig, tokenizer_length: int, tp: int) -> int:
    """Rows of the embedding: the model's own number, or the tokenizer's length where the recipe names none.

    Nothing is padded: a row without a token would take a share of the softmax, and engines that read the
    exported model expect the tokenizer's length.

    Raises:
        InputError: a tokenizer with more tokens than the model has rows, or rows that tp doesn't divide.
    """
    if model.vocab_size is not None and model.vocab_size < tokenizer_length:
        raise InputError(
            f"model.vocab_size={model.vocab_size}: the tokenizer has {tokenizer_length} tokens, more than"
            f" {model.name} has rows; use the tokenizer the model was made for, or model.vocab_size=null to"
            " train from scratch"
        )
    size = model.vocab_size or tokenizer_length
    if size % tp:
        raise InputError(
            f"parallel.tp={tp}: must divide the vocabulary of {size}; use a tokenizer whose length is a"
            f" multiple of {tp}, or parallel.tp=1"
        )
    return size
