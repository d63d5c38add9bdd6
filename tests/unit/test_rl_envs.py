"""Environments without games on disk: the rules that all share, errand, the tiny one of the tests, demonstrations."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rl_environments import Counter, env_config

from magic_megatron.config.rl_env import check_env
from magic_megatron.rl.envs.base import NOTHING_HAPPENS, Turn
from magic_megatron.rl.envs.demonstrate import rows
from magic_megatron.rl.envs.errand import SPLITS, UNSEEN, Errand
from magic_megatron.rl.envs.registry import environment
from recipes.command import InputError


def test_an_environment_is_one_file_named_by_module_and_name():
    assert environment("rl_environments:counter") is Counter
    assert environment("errand") is Errand


def test_an_unknown_environment_names_those_there_are():
    with pytest.raises(InputError, match=r"env\.name=nowhere: .*alfworld, errand"):
        environment("nowhere")


def test_winning_is_rewarded_and_an_invalid_action_costs_a_step():
    game = Counter(env_config("counter", max_steps=3))
    game.reset({"id": "x", "target": 2})
    first, second, third = game.step("dance"), game.step("count"), game.step("count")
    assert (first.reward, first.valid, first.observation.text) == (-0.1, False, NOTHING_HAPPENS)
    assert (second.reward, second.done) == (0.0, False)
    assert (third.reward, third.won, third.done) == (10.0, True, True)


def test_an_episode_ends_at_the_last_step_and_a_reset_starts_anew():
    game = Counter(env_config("counter", max_steps=2))
    for _ in range(2):
        game.reset({"id": "x", "target": 5})
        assert not game.step(None).done
        last = game.step("count")
        assert last.done and not last.won


@pytest.mark.parametrize(
    ("response", "action"),
    [
        ("<think>a</think><action>go to hall</action>", "go to hall"),
        ("\n<think>a\nb</think>\n\n<action> look </action>\n", "look"),
        ("<think></think><action>look</action>", "look"),
        ("<action>look</action>", None),
        ("<think>a</think>look", None),
        ("<think>a</think><action></action>", None),
        ("<think>a</think><action>look</action> and more", None),
        ("<think>a</think> so <action>look</action>", None),
        ("<think>a<think>b</think><action>look</action>", None),
        ("<think>a</think><action>look</action><action>look</action>", None),
        ("", None),
    ],
)
def test_parse_takes_the_one_form(response, action):
    assert Counter.parse(response) == action


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<action>", "</action>", "a", " ", "\n"]), max_size=12)
)
def test_what_parse_takes_has_each_tag_once_and_in_order(parts):
    response = "".join(parts)
    action = Counter.parse(response)
    tags = [part for part in parts if part.startswith("<")]
    if action is not None:
        assert tags == ["<think>", "</think>", "<action>", "</action>"]
        assert action and f"<action>{action}</action>" in response.replace(" ", "").replace("\n", "")


def test_a_prompt_shows_the_last_turns_and_what_can_be_done():
    game = Counter(env_config("counter"))
    observation = game.reset({"id": "x", "target": 5})
    history = [Turn(f"seen {number}", f"act {number}") for number in range(4)] + [Turn("seen 4", None)]
    (message,) = Counter.messages(observation, history, history_length=2)
    assert message["role"] == "user"
    text = message["content"]
    assert "Goal: count to 5" in text
    assert "Steps so far: 5" in text
    assert "4. seen 3 You did: act 3\n5. seen 4 You did: nothing\n" in text
    assert "seen 2" not in text
    assert "; ".join(observation.admissible) in text


def test_a_first_prompt_and_one_without_a_window_have_no_history():
    observation = Counter(env_config("counter")).reset({"id": "x", "target": 5})
    first = Counter.messages(observation, [], 2)
    assert "Steps so far" not in first[0]["content"]
    assert Counter.messages(observation, [Turn("seen", "act")], 0) == first


@pytest.mark.parametrize("split", SPLITS)
def test_errands_plans_win_and_the_same_seed_gives_the_same(split):
    config = env_config("errand")
    instances = Errand.instances(config, split)
    assert instances == json.loads(json.dumps(Errand.instances(config, split)))
    other = replace(config, options=config.options | {"seed": 1})
    assert instances != Errand.instances(other, split)
    game = Errand(config)
    for instance in instances:
        observation = game.reset(instance)
        for action in Errand.plan(instance):
            assert action in observation.admissible
            transition = game.step(action)
            observation = transition.observation
        assert transition.won and transition.done


def test_errands_of_two_splits_never_ask_the_same():
    config = env_config("errand", num_instances=1000, num_validation_instances=1000)
    asked = [
        {
            (each["thing"], each["lying"][each["thing"]], each["target"])
            for each in Errand.instances(config, split)
        }
        for split in SPLITS
    ]
    assert not (asked[0] & asked[1] or asked[0] & asked[2] or asked[1] & asked[2])
    assert {thing for thing, _, _ in asked[2]} == set(UNSEEN)


def test_every_errand_can_be_won_by_searching_within_the_steps():
    config = env_config("errand")
    game = Errand(config)
    for instance in Errand.instances(config, "train")[:50]:
        game.reset(instance)
        actions = []
        for room in instance["rooms"]:
            actions.append(f"go to {room}")
            if instance["lying"][instance["thing"]] == room:
                break
            actions.append("go to hall")
        thing = instance["thing"]
        actions += [f"take {thing}", "go to hall", f"go to {instance['target']}", f"drop {thing}"]
        assert [game.step(action) for action in actions][-1].won


def test_what_lies_elsewhere_is_not_seen():
    config = env_config("errand")
    observation = Errand(config).reset({**Errand.instances(config, "train")[0], "lying": {"cup": "attic"}})
    assert "cup" not in observation.text
    assert all(action.startswith("go to ") for action in observation.admissible)


def test_demonstrations_carry_the_policys_prompts_and_parse_back():
    config = env_config("errand")
    instance = Errand.instances(config, "train")[0]
    made = list(rows(Errand(config), instance))
    game = Errand(config)
    observation, history = game.reset(instance), []
    for row in made:
        *prompt, answer = row["messages"]
        assert prompt == Errand.messages(observation, history, config.history_length)
        action = Errand.parse(answer["content"])
        assert action == row["gold"]["action"]
        history.append(Turn(observation.text, action))
        observation = game.step(action).observation
    assert len(made) == len(Errand.plan(instance))
    assert len({row["id"] for row in made}) == len(made)


def test_a_plan_longer_than_the_steps_is_refused():
    config = env_config("errand", max_steps=3)
    with pytest.raises(InputError, match=r"env\.max_steps=3: the plan of train/000000 doesn't win"):
        list(rows(Errand(config), Errand.instances(config, "train")[0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_steps": 0}, r"env\.max_steps=0: must be at least 1"),
        ({"num_instances": 0}, r"env\.num_instances=0"),
        ({"history_length": -1}, r"env\.history_length=-1"),
    ],
)
def test_values_out_of_range_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        check_env(env_config("errand", **changes))


@pytest.mark.parametrize(
    ("changes", "split", "message"),
    [
        ({}, "test", r"env\.train_split=test: no such split"),
        ({"num_instances": None}, "train", r"env\.num_instances=null"),
        ({"options": {"seed": 0, "num_rooms": 9, "num_things": 3}}, "train", r"env\.options\.num_rooms=9"),
        (
            {"options": {"seed": 0, "num_rooms": 4, "num_things": 3, "x": 1}},
            "train",
            r"env\.options\.x: unknown",
        ),
    ],
)
def test_errand_refuses_what_it_cannot_draw(changes, split, message):
    with pytest.raises(InputError, match=message):
        Errand.instances(env_config("errand", **changes), split)
