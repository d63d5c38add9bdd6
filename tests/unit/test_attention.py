"""Rehearsal's attention and the zigzag partition against the loops one would write on paper."""

import itertools

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from magic_megatron.data.context_parallel import partition_indices
from magic_megatron.platform import activate

activate("rehearsal")

from megatron.core.packed_seq_params import PackedSeqParams  # noqa: E402
from megatron.core.process_groups_config import ProcessGroupCollection  # noqa: E402
from megatron.core.transformer.enums import AttnMaskType  # noqa: E402
from megatron.core.transformer.transformer_config import TransformerConfig  # noqa: E402

from magic_megatron.platform.attention import RehearsalAttention, attend, attention_plan  # noqa: E402

HEADS, GROUPS, CHANNELS = 4, 2, 8
SCALE = CHANNELS**-0.5
PACKS = {
    "one row": (0, 12),
    "rows of uneven length": (0, 8, 24, 28, 40),
    "a row of one token": (0, 1, 6),
    "an empty row": (0, 8, 8, 16),
}


def paper_attention(query, key, value, boundaries):
    """softmax(q·kᵀ/√d)·v, token by token and head by head, over the tokens of the row up to the token."""
    out = torch.zeros_like(query)
    for start, end in itertools.pairwise(boundaries):
        for token in range(start, end):
            for head in range(query.shape[1]):
                group = head * key.shape[1] // query.shape[1]
                logits = torch.stack(
                    [query[token, head] @ key[j, group] * SCALE for j in range(start, token + 1)]
                )
                out[token, head] = torch.softmax(logits, 0) @ value[start : token + 1, group]
    return out


def random_inputs(num_tokens, heads=HEADS, groups=GROUPS):
    generator = torch.Generator().manual_seed(num_tokens)
    shapes = [(num_tokens, heads, CHANNELS), (num_tokens, groups, CHANNELS), (num_tokens, groups, CHANNELS)]
    return [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]


@pytest.fixture
def attention():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    config = TransformerConfig(
        num_layers=1,
        hidden_size=HEADS * CHANNELS,
        num_attention_heads=HEADS,
        num_query_groups=GROUPS,
        attention_dropout=0.0,
    )
    yield RehearsalAttention(
        config,
        layer_number=1,
        attn_mask_type=AttnMaskType.causal,
        attention_type="self",
        pg_collection=ProcessGroupCollection(cp=dist.group.WORLD),
    )
    dist.destroy_process_group()


def packed(boundaries, padded=None):
    cu_seqlens = torch.tensor(boundaries, dtype=torch.int32)
    cu_padded = None if padded is None else torch.tensor(padded, dtype=torch.int32)
    return PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=cu_seqlens,
        cu_seqlens_kv=cu_seqlens,
        cu_seqlens_q_padded=cu_padded,
        cu_seqlens_kv_padded=cu_padded,
    )


@pytest.mark.parametrize("boundaries", PACKS.values(), ids=PACKS.keys())
@pytest.mark.parametrize("groups", [HEADS, GROUPS, 1])
def test_packed_attention_is_the_formula(attention, boundaries, groups):
    inputs = random_inputs(boundaries[-1], groups=groups)
    out = attention(*inputs, None, packed_seq_params=packed(boundaries))
    expected = paper_attention(*inputs, boundaries)
    torch.testing.assert_close(out, expected.reshape(boundaries[-1], 1, -1), rtol=0, atol=1e-12)
    weight = torch.randn_like(out)
    ours = torch.autograd.grad((out * weight).sum(), inputs)
    theirs = torch.autograd.grad((expected.reshape(weight.shape) * weight).sum(), inputs)
    for gradient, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)


def test_batched_attention_is_the_formula_for_every_row(attention):
    rows = [random_inputs(length) for length in (6, 6)]
    rows[1] = [x.detach() * 2 + 1 for x in rows[1]]
    query, key, value = (torch.stack(xs, dim=1) for xs in zip(*rows, strict=True))
    out = attention(query, key, value, None)
    for index, row in enumerate(rows):
        expected = paper_attention(*row, (0, 6)).reshape(6, -1)
        torch.testing.assert_close(out[:, index], expected, rtol=0, atol=1e-12)


def test_nothing_crosses_from_one_row_into_another(attention):
    boundaries = (0, 8, 24)
    inputs = [x.detach() for x in random_inputs(24)]
    before = attention(*inputs, None, packed_seq_params=packed(boundaries))
    changed = [torch.cat((torch.randn_like(x[:8]), x[8:])) for x in inputs]
    after = attention(*changed, None, packed_seq_params=packed(boundaries))
    assert torch.equal(before[8:], after[8:])
    assert not torch.equal(before[:8], after[:8])


def test_padding_behind_the_rows_changes_no_token(attention):
    """Rows of 5 and 3 tokens padded to 8 each, and a tail of 8 that is padding throughout."""
    rows, padded = (0, 5, 8), (0, 8, 16, 24)
    real = [*range(5), *range(8, 11)]
    compact = [x.detach() for x in random_inputs(8)]
    expected = attention(*compact, None, packed_seq_params=packed(rows))
    for seed in (0, 1):
        noise = torch.Generator().manual_seed(seed)
        inputs = [torch.randn(24, *x.shape[1:], generator=noise, dtype=x.dtype) for x in compact]
        for padded_input, x in zip(inputs, compact, strict=True):
            padded_input[real] = x
        out = attention(*inputs, None, packed_seq_params=packed((*rows, 8), padded))
        torch.testing.assert_close(out[real], expected, rtol=0, atol=1e-13)


def test_what_is_not_rehearsed_is_refused(attention):
    inputs = random_inputs(4)
    with pytest.raises(ValueError, match="causal attention without bias only"):
        attention(*inputs, None, attn_mask_type=AttnMaskType.no_mask)
    with pytest.raises(ValueError, match="causal attention without bias only"):
        attention(*inputs, None, attention_bias=torch.zeros(4, 4))


@pytest.mark.parametrize("cp_size", [2, 4])
def test_pieces_of_all_ranks_together_are_the_whole(cp_size):
    boundaries = (0, 8, 24, 24, 48)
    query, key, value = random_inputs(48)
    whole = attend(*(x[:, None] for x in (query, key, value)), attention_plan(boundaries, 1, 0), SCALE)
    for rank in range(cp_size):
        held = partition_indices(torch.tensor(boundaries), cp_size, rank)
        plan = attention_plan(boundaries, cp_size, rank)
        part = attend(query[held][:, None], key[:, None], value[:, None], plan, SCALE)
        torch.testing.assert_close(part, whole[held], rtol=0, atol=1e-12)


def paper_partition(boundaries, cp_size, cp_rank):
    held = []
    for start, end in itertools.pairwise(boundaries):
        chunk = (end - start) // (2 * cp_size)
        for index in (cp_rank, 2 * cp_size - 1 - cp_rank):
            held += range(start + index * chunk, start + (index + 1) * chunk)
    return held


@given(
    cp_size=st.sampled_from([1, 2, 4]),
    units=st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any),
)
def test_partition_is_the_zigzag_of_every_row(cp_size, units):
    lengths = torch.tensor([0] + [unit * 2 * cp_size for unit in units])
    boundaries = lengths.cumsum(0)
    held = [partition_indices(boundaries, cp_size, rank) for rank in range(cp_size)]
    for rank in range(cp_size):
        assert held[rank].tolist() == paper_partition(boundaries.tolist(), cp_size, rank)
    assert sorted(torch.cat(held).tolist()) == list(range(int(boundaries[-1])))


def test_partition_refuses_a_length_that_does_not_divide():
    with pytest.raises(ValueError, match=r"padded sequence length 6: must divide by 2·cp=4"):
        partition_indices(torch.tensor([0, 8, 14]), 2, 0)
    assert partition_indices(torch.tensor([0, 3, 5]), 1, 0).tolist() == [0, 1, 2, 3, 4]
