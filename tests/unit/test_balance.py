"""Eq. 14–16 against the loops one would write on paper, in value and gradient, however a batch is cut."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_megatron.moe.balance import (
    count_selections,
    load_balancing_loss,
    selection_fractions,
    sum_over_tokens,
    z_loss,
)


@st.composite
def routed_batches(draw):
    """Logits [T, E] in double precision, a mask of real tokens [T] with one at least, and K."""
    T, E = draw(st.integers(1, 8)), draw(st.integers(2, 5))
    K = draw(st.integers(1, E))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = 3 * torch.randn(T, E, generator=generator, dtype=torch.float64)
    mask = torch.tensor(draw(st.lists(st.booleans(), min_size=T, max_size=T)))
    mask[draw(st.integers(0, T - 1))] = True
    return logits, mask, K


def choose(logits, K):
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.topk(K).indices, True)


def fractions_on_paper(selected, mask, K):
    T, E = selected.shape
    num_real = sum(1 for t in range(T) if mask[t])
    shares = [sum(1 for t in range(T) if mask[t] and selected[t, i]) / (num_real * K) for i in range(E)]
    return torch.tensor(shares, dtype=torch.float64)


def balance_on_paper(logits, fractions, mask):
    T, E = logits.shape
    real = [t for t in range(T) if mask[t]]
    loss = 0.0
    for i in range(E):
        P_i = sum(logits[t, i].exp() / sum(logits[t, j].exp() for j in range(E)) for t in real) / len(real)
        loss = loss + fractions[i] * P_i
    return E * loss


def z_on_paper(logits, mask):
    T, E = logits.shape
    real = [t for t in range(T) if mask[t]]
    return sum(sum(logits[t, j].exp() for j in range(E)).log() ** 2 for t in real) / len(real)


def value_and_gradient(loss_of, logits):
    leaf = logits.clone().requires_grad_()
    loss = loss_of(leaf)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def assert_same(ours, twin):
    for got, want in zip(ours, twin, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(routed_batches())
def test_fractions_count_real_tokens_and_sum_to_one(batch):
    logits, mask, K = batch
    selected = choose(logits, K)
    fractions = selection_fractions(count_selections(selected, mask).double())
    torch.testing.assert_close(fractions, fractions_on_paper(selected, mask, K))
    assert fractions.sum().item() == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(routed_batches())
def test_load_balancing_loss_is_its_formula(batch):
    logits, mask, K = batch
    fractions = fractions_on_paper(choose(logits, K), mask, K)
    num_tokens = int(mask.sum())
    assert_same(
        value_and_gradient(lambda x: load_balancing_loss(x.softmax(-1), fractions, num_tokens, mask), logits),
        value_and_gradient(lambda x: balance_on_paper(x, fractions, mask), logits),
    )


@settings(max_examples=40, deadline=None)
@given(routed_batches())
def test_z_loss_is_its_formula(batch):
    logits, mask, _ = batch
    assert_same(
        value_and_gradient(lambda x: z_loss(x, int(mask.sum()), mask), logits),
        value_and_gradient(lambda x: z_on_paper(x, mask), logits),
    )


@settings(max_examples=40, deadline=None)
@given(routed_batches(), st.integers(1, 5))
def test_shares_add_up_however_the_batch_is_cut(batch, num_parts):
    logits, mask, K = batch
    num_tokens = int(mask.sum())
    fractions = fractions_on_paper(choose(logits, K), mask, K)

    def both(x, m):
        return load_balancing_loss(x.softmax(-1), fractions, num_tokens, m) + z_loss(x, num_tokens, m)

    def in_parts(x):
        return sum(both(a, b) for a, b in zip(x.chunk(num_parts), mask.chunk(num_parts), strict=True))

    assert_same(value_and_gradient(in_parts, logits), value_and_gradient(lambda x: both(x, mask), logits))


@settings(max_examples=40, deadline=None)
@given(routed_batches())
def test_padding_has_no_gradient(batch):
    logits, mask, K = batch
    fractions = fractions_on_paper(choose(logits, K), mask, K)
    _, gradient = value_and_gradient(
        lambda x: load_balancing_loss(x.softmax(-1), fractions, 1, mask) + z_loss(x, 1, mask), logits
    )
    assert torch.all(gradient[~mask] == 0)


def test_fractions_carry_no_gradient():
    fractions = torch.tensor([0.25, 0.75], requires_grad=True)
    probs = torch.tensor([[0.5, 0.5]], requires_grad=True)
    load_balancing_loss(probs, fractions, 1, torch.tensor([True])).backward()
    assert fractions.grad is None
    torch.testing.assert_close(probs.grad, torch.tensor([[0.5, 1.5]]))


def test_a_balanced_router_has_loss_one_and_a_collapsed_one_the_number_of_experts():
    E, mask = 4, torch.ones(8, dtype=torch.bool)
    even = torch.full((8, E), 1 / E)
    assert load_balancing_loss(even, torch.full((E,), 1 / E), 8, mask).item() == pytest.approx(1.0)
    collapsed = torch.zeros(8, E)
    collapsed[:, 0] = 1.0
    assert load_balancing_loss(collapsed, collapsed[0], 8, mask).item() == pytest.approx(E)


def test_z_loss_of_even_logits_is_the_squared_logarithm_of_their_number():
    loss = z_loss(torch.zeros(5, 16), 5, torch.ones(5, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(16) ** 2)


def test_sums_leave_padding_out():
    values = torch.tensor([[1.0, 2.0], [30.0, 40.0], [5.0, 6.0]])
    assert sum_over_tokens(values, torch.tensor([True, False, True])).tolist() == [6.0, 8.0]
