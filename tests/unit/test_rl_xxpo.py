"""The entropy terms and advantages against loops written from the formulas, values and gradients."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from magic_megatron.config.rl_algorithm import AlgorithmConfig
from magic_megatron.rl import xxpo
from magic_megatron.rl.xxpo import ACTION, NEITHER, THINK, BatchSize, History
from recipes.command import InputError, compose, typed

BETA, DELTA, KAPPA_THINK, KAPPA_ACT = 0.7, 0.1, 1.1, 0.9
LAMBDAS = (1e-1, 2e-1, 3e-1)


def episodes(seed=0, num_episodes=5, num_tokens=9, masked_episode=1):
    """Turns of several episodes in shuffled order; one episode is masked, as if its environment had been lost."""
    generator = torch.Generator().manual_seed(seed)
    turns = torch.randint(1, 4, (num_episodes,), generator=generator).tolist()
    rows = [(episode, turn) for episode, number in enumerate(turns) for turn in range(number)]
    rows = [rows[i] for i in torch.randperm(len(rows), generator=generator)]
    lengths = torch.randint(1, num_tokens + 1, (len(rows),), generator=generator)
    mask = torch.arange(num_tokens) < lengths[:, None]
    mask &= torch.tensor([episode != masked_episode for episode, _ in rows])[:, None]
    return {
        "entropy": torch.rand(len(rows), num_tokens, generator=generator, dtype=torch.float64) * 2,
        "mask": mask,
        "segments": torch.randint(0, 3, mask.shape, generator=generator),
        "episode": torch.tensor([episode for episode, _ in rows]),
        "turn": torch.tensor([turn for _, turn in rows]),
    }


def history_of(batch):
    history = History()
    history.add(batch["entropy"], batch["mask"], batch["segments"], batch["turn"])
    return history


def objective(batch, entropy, history, size, smoothing="hinge"):
    """λ1·L_H − λ2·L_smooth + λ3·L_IB, as the loss puts it together, of the rows of ``batch``."""
    mask, segments = batch["mask"], batch["segments"]
    weights = xxpo.turn_weights(mask, batch["num_turns"], size)
    high = xxpo.segment_bounds(segments, history, KAPPA_THINK, KAPPA_ACT)
    paid = xxpo.penalty(entropy, -math.inf, high, DELTA, smoothing)
    think = xxpo.segment_mean(entropy, mask & (segments == THINK), size.num_think, size)
    action = xxpo.segment_mean(entropy, mask & (segments == ACTION), size.num_action, size)
    return (
        LAMBDAS[0] * (entropy * weights).sum()
        - LAMBDAS[1] * (paid * weights).sum()
        + LAMBDAS[2] * xxpo.information_bottleneck(think, action, BETA)
    )


def naive_objective(batch, entropy, means, smoothing="hinge"):
    """Eq. 10–13 with a loop for every sum."""
    rows = [n for n in range(len(entropy)) if batch["mask"][n].any()]
    all_episodes = sorted({int(batch["episode"][n]) for n in rows})
    L_H, L_smooth, segment_tokens = 0.0, 0.0, {THINK: [], ACTION: []}
    for episode in all_episodes:
        turns = [n for n in rows if batch["episode"][n] == episode]
        for n in turns:
            tokens = [j for j in range(entropy.shape[1]) if batch["mask"][n, j]]
            for j in tokens:
                H, segment = entropy[n, j], int(batch["segments"][n, j])
                P = 0.0
                if segment != NEITHER:
                    segment_tokens[segment].append(H)
                    bound = {THINK: KAPPA_THINK, ACTION: KAPPA_ACT}[segment] * means[segment]
                    if bound < H:
                        P = DELTA * (H - bound) if smoothing == "hinge" else DELTA
                L_H = L_H + H / len(all_episodes) / len(turns) / len(tokens)
                L_smooth = L_smooth + P / len(all_episodes) / len(turns) / len(tokens)
    mean = {segment: sum(values) / len(values) for segment, values in segment_tokens.items()}
    L_IB = mean[THINK] - BETA * mean[ACTION]
    return LAMBDAS[0] * L_H - LAMBDAS[1] * L_smooth + LAMBDAS[2] * L_IB


def measured(batch, num_mini_batches=1):
    size, num_turns = xxpo.measure_batch(batch["mask"], batch["segments"], batch["episode"], num_mini_batches)
    return size, batch | {"num_turns": num_turns}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("smoothing", ["hinge", "indicator"])
def test_the_objective_and_its_gradient_are_the_formulas(seed, smoothing):
    size, batch = measured(episodes(seed))
    history = history_of(episodes(seed + 100))
    means = {THINK: history.think.mean, ACTION: history.action.mean}
    entropy = batch["entropy"].requires_grad_()
    fast = objective(batch, entropy, history, size, smoothing)
    (gradient,) = torch.autograd.grad(fast, entropy)
    naive = naive_objective(batch, entropy, means, smoothing)
    (expected,) = torch.autograd.grad(naive, entropy)
    torch.testing.assert_close(fast, naive, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)
    assert gradient.abs().max() > 0


def test_the_gradient_reaches_the_logits():
    size, batch = measured(episodes())
    history = history_of(episodes(7))
    means = {THINK: history.think.mean, ACTION: history.action.mean}
    shape = (*batch["mask"].shape, 11)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits.requires_grad_()
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    (gradient,) = torch.autograd.grad(objective(batch, entropy, history, size), logits, retain_graph=True)
    (expected,) = torch.autograd.grad(naive_objective(batch, entropy, means), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)
    assert gradient[~batch["mask"]].abs().max() == 0


def test_the_indicator_has_no_gradient_and_the_hinge_has_one():
    entropy = torch.tensor([0.5, 1.5], requires_grad=True)
    high = torch.tensor([1.0, 1.0])
    indicator = xxpo.penalty(entropy, -math.inf, high, DELTA, "indicator")
    assert indicator.tolist() == pytest.approx([0, DELTA])
    assert not indicator.requires_grad
    hinge = xxpo.penalty(entropy, -math.inf, high, DELTA, "hinge")
    assert hinge.tolist() == pytest.approx([0, DELTA * 0.5])
    assert torch.autograd.grad(hinge.sum(), entropy)[0].tolist() == pytest.approx([0, DELTA])


@pytest.mark.parametrize("num_mini_batches", [1, 3])
def test_micro_batches_over_ranks_add_up_to_one_batch(num_mini_batches):
    size, batch = measured(episodes(num_episodes=9))
    split_size = replace(size, num_mini_batches=num_mini_batches)
    history = history_of(episodes(3))
    entropy = batch["entropy"].requires_grad_()
    whole = objective(batch, entropy, history, size)
    (expected,) = torch.autograd.grad(whole, entropy)
    bounds = [0, 1, 5, 7, len(entropy)]  # two ranks with micro-batches of 1 and 4, 2 and the rest
    total, gradient = 0.0, torch.zeros_like(entropy)
    for start, end in pairwise(bounds):
        rows = {name: value[start:end] for name, value in batch.items()}
        share = objective(rows, entropy[start:end], history, split_size)
        gradient += torch.autograd.grad(share, entropy)[0]
        total += share.item()
    torch.testing.assert_close(torch.tensor(total), whole.detach().float() * num_mini_batches)
    torch.testing.assert_close(gradient, expected * num_mini_batches)


def test_masked_samples_change_nothing():
    batch = episodes()
    kept = {name: value[batch["mask"].any(1)] for name, value in batch.items()}
    size, batch = measured(batch)
    kept_size, kept = measured(kept)
    assert size == kept_size
    assert size.num_episodes == 4
    history = history_of(kept)
    everything = history_of(batch)
    assert [past.count for past in history.turns] == [past.count for past in everything.turns]
    assert history.think.mean == pytest.approx(everything.think.mean)
    assert history.action.mean == pytest.approx(everything.action.mean)
    assert objective(batch, batch["entropy"], history, size) == pytest.approx(
        objective(kept, kept["entropy"], history, kept_size).item()
    )


def test_a_batch_without_tokens_has_terms_of_nothing():
    batch = episodes()
    batch["mask"] = torch.zeros_like(batch["mask"])
    size, batch = measured(batch)
    assert size == BatchSize(0, 0, 0, 0, 0, 1)
    assert objective(batch, batch["entropy"], history_of(batch), size) == 0


def test_smoothing_starts_once_a_history_exists():
    segments = torch.tensor([[THINK, ACTION, NEITHER]])
    high = xxpo.segment_bounds(segments, History(), 2.0, 1.0)
    entropy = torch.tensor([[9.0, 9.0, 9.0]], requires_grad=True)
    paid = xxpo.penalty(entropy, -math.inf, high, DELTA, "hinge")
    assert paid.tolist() == [[0, 0, 0]]
    assert torch.autograd.grad(paid.sum(), entropy)[0].tolist() == [[0, 0, 0]]
    history = History()
    history.add(torch.tensor([[2.0, 4.0, 6.0]]), torch.ones(1, 3), segments, torch.tensor([0]))
    high = xxpo.segment_bounds(segments, history, 2.0, 1.0)
    assert high.tolist() == [[4.0, 4.0, math.inf]]


def test_epo_penalises_entropies_outside_the_corridor_of_their_turn():
    history = History()
    history.add(
        torch.tensor([[1.0, 3.0], [4.0, 9.0]]),
        torch.tensor([[1, 1], [1, 0]]),
        torch.zeros(2, 2),
        torch.tensor([0, 2]),
    )
    assert [turn.mean for turn in history.turns] == [2.0, None, 4.0]
    turns = torch.tensor([0, 1, 2, 7])
    low, high = xxpo.turn_bounds(turns, history, 0.5, 2.0)
    assert low.tolist() == [[1.0], [-math.inf], [2.0], [-math.inf]]
    assert high.tolist() == [[4.0], [math.inf], [8.0], [math.inf]]
    entropy = torch.tensor([[0.9, 1.1, 3.9, 4.1]]).repeat(4, 1)
    paid = xxpo.penalty(entropy, low, high, 0.1, "indicator")
    for row, (least, most) in enumerate([(1, 4), (-math.inf, math.inf), (2, 8), (-math.inf, math.inf)]):
        naive = [0.0 if least < H < most else 0.1 for H in entropy[row].tolist()]
        assert paid[row].tolist() == pytest.approx(naive)
    hinge = xxpo.penalty(entropy, low, high, 1.0, "hinge")
    assert hinge[0].tolist() == pytest.approx([0.1, 0, 0, 0.1])


def test_token_weights_are_the_mean_over_the_batch():
    size, batch = measured(episodes())
    mean = (batch["entropy"] * xxpo.token_weights(batch["mask"], size)).sum()
    assert mean == pytest.approx(batch["entropy"][batch["mask"]].mean().item())


def test_a_history_is_the_mean_over_all_steps_and_survives_json():
    steps = [episodes(seed) for seed in range(3)]
    history = History()
    for step in steps:
        history.add(step["entropy"], step["mask"], step["segments"], step["turn"])
    for mark, mean in ((THINK, history.think.mean), (ACTION, history.action.mean)):
        tokens = torch.cat([step["entropy"][step["mask"] & (step["segments"] == mark)] for step in steps])
        assert mean == pytest.approx(tokens.mean().item())
    for turn, past in enumerate(history.turns):
        tokens = torch.cat(
            [step["entropy"][step["mask"] & (step["turn"] == turn)[:, None]] for step in steps]
        )
        assert past.count == len(tokens)
        assert past.mean == pytest.approx(tokens.mean().item())
    restored = History()
    restored.load_state_dict(json.loads(json.dumps(history.state_dict())))
    assert restored == history


def naive_advantages(rewards, groups, scale_by_std, epsilon=1e-6):
    result = []
    for reward, group in zip(rewards, groups, strict=True):
        members = [r for r, g in zip(rewards, groups, strict=True) if g == group]
        mean = sum(members) / len(members)
        if len(members) == 1:
            result.append(0.0)
            continue
        std = math.sqrt(sum((r - mean) ** 2 for r in members) / (len(members) - 1))
        result.append((reward - mean) / (std + epsilon) if scale_by_std else reward - mean)
    return result


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-0.1, 0.0, 0.5, 1.0, 10.0])), min_size=1),
    st.booleans(),
)
def test_advantages_are_the_formula(pairs, scale_by_std):
    groups, rewards = [g for g, _ in pairs], [r for _, r in pairs]
    fast = xxpo.group_advantages(
        torch.tensor(rewards, dtype=torch.float64), torch.tensor(groups), scale_by_std=scale_by_std
    )
    assert fast.tolist() == pytest.approx(naive_advantages(rewards, groups, scale_by_std), rel=1e-5, abs=1e-6)


def test_an_episode_counts_once_however_many_turns_it_has():
    rewards, groups = torch.tensor([1.0, 0.0]), torch.tensor([5, 5])
    episode_of_sample = torch.tensor([0, 0, 0, 0, 1])
    shared = xxpo.group_advantages(rewards, groups, scale_by_std=False)[episode_of_sample]
    assert shared.tolist() == [0.5, 0.5, 0.5, 0.5, -0.5]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 5)),
        st.sampled_from([-0.1, 0.0, 10.0]),
        min_size=1,
    ),
    st.sampled_from([0.0, 0.5, 0.95, 1.0]),
)
def test_returns_are_discounted_sums(rewards, gamma):
    keys = list(rewards)
    fast = xxpo.discounted_returns(
        torch.tensor([rewards[key] for key in keys]),
        torch.tensor([episode for episode, _ in keys]),
        torch.tensor([turn for _, turn in keys]),
        gamma,
    )
    for value, (episode, turn) in zip(fast.tolist(), keys, strict=True):
        naive = sum(gamma ** (u - turn) * r for (e, u), r in rewards.items() if e == episode and u >= turn)
        assert value == pytest.approx(naive, rel=1e-5, abs=1e-6)


def algorithm(name, *overrides):
    return typed(AlgorithmConfig, compose("rl", [f"rl/algorithm@algorithm={name}", *overrides]).algorithm)


def test_the_recipes_differ_where_the_algorithms_do():
    grpo, xxpo_, epo, gigpo = (algorithm(name) for name in ("grpo", "xxpo", "epo", "gigpo"))
    assert (grpo.lambda1, grpo.lambda2, grpo.lambda3) == (0, 0, 0)
    assert xxpo_ == replace(grpo, name="xxpo", lambda1=1e-3, lambda2=1e-3, lambda3=1e-3)
    entropy_terms = {"entropy_weighting": "token", "history": "turn", "smoothing": "indicator"}
    assert epo == replace(grpo, name="epo", lambda1=1e-3, lambda2=1e-3, **entropy_terms)
    steps = {"advantage": "episode_and_step", "step_weight": 1.0, "discount": 0.95}
    assert gigpo == replace(grpo, name="gigpo", **steps)
    assert (xxpo_.smoothing, xxpo_.delta, xxpo_.kappa_think, xxpo_.kappa_act) == ("hinge", 0.1, 2.0, 1.0)


@pytest.mark.parametrize(
    ("override", "fix"),
    [
        ("delta=-0.1", "algorithm.delta=-0.1: must not be negative"),
        ("discount=1.5", "algorithm.discount=1.5: must lie in [0, 1]"),
        ("clip_ratio_low=1.0", "algorithm.clip_ratio_low=1.0: must be below 1"),
        ("clip_ratio_c=1.0", "algorithm.clip_ratio_c=1.0: must be above 1"),
        ("kappa_low=3.0", "algorithm.kappa_low=3.0: must not be above algorithm.kappa_high=2.0"),
        ("smoothing=soft", "smoothing=soft"),
    ],
)
def test_values_that_make_no_sense_are_refused(override, fix):
    with pytest.raises(InputError) as refusal:
        algorithm("xxpo", f"algorithm.{override}")
    assert fix in str(refusal.value)
