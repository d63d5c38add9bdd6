"""The loss that verl's engines run: the same over one batch and over micro-batches of several ranks."""

import os
import pickle
from dataclasses import replace
from functools import partial

os.environ["VERL_PLATFORM"] = "cpu"

import pytest
import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.metric import Metric
from verl.workers.config import ActorConfig
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import no_padding_2_padding

from magic_megatron.config.rl_algorithm import AlgorithmConfig
from magic_megatron.rl.loss import METRIC_PREFIX, micro_batch, policy_loss
from magic_megatron.rl.xxpo import ACTION, THINK, History, measure_batch
from recipes.command import compose, typed

VOCAB = 13
NUM_SAMPLES = 8
LAMBDAS = ("algorithm.lambda1=0.1", "algorithm.lambda2=0.2", "algorithm.lambda3=0.3")


def algorithm(name, *overrides):
    return typed(AlgorithmConfig, compose("rl", [f"rl/algorithm@algorithm={name}", *overrides]).algorithm)


def nested(rows):
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def samples(seed=0):
    """Turns of three episodes; the last two samples are padding that verl made from the first."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high, shape):
        return torch.randint(low, high, shape, generator=generator)

    prompts = [int(n) for n in draw(2, 6, (NUM_SAMPLES,))]
    responses = [int(n) for n in draw(1, 9, (NUM_SAMPLES - 2,))] + [1, 1]
    masks = [(torch.rand(n, generator=generator) < 0.8).long() for n in responses]
    for mask in masks[:-2]:
        mask[0] = 1
    for mask in masks[-2:]:
        mask[:] = 0
    segments = [draw(0, 3, (n,)).to(torch.int8) for n in responses]
    segments[-2:] = [segments[0], segments[0]]
    advantages = [torch.full((n,), float(a)) for n, a in zip(responses, draw(-2, 3, (8,)), strict=True)]
    return {
        "prompts": [torch.zeros(n, dtype=torch.long) for n in prompts],
        "responses": [torch.zeros(n, dtype=torch.long) for n in responses],
        "response_mask": masks,
        "segments": segments,
        "turn_index": [torch.tensor([t]) for t in (0, 1, 2, 0, 1, 0, 0, 0)],
        "episode": [torch.tensor(e) for e in (0, 0, 0, 1, 1, 2, 3, 3)],
        "advantages": [a * m for a, m in zip(advantages, masks, strict=True)],
        "old_log_probs": [-2 - torch.rand(n, generator=generator) for n in responses],
        "ref_log_prob": [-2 - torch.rand(n, generator=generator) for n in responses],
        "logits": [
            2 * torch.randn(p + r, VOCAB, generator=generator)
            for p, r in zip(prompts, responses, strict=True)
        ],
    }


def padded(rows):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def step_of(rows, num_mini_batches=1):
    """What the trainer measures of the whole step, and puts beside each sample."""
    mask, segments = (
        padded(rows["response_mask"]),
        padded(rows["segments"])[:, : max(map(len, rows["responses"]))],
    )
    size, turns = measure_batch(mask, segments, torch.stack(rows["episode"]), num_mini_batches)
    return size, rows | {"episode_turns": [turn.reshape(1) for turn in turns]}


def past():
    history = History()
    history.think.add(10.0, 8)
    history.action.add(9.0, 6)
    for mean in (1.0, 1.3):
        history.turns.append(type(history.think)(mean, 1))
    return history


def run(loss, rows, chosen, logits, dp_size):
    """One call as verl's engines make it, on the samples ``chosen``."""
    data = TensorDict(
        {
            name: nested([rows[name][n] for n in chosen])
            for name in rows
            if name not in ("logits", "episode", "episode_turns")
        },
        batch_size=len(chosen),
    )
    data["episode_turns"] = torch.cat([rows["episode_turns"][n] for n in chosen])
    num_tokens = sum(int(mask.sum()) for mask in rows["response_mask"])
    tu.assign_non_tensor(data, dp_size=dp_size, batch_num_tokens=num_tokens, global_batch_size=NUM_SAMPLES)
    log_probs = [logits[n].log_softmax(-1) for n in chosen]
    model_output = {
        "log_probs": nested([each[:, 0] for each in log_probs]),
        "entropy": nested([-(each.exp() * each).sum(-1) for each in log_probs]),
    }
    return loss(model_output=model_output, data=data, dp_group=None)


def actor(settings):
    return ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        calculate_entropy=True,
        loss_agg_mode=settings.loss_aggregation,
        use_kl_loss=settings.kl_coef > 0,
        kl_loss_coef=settings.kl_coef,
    )


def bound(settings, size, history):
    return partial(policy_loss, config=actor(settings), settings=settings, history=history, size=size)


def leaves(rows):
    return [each.clone().requires_grad_() for each in rows["logits"]]


def aggregated(ranks):
    """Metrics of the micro-batches of each rank, as TrainingWorker reduces them."""
    result = {}
    for name in ranks[0][0]:
        if isinstance(ranks[0][0][name], Metric):
            collected = []
            for micro_batches in ranks:
                metric = micro_batches[0][name].init_list()
                for metrics in micro_batches:
                    metric.append(metrics[name])
                collected.append(metric)
            result[name] = Metric.aggregate_dp(collected)
    return result


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean"])
@pytest.mark.parametrize("name", ["grpo", "epo", "xxpo"])
def test_micro_batches_over_ranks_are_one_batch(name, aggregation):
    settings = algorithm(
        name, f"algorithm.loss_aggregation={aggregation}", *(LAMBDAS if name != "grpo" else ())
    )
    size, rows = step_of(samples())
    loss = bound(settings, size, past())
    whole = leaves(rows)
    value, metrics = run(loss, rows, range(NUM_SAMPLES), whole, dp_size=1)
    value.backward()
    expected = aggregated([[metrics]])

    split = leaves(rows)
    layout = [[[5], [0, 2, 6]], [[1, 3], [4, 7]]]  # micro-batches of two ranks
    total, ranks = 0.0, []
    for micro_batches in layout:
        ranks.append([])
        for chosen in micro_batches:
            share, metrics = run(loss, rows, chosen, split, dp_size=2)
            (share / 2).backward()  # ranks' gradients are averaged
            total += share.item() / 2
            ranks[-1].append(metrics)
    assert total == pytest.approx(value.item(), rel=1e-5)
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)
    got = aggregated(ranks)
    exact = [key for key in got if key.startswith(METRIC_PREFIX)] + ["actor/pg_loss", "kl_loss"]
    assert len(exact) == 8
    for key in exact:
        assert got[key] == pytest.approx(expected[key], rel=1e-4, abs=1e-7), key


def test_the_metrics_are_means_of_the_entropies():
    settings = algorithm("xxpo")
    size, rows = step_of(samples())
    history = past()
    _, metrics = run(bound(settings, size, history), rows, range(NUM_SAMPLES), rows["logits"], dp_size=1)
    values = {
        key.removeprefix(METRIC_PREFIX): metric.aggregate()
        for key, metric in metrics.items()
        if "magic" in key
    }
    tokens = {THINK: [], ACTION: []}
    outside = 0
    for n in range(NUM_SAMPLES - 2):
        length = len(rows["responses"][n])
        for j in range(length):
            mark = int(rows["segments"][n][j])
            if rows["response_mask"][n][j] and mark:
                p = rows["logits"][n][len(rows["prompts"][n]) + j - 1].double().softmax(-1)
                H = -(p * p.log()).sum().item()
                tokens[mark].append(H)
                outside += {THINK: 2.0 * 10 / 8, ACTION: 1.0 * 9 / 6}[mark] < H
    mean = {mark: sum(each) / len(each) for mark, each in tokens.items()}
    assert values["entropy_think"] == pytest.approx(mean[THINK], rel=1e-5)
    assert values["entropy_act"] == pytest.approx(mean[ACTION], rel=1e-5)
    assert values["information_bottleneck"] == pytest.approx(mean[THINK] - mean[ACTION], rel=1e-4)
    assert values["gate"] == pytest.approx(outside / sum(map(len, tokens.values())))
    assert 0 < values["gate"] < 1


def test_without_entropy_terms_the_loss_is_verls():
    settings = algorithm("grpo")
    size, rows = step_of(samples())
    mine, theirs = leaves(rows), leaves(rows)
    value, _ = run(bound(settings, size, past()), rows, range(6), mine, dp_size=1)
    expected, _ = run(partial(ppo_loss, config=actor(settings)), rows, range(6), theirs, dp_size=1)
    torch.testing.assert_close(value, expected)
    for logits, reference in zip(
        torch.autograd.grad(value, mine[:6]), torch.autograd.grad(expected, theirs[:6]), strict=True
    ):
        torch.testing.assert_close(logits, reference)


def test_epo_adds_what_its_code_does():
    """L_pg − λ·(agg H − c·agg P), agg the mean over the batch's tokens, P by the turn's history."""
    settings = algorithm("epo", "algorithm.lambda1=0.1", "algorithm.lambda2=0.1", "algorithm.kappa_low=0.5")
    size, rows = step_of(samples())
    history = past()
    value, _ = run(bound(settings, size, history), rows, range(NUM_SAMPLES), rows["logits"], dp_size=1)
    plain = replace(settings, lambda1=0.0, lambda2=0.0)
    without, _ = run(bound(plain, size, history), rows, range(NUM_SAMPLES), rows["logits"], dp_size=1)
    H_sum = P_sum = count = 0
    for n in range(NUM_SAMPLES):
        turn = int(rows["turn_index"][n])
        for j in range(len(rows["responses"][n])):
            if rows["response_mask"][n][j]:
                p = rows["logits"][n][len(rows["prompts"][n]) + j - 1].double().softmax(-1)
                H = -(p * p.log()).sum().item()
                H_sum, count = H_sum + H, count + 1
                if turn < 2:
                    mean = (1.0, 1.3)[turn]
                    P_sum += 0.0 if 0.5 * mean < H < 2 * mean else 0.1
    assert P_sum > 0
    expected = -0.1 * (H_sum / count - 1.0 * P_sum / count)
    assert (value - without).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["grpo", "epo", "xxpo"])
@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean"])
def test_padding_samples_change_nothing(name, aggregation):
    settings = algorithm(name, f"algorithm.loss_aggregation={aggregation}")
    size, rows = step_of(samples())
    loss = bound(settings, size, past())
    logits = leaves(rows)
    value, _ = run(loss, rows, range(NUM_SAMPLES), logits, dp_size=1)
    alone, _ = run(loss, rows, range(NUM_SAMPLES - 2), rows["logits"], dp_size=1)
    torch.testing.assert_close(value, alone)
    value.backward()
    assert all(each.grad.abs().max() == 0 for each in logits[-2:])


def test_a_mini_batch_of_padding_alone_has_no_loss():
    rows = samples()
    rows["response_mask"] = [torch.zeros_like(mask) for mask in rows["response_mask"]]
    size, rows = step_of(rows)
    logits = leaves(rows)
    value, metrics = run(bound(algorithm("xxpo"), size, past()), rows, range(NUM_SAMPLES), logits, dp_size=1)
    value.backward()
    assert value.item() == 0
    assert all(torch.equal(each.grad, torch.zeros_like(each)) for each in logits)
    assert all(metric.aggregate() == 0 for key, metric in metrics.items() if key.startswith(METRIC_PREFIX))


def test_responses_are_cut_out_as_verl_does():
    _, rows = step_of(samples())
    data = TensorDict(
        {
            name: nested(rows[name])
            for name in ("prompts", "responses", "response_mask", "segments", "turn_index")
        },
        batch_size=NUM_SAMPLES,
    )
    data["episode_turns"] = torch.cat(rows["episode_turns"])
    values = nested(
        [torch.arange(len(each), dtype=torch.float32) + 100 * n for n, each in enumerate(rows["logits"])]
    )
    batch = micro_batch(values, data)
    theirs = no_padding_2_padding(values, data)
    torch.testing.assert_close(batch.entropy, theirs.masked_fill(~batch.mask, 0))
    assert torch.equal(batch.mask, data["response_mask"].to_padded_tensor(0).bool())
    for n, segments in enumerate(rows["segments"]):
        length = len(rows["responses"][n])
        assert batch.segments[n].tolist() == segments[:length].tolist() + [0] * (batch.mask.shape[1] - length)
    assert batch.turn_index.tolist() == [0, 1, 2, 0, 1, 0, 0, 0]
    assert batch.episode_turns.tolist() == [3, 3, 3, 2, 2, 1, 0, 0]


def test_the_loss_travels_to_workers():
    size, rows = step_of(samples())
    loss = bound(algorithm("xxpo", *LAMBDAS), size, past())
    travelled = pickle.loads(pickle.dumps(loss))
    value, _ = run(loss, rows, range(NUM_SAMPLES), rows["logits"], dp_size=1)
    other, _ = run(travelled, rows, range(NUM_SAMPLES), rows["logits"], dp_size=1)
    assert value.item() == other.item()


def test_without_entropy_the_loss_says_what_is_off():
    size, _ = step_of(samples())
    with pytest.raises(AssertionError, match="calculate_entropy"):
        bound(algorithm("xxpo"), size, past())(model_output={}, data=TensorDict({}, batch_size=0))
