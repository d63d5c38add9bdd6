"""MaxVio, specialisation and the tally of a step against their definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_megatron.moe.metrics import domain_divergence, max_violation, selection_frequencies
from magic_megatron.moe.tally import RoutedTokens, Tally


def divergence_on_paper(p, q):
    total = 0.0
    for a, b in zip(p, q, strict=True):
        m = (a + b) / 2
        total += sum(x / 2 * math.log2(x / m) for x in (a, b) if x > 0)
    return total


counts = st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(lambda loads: sum(loads) > 0)


@settings(deadline=None)
@given(st.lists(counts, min_size=1, max_size=3))
def test_max_violation_is_its_formula(layers):
    want = [max((load - sum(loads) / 4) / (sum(loads) / 4) for load in loads) for loads in layers]
    assert max_violation(torch.tensor(layers)).tolist() == pytest.approx(want)


def test_max_violation_at_its_ends():
    assert max_violation(torch.tensor([[5, 5, 5, 5], [20, 0, 0, 0]])).tolist() == [0.0, 3.0]


@settings(deadline=None)
@given(st.lists(counts, min_size=2, max_size=4))
def test_domain_divergence_is_the_mean_over_pairs(domains):
    p = selection_frequencies(torch.tensor(domains)).tolist()
    pairs = [(a, b) for a in range(len(p)) for b in range(a)]
    want = sum(divergence_on_paper(p[a], p[b]) for a, b in pairs) / len(pairs)
    assert domain_divergence(torch.tensor(domains)).item() == pytest.approx(want, abs=1e-12)


def test_domain_divergence_at_its_ends():
    alike, apart = [[2, 2, 0, 0], [7, 7, 0, 0]], [[2, 2, 0, 0], [0, 0, 3, 1]]
    assert domain_divergence(torch.tensor([alike, apart])).tolist() == pytest.approx([0.0, 1.0], abs=1e-12)


def test_a_domain_without_tokens_is_left_out():
    empty = [0, 0, 0, 0]
    two = domain_divergence(torch.tensor([[2, 2, 0, 0], empty, [0, 0, 3, 1]]))
    assert two.item() == pytest.approx(1.0)
    assert math.isnan(domain_divergence(torch.tensor([[2, 2, 0, 0], empty])).item())


@pytest.fixture
def tally():
    """Two layers, three experts, one chosen; four tokens, the last one padding."""
    tally = Tally(2, 3, 2, torch.device("cpu"))
    logits = torch.tensor([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0], [0.0, 9.0, 0.0]])
    kept = logits > 1
    kept[1] = False
    for layer in (0, 1):
        tokens = RoutedTokens(
            layer=layer,
            probs=logits.softmax(-1),
            logsumexp=logits.logsumexp(-1),
            selected=(logits > 1).float(),
            real=torch.tensor([1.0, 1.0, 1.0, 0.0]),
            domain_ids=torch.tensor([0, 1, 1, -1]),
            sequence_ids=None,
            microbatch_group=None,
            batch_group=None,
        )
        tally.add(tokens, kept)
        tally.add_aux_loss(layer, torch.tensor(0.5 + layer))
    return tally


def test_a_tally_counts_real_tokens(tally):
    tally.check(num_tokens=3, topk=1)
    metrics = tally.metrics(num_tokens=3)
    assert metrics.statistics.counts.tolist() == [[2, 0, 1]] * 2
    assert metrics.aux_loss == 1.0
    assert metrics.domain_counts.tolist() == [[[1, 0, 0], [1, 0, 1]]] * 2
    assert metrics.num_dropped_tokens == 2
    assert metrics.max_vio_per_layer == [1.0, 1.0]
    big, small = math.exp(9) / (math.exp(9) + 2), 1 / (math.exp(9) + 2)
    balance = 3 * (2 / 3 * (2 * big + small) / 3 + 1 / 3 * (big + 2 * small) / 3)
    assert metrics.load_balancing_loss == pytest.approx(balance, rel=1e-6)
    assert metrics.z_loss == pytest.approx(math.log(math.exp(9) + 2) ** 2, rel=1e-6)


def test_sums_of_ranks_are_the_tally_of_their_tokens(tally):
    twice = Tally(2, 3, 2, torch.device("cpu"))
    twice.sums.copy_(tally.sums + tally.to_cpu().sums)
    assert twice.metrics(num_tokens=6).load_balancing_loss == tally.metrics(num_tokens=3).load_balancing_loss
    assert twice.counts.tolist() == [[4, 0, 2]] * 2


def test_a_token_too_few_is_noticed(tally):
    with pytest.raises(RuntimeError, match=r"counted \[3.0, 3.0\] real tokens by layer.* begun with 4"):
        tally.check(num_tokens=4, topk=1)


def test_a_missing_domain_is_noticed(tally):
    tally.domain_counts[0, 0, 0] -= 1
    with pytest.raises(RuntimeError, match="inside microbatch"):
        tally.check(num_tokens=3, topk=1)
