"""Advantages and metrics of a step's turns, with episodes of unlike length and some that were lost."""

import dataclasses

import numpy as np
import pytest

from magic_megatron.config.rl import RlConfig
from magic_megatron.rl.advantages import turn_advantages
from magic_megatron.rl.arguments import full_names
from magic_megatron.rl.episodes import Turn, final_turns, padded
from magic_megatron.rl.metrics import reward_metrics, step_metrics, validation_metrics
from magic_megatron.rl.xxpo import ACTION
from recipes.command import compose, typed


def algorithm(name):
    overrides = ["platform=rehearsal", f"algorithm={name}", "model.path=none", "output_dir=none"]
    return typed(RlConfig, compose("rl", full_names(overrides))).algorithm


def turn(row, group, session, index, reward, **about):
    values = {
        "row": row,
        "position": 0,
        "group": group,
        "session": session,
        "index": index,
        "task": "errand",
        "instance": group,
        "sampling": "train",
        "reward": reward,
        "parts": {},
        "reason": "",
        "won": reward > 0,
        "valid": True,
        "turn_reward": 0.0,
        "observation": "hall",
        "counts": True,
        "prompt_ids": [1],
        "response_ids": [1, 2],
        "log_probs": None,
        "segments": [1, 2],
    }
    return Turn(**(values | about))


@pytest.fixture
def turns():
    """Group a: rewards 10 (three turns), 0, 0 and a lost episode; group b: twice the same."""
    made = [turn(row, "a", 0, row, 10.0) for row in range(3)]
    made += [turn(3, "a", 1, 0, 0.0), turn(4, "a", 2, 0, 0.0), turn(5, "a", 2, 1, 0.0)]
    made += [turn(6, "a", 3, 0, 99.0, counts=False)]
    made += [turn(7, "b", 0, 0, 1.0), turn(8, "b", 1, 0, 1.0)]
    return made


def test_an_episode_counts_once_and_its_turns_share(turns):
    rewards = np.array([10.0, 0.0, 0.0])
    expected = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)
    found = turn_advantages(turns, algorithm("grpo"))
    np.testing.assert_allclose(found[:3], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[3:6], expected[1], rtol=1e-5)
    np.testing.assert_array_equal(found[6:], 0)  # lost; and a group without a difference


def test_gigpo_adds_what_a_turn_earned_among_like_observations(turns):
    seen = [dataclasses.replace(turns[0], turn_reward=3.0), dataclasses.replace(turns[3], turn_reward=1.0)]
    rest = [dataclasses.replace(t, observation=f"room {t.row}") for t in turns if t.row not in (0, 3)]
    order = sorted(seen + rest, key=lambda t: t.row)
    gigpo = dataclasses.replace(algorithm("gigpo"), discount=0.0, scale_by_std=False)
    episodes = turn_advantages(order, dataclasses.replace(gigpo, advantage="episode"))
    difference = turn_advantages(order, gigpo) - episodes
    np.testing.assert_allclose(difference[[0, 3]], [1.0, -1.0], rtol=1e-5)
    np.testing.assert_allclose(np.delete(difference, [0, 3]), 0)


def test_metrics_are_over_episodes_that_count(turns):
    line = reward_metrics(turns, turn_advantages(turns, algorithm("grpo")), num_asked=8)
    assert line["num_samples"] == 9
    assert line["num_episodes"] == 6
    assert line["num_lost"] == 1 + 2  # two have no turn at all
    assert line["reward"] == pytest.approx((10 + 0 + 0 + 1 + 1) / 5)
    assert line["success/errand"] == pytest.approx(3 / 5)
    assert line["groups_with_signal/errand"] == 0.5
    assert len(final_turns(turns)) == 6


def test_a_line_has_what_the_routers_report(turns):
    reported = {"actor/max_vio": 0.4, "actor/z_loss": 2.0, "actor/load_balancing_loss": 1.1}
    line = step_metrics(
        3, reported, turns, turn_advantages(turns, algorithm("grpo")), 6, max_response_length=9
    )
    assert (line["step"], line["max_vio"], line["z_loss"], line["load_balancing_loss"]) == (3, 0.4, 2.0, 1.1)


@pytest.mark.parametrize(("limit", "share"), [(2, 1.0), (3, 0.0)])
def test_a_response_is_truncated_at_the_limit_not_at_the_batch_s_longest(turns, limit, share):
    verl = {"response_length/clip_ratio": 1.0}
    line = step_metrics(
        3, verl, turns, turn_advantages(turns, algorithm("grpo")), 6, max_response_length=limit
    )
    assert line["truncated"] == share


def test_a_segment_that_no_response_has_has_no_entropy(turns):
    logged = {"actor/magic/entropy_think": 0.0, "actor/magic/entropy_act": 0.5}
    acting = [dataclasses.replace(turn, segments=[0, ACTION]) for turn in turns]
    line = step_metrics(
        3, logged, acting, turn_advantages(turns, algorithm("grpo")), 6, max_response_length=9
    )
    assert "entropy_think" not in line
    assert line["entropy_act"] == 0.5


def test_an_answer_is_right_when_all_its_parts_are():
    answers = [
        turn(0, "a", 0, 0, 2.0, parts={"format": 1.0, "plan": 1.0}, won=None, sampling="greedy", task="plan"),
        turn(1, "b", 0, 0, 1.0, parts={"format": 1.0, "plan": 0.0}, won=None, sampling="greedy", task="plan"),
        turn(2, "c", 0, 0, 10.0, sampling="sampled"),
    ]
    line = validation_metrics(answers)
    assert line["validation/plan/greedy"] == 0.5
    assert line["validation_reward/plan/greedy"] == 1.5
    assert line["validation/errand/sampled"] == 1.0
    assert "validation/errand/greedy" not in line


def test_lost_turns_are_masked(turns):
    step = padded(turns, [[0.5, 0.25]] * len(turns))
    assert step.mask.sum(dim=1).tolist() == [2, 2, 2, 2, 2, 2, 0, 2, 2]
    assert len(set(step.episodes.tolist())) == 6
    assert step.entropy[0].tolist() == [0.5, 0.25]
