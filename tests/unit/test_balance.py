"""The router's losses against the loops one would write on paper, in value and gradient, however a batch is cut."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_megatron.moe.balance import (
    load_balancing_loss,
    selection_fractions,
    sum_by_group,
    variance_loss,
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


def variance_on_paper(logits, mask):
    """With the mean's own dependence on the logits, which the fast one does without."""
    T, E = logits.shape
    real = [t for t in range(T) if mask[t]]
    s = {t: [logits[t, i].exp() / sum(logits[t, j].exp() for j in range(E)) for i in range(E)] for t in real}
    mean = [sum(s[t][i] for t in real) / len(real) for i in range(E)]
    return -sum((s[t][i] - mean[i]) ** 2 for t in real for i in range(E)) / (len(real) * E)


def balance(x, fractions, num_tokens, mask):
    """The loss of a batch that is one group."""
    return load_balancing_loss(sum_by_group(x.softmax(-1), mask.double()), fractions[None], num_tokens, 1)


def z(x, num_tokens, mask):
    return z_loss(x.logsumexp(-1), num_tokens, mask.double())


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
    fractions = selection_fractions(sum_by_group(selected.double(), mask.double())[0])
    torch.testing.assert_close(fractions, fractions_on_paper(selected, mask, K))
    assert fractions.sum().item() == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(routed_batches())
def test_load_balancing_loss_is_its_formula(batch):
    logits, mask, K = batch
    fractions = fractions_on_paper(choose(logits, K), mask, K)
    num_tokens = int(mask.sum())
    assert_same(
        value_and_gradient(lambda x: balance(x, fractions, num_tokens, mask), logits),
        value_and_gradient(lambda x: balance_on_paper(x, fractions, mask), logits),
    )


@settings(max_examples=40, deadline=None)
@given(routed_batches())
def test_z_loss_is_its_formula(batch):
    logits, mask, _ = batch
    assert_same(
        value_and_gradient(lambda x: z(x, int(mask.sum()), mask), logits),
        value_and_gradient(lambda x: z_on_paper(x, mask), logits),
    )


@settings(max_examples=40, deadline=None)
@given(routed_batches(), st.integers(1, 5))
def test_shares_add_up_however_the_batch_is_cut(batch, num_parts):
    logits, mask, K = batch
    num_tokens = int(mask.sum())
    fractions = fractions_on_paper(choose(logits, K), mask, K)

    def both(x, m):
        return balance(x, fractions, num_tokens, m) + z(x, num_tokens, m)

    def in_parts(x):
        return sum(both(a, b) for a, b in zip(x.chunk(num_parts), mask.chunk(num_parts), strict=True))

    assert_same(value_and_gradient(in_parts, logits), value_and_gradient(lambda x: both(x, mask), logits))


@settings(max_examples=40, deadline=None)
@given(routed_batches())
def test_padding_has_no_gradient(batch):
    logits, mask, K = batch
    fractions = fractions_on_paper(choose(logits, K), mask, K)
    _, gradient = value_and_gradient(lambda x: balance(x, fractions, 1, mask) + z(x, 1, mask), logits)
    assert torch.all(gradient[~mask] == 0)


@settings(max_examples=40, deadline=None)
@given(routed_batches(), st.data())
def test_the_loss_of_groups_is_the_mean_of_theirs(batch, data):
    """Micro-batches or sequences: each with fractions and mean probabilities of its own."""
    logits, mask, K = batch
    T = len(mask)
    ids = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=T, max_size=T)))
    present = torch.unique(ids[mask])
    groups = [(ids == g) & mask for g in present.tolist()]
    renumbered = torch.searchsorted(present, ids).clamp(max=len(present) - 1)
    counts = sum_by_group(choose(logits, K).double(), mask.double(), renumbered, len(groups))

    def ours(x):
        prob_sums = sum_by_group(x.softmax(-1), mask.double(), renumbered, len(groups))
        return load_balancing_loss(prob_sums, selection_fractions(counts), counts.sum(-1) / K, len(groups))

    def on_paper(x):
        selected = choose(logits, K)
        losses = [balance_on_paper(x, fractions_on_paper(selected, group, K), group) for group in groups]
        return sum(losses) / len(groups)

    assert_same(value_and_gradient(ours, logits), value_and_gradient(on_paper, logits))


@settings(max_examples=40, deadline=None)
@given(routed_batches(), st.integers(1, 4))
def test_variance_loss_is_its_formula_however_the_batch_is_cut(batch, num_parts):
    logits, mask, _ = batch
    num_tokens = int(mask.sum())
    mean = sum_by_group(logits.softmax(-1), mask.double())[0] / num_tokens

    def ours(x):
        parts = zip(x.chunk(num_parts), mask.chunk(num_parts), strict=True)
        return sum(variance_loss(a.softmax(-1), mean, num_tokens, b.double()) for a, b in parts)

    twin = value_and_gradient(lambda x: variance_on_paper(x, mask), logits)
    assert_same(value_and_gradient(ours, logits), twin)


def test_fractions_carry_no_gradient():
    fractions = torch.tensor([[0.25, 0.75]], requires_grad=True)
    prob_sums = torch.tensor([[0.5, 0.5]], requires_grad=True)
    load_balancing_loss(prob_sums, fractions, 1, 1).backward()
    assert fractions.grad is None
    torch.testing.assert_close(prob_sums.grad, torch.tensor([[0.5, 1.5]]))


def test_a_balanced_router_has_loss_one_and_a_collapsed_one_the_number_of_experts():
    E = 4
    even = torch.full((1, E), 1 / E)
    assert load_balancing_loss(8 * even, even, 8, 1).item() == pytest.approx(1.0)
    collapsed = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert load_balancing_loss(8 * collapsed, collapsed, 8, 1).item() == pytest.approx(E)


def test_z_loss_of_even_logits_is_the_squared_logarithm_of_their_number():
    assert z(torch.zeros(5, 16).double(), 5, torch.ones(5)).item() == pytest.approx(math.log(16) ** 2)


def test_variance_loss_is_zero_where_all_tokens_are_alike_and_negative_where_not():
    probs = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    assert variance_loss(probs, probs[0], 2, torch.ones(2)).item() == 0.0
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert variance_loss(apart, probs[0], 2, torch.ones(2)).item() == pytest.approx(-0.25)


def test_sums_leave_padding_out():
    values, real = torch.tensor([[1.0, 2.0], [30.0, 40.0], [5.0, 6.0]]), torch.tensor([1.0, 0.0, 1.0])
    assert sum_by_group(values, real).tolist() == [[6.0, 8.0]]
    by_group = sum_by_group(values, real, torch.tensor([0, 1, 1]), 2)
    assert by_group.tolist() == [[1.0, 2.0], [5.0, 6.0]]
