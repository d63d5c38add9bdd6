"""Eq. 3–8: what gold answers score, what a change to them costs, and what is refused when rows are loaded."""

import copy
import dataclasses
import json
import re

import pytest
import reward_rows
from omegaconf import OmegaConf
from reward_rows import TASKS, of_task, recipe, settings, with_config

from magic_megatron.config.rl_reward import RewardConfig
from magic_megatron.rl.rewards import PARTS, REWARDS, check_ground_truth, score
from recipes.command import InputError, typed

OWN_PART = {
    "decomposition": "plan",
    "tool_augmented": "tool",
    "scheduling": "schedule",
    "procedural": "flow",
    "long_horizon": "tool",
}


def parts_of(task, response, ground_truth, under=None):
    return score(task, response, ground_truth, under or settings()).parts


def assert_each_loses(task, change, lost, kept=None):
    """``change`` of every gold answer that it applies to costs ``lost``, and not ``kept``."""
    changed = [(a, change(a.response)) for a in of_task(task)]
    changed = [(answer, text) for answer, text in changed if text is not None and text != answer.response]
    assert len(changed) >= 5
    for answer, text in changed:
        parts = parts_of(task, text, answer.ground_truth)
        assert parts[lost] < 1.0, text
        assert kept is None or parts[kept] == 1.0, text


@pytest.mark.parametrize("task", TASKS)
def test_gold_answers_have_every_part(task):
    for answer in of_task(task):
        reward = score(task, answer.response, answer.ground_truth, settings())
        assert reward.parts == {"format": 1.0, OWN_PART[task]: 1.0}, (reward, answer.response)
        assert (reward.score, reward.reason) == (2.0, "ok")


def test_every_task_has_a_reward_and_its_part():
    assert {task: REWARDS[task].part for task in TASKS} == OWN_PART
    assert set(REWARDS) >= set(TASKS) and set(OWN_PART.values()) | {"format"} == set(PARTS)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("change", ["Sure! {}", "{} Anything else?", "{0}{0}", "```{}```", "</think>{}"])
def test_formats_are_matched_on_the_whole_output(task, change):
    for answer in of_task(task)[:20]:
        assert parts_of(task, change.format(answer.response), answer.ground_truth)["format"] == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_white_space_around_and_a_thought_before_are_no_fault(task):
    for answer in of_task(task)[:20]:
        text = (
            answer.response
            if "<think>" in answer.response
            else f"<think>Let me see.</think>\n\n{answer.response}"
        )
        assert set(parts_of(task, f"\n {text}\n", answer.ground_truth).values()) == {1.0}


@pytest.mark.parametrize("task", ["tool_augmented", "scheduling", "long_horizon"])
def test_formats_with_a_thought_want_one(task):
    assert_each_loses(task, lambda text: text.partition("</think>")[2], "format")
    assert_each_loses(task, lambda text: text.replace("</think>", ""), "format")


def test_another_number_of_steps_or_another_meaning_is_no_plan():
    assert_each_loses("decomposition", lambda t: re.sub(r"Step1\..*</Plan>", "</Plan>", t), "plan", "format")
    extra = "Step{}.Water the plants.</Plan>"
    assert_each_loses(
        "decomposition", lambda t: t.replace("</Plan>", extra.format(t.count("Step") + 1)), "plan"
    )
    assert_each_loses(
        "decomposition",
        lambda t: re.sub(r"Step1\..*?(?= Step2|</Plan>)", "Step1.Sing a song about the moon.", t),
        "plan",
        "format",
    )
    assert_each_loses(
        "decomposition", lambda t: re.sub("<Reply>.*<", "<Reply>Bananas are yellow.<", t), "plan", "format"
    )


def test_steps_and_reply_have_thresholds_of_their_own():
    truth = {"turns": [{"plan": ["Cancel the flight to Rome."], "reply": "I'll cancel the flight to Rome."}]}
    near = "<Plan>Step1.Call off the flight to Rome.</Plan><Reply>Sure, I am going to cancel that Rome flight.</Reply>"
    assert parts_of("decomposition", near, truth)["plan"] == 1.0
    for key in ("step", "reply"):
        thresholds = dataclasses.replace(recipe().thresholds, **{key: 0.999})
        assert parts_of("decomposition", near, truth, with_config(thresholds=thresholds))["plan"] == 0.0


def test_steps_that_change_place_are_another_plan():
    truth = {"turns": [{"plan": ["Book a table for two.", "Write an e-mail to Ada."], "reply": "Of course."}]}
    swapped = (
        "<Plan>Step1.Write an e-mail to Ada. Step2.Book a table for two.</Plan><Reply>Of course.</Reply>"
    )
    assert parts_of("decomposition", swapped, truth) == {"format": 1.0, "plan": 0.0}


CALLS = {
    "turns": [
        {
            "calls": [
                {"name": "get_order", "arguments": {"id": "O-1", "full": True}},
                {"name": "get_parcel", "arguments": {}},
            ]
        }
    ]
}


ORDER = '{"name": "get_order", "arguments": {"full": true, "id": "O-1"}}'
PARCEL = '{"name": "get_parcel", "arguments": {}}'


@pytest.mark.parametrize(
    ("calls", "tool"),
    [
        ([ORDER, PARCEL], 1),
        ([PARCEL, ORDER], 0),
        ([ORDER], 0),
        ([], 0),
        ([ORDER, PARCEL, PARCEL], 0),
        ([ORDER.replace("true", "1"), PARCEL], 0),
        ([ORDER.replace('"full": true, ', ""), PARCEL], 0),
        ([ORDER.replace("O-1", "O-2"), PARCEL], 0),
        ([ORDER, PARCEL.replace("parcel", "parcels")], 0),
        ([ORDER.replace("}}", "}"), PARCEL], 0),
        ([ORDER, '{"name": "get_parcel"}'], 0),
    ],
)
def test_the_list_of_tools_is_compared_by_name_arguments_and_order(calls, tool):
    response = f"<think>Two calls.</think><action>ToolList:[{', '.join(calls)}]</action>"
    assert parts_of("tool_augmented", response, CALLS) == {"format": 1.0, "tool": tool}


def test_any_changed_argument_or_name_costs_the_tool():
    def another(text):
        name = re.search(r'"name": "([a-z_]+)"', text)[1]
        return text.replace(f'"{name}"', '"no_such_tool"', 1)

    for task in ("tool_augmented", "long_horizon"):
        assert_each_loses(task, another, "tool", "format")
        assert_each_loses(
            task, lambda t: re.sub(r'("[a-z_]+_id": ")[^"]', r"\g<1>#", t.rpartition(">{")[0] and t), "tool"
        )


@pytest.mark.parametrize("task", ["tool_augmented", "long_horizon"])
def test_replies_go_by_meaning(task):
    def say(content):
        call = json.dumps({"name": "reply", "arguments": {"content": content}})
        if task == "tool_augmented":
            return f"<think>.</think><action>ToolList:[{call}]</action>"
        return f"<think>.</think><tool_call>{call}</tool_call>"

    call = {"name": "reply", "arguments": {"content": "On which date do you pick up the rental car?"}}
    truth = {"turns": [{"calls": [call], "call": call}]}
    assert parts_of(task, say("Which date will you pick up the rental car?"), truth)["tool"] == 1.0
    assert parts_of(task, say("Your invoice has been paid."), truth) == {"format": 1.0, "tool": 0.0}
    assert "cosine" in score(task, say("Bananas."), truth, settings()).reason or task == "long_horizon"


@pytest.mark.parametrize(
    "call",
    [
        '{"name": "f", "arguments": {"a": 1}',
        "{'name': 'f', 'arguments': {'a': 1}}",
        '{"name": "f", "arguments": {"a": 1,}}',
        '{"name": "f", "arguments": {"a": 1, "a": 1}}',
        '{"name": "f", "arguments": {"a": NaN}}',
        '{"name": "f", "arguments": "{}"}',
        '{"name": "f", "arguments": {"a": 1}, "id": 3}',
        '[{"name": "f", "arguments": {"a": 1}}]',
        "f(a=1)",
    ],
)
def test_a_call_that_is_not_strict_json_has_the_format_and_not_the_tool(call):
    truth = {"turns": [{"call": {"name": "f", "arguments": {"a": 1}}}]}
    response = f"<think>.</think><tool_call>{call}</tool_call>"
    assert parts_of("long_horizon", response, truth) == {"format": 1.0, "tool": 0.0}
    right = '<think>.</think><tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>'
    assert parts_of("long_horizon", right, truth) == {"format": 1.0, "tool": 1.0}


@pytest.mark.parametrize(
    "call", ['{"name": "g", "name": "f", "arguments": {}}', '{"name": "f", "arguments": NaN}']
)
def test_calls_in_a_list_are_strict_json_too(call):
    truth = {"turns": [{"calls": [{"name": "f", "arguments": {}}]}]}
    said = "<think>.</think><action>ToolList:[%s]</action>"
    assert parts_of("tool_augmented", said % '{"name": "f", "arguments": {}}', truth)["tool"] == 1.0
    assert parts_of("tool_augmented", said % call, truth)["tool"] == 0.0


def test_another_schedule_breaks_a_constraint():
    def another(text):
        return re.sub(r"([0-9]{1,2}):([0-9]{2})(?=[^0-9]*</answer>)", "3:17", text) or None

    assert_each_loses("scheduling", another, "schedule", "format")


def test_a_schedule_is_judged_by_its_constraints_and_not_by_the_gold_text():
    instance = {
        "days": ["Monday"], "work_hours": [540, 1020], "slot_minutes": 30, "meeting_minutes": 60,
        "busy": {"Ada": {"Monday": [[540, 600]]}}, "preferences": [], "earliest": False,
    }  # fmt: skip
    truth = check_ground_truth(
        "scheduling", {"subtask": "calendar", "instance": instance, "answer": "Monday, 10:00 - 11:00"}
    )
    say = "<think>.</think><answer>Monday, {}</answer>"
    for time, right in {"10:00 - 11:00": 1.0, "16:00 - 17:00": 1.0, "9:30 - 10:30": 0.0}.items():
        assert parts_of("scheduling", say.format(time), truth) == {"format": 1.0, "schedule": right}


def test_a_plain_schedule_lacks_the_format_unless_the_recipe_wants_it():
    plain = with_config(scheduling_format="natural_plan")
    for answer in of_task("scheduling")[:10]:
        text = answer.response.partition("<answer>")[2].removesuffix("</answer>")
        assert parts_of("scheduling", text, answer.ground_truth) == {"format": 0.0, "schedule": 1.0}
        assert parts_of("scheduling", text, answer.ground_truth, plain) == {"format": 1.0, "schedule": 1.0}
        assert parts_of("scheduling", answer.response, answer.ground_truth, plain)["format"] == 0.0


def test_table_1s_one_line_is_a_workflow_too():
    truth = {"nodes": ["Boil water.", "Add tea."], "edges": [["START", "1"], ["1", "2"], ["2", "END"]]}
    for text in (
        "Node 1:Boil water. 2:Add tea. Edge:(START,1),(1,2),(2,END)",
        "Node: 1: Boil water. 2: Add tea. Edge: (START,1) (1,2) (2,END)",
    ):
        assert parts_of("procedural", text, truth) == {"format": 1.0, "flow": 1.0}
    for text in ("Node 2:Boil water. Edge:(START,1)", "Node Edge:(START,1)", "1:Boil water. Edge:(START,1)"):
        assert parts_of("procedural", text, truth) == {"format": 0.0, "flow": 0.0}


def test_wrong_nodes_and_edges_cost_part_of_the_flow():
    assert_each_loses("procedural", lambda t: re.sub(r"\n1: .*", "\n1: Sing a song.", t), "flow", "format")
    assert_each_loses("procedural", lambda t: re.sub(r" \([0-9]+,[0-9END]+\)", "", t), "flow", "format")
    assert_each_loses("procedural", lambda t: t.replace("Edge:", "Edgy:"), "format")


def test_flow_is_half_chain_and_half_graph():
    truth = {"nodes": ["Boil water.", "Add tea."], "edges": [["START", "1"], ["1", "2"], ["2", "END"]]}
    text = "Node:\n1: Boil water.\n2: Add tea.\nEdge: (START,1) (2,END)"
    assert parts_of("procedural", text, truth)["flow"] == pytest.approx((1 + 0.5) / 2)
    only_chain = with_config(flow=dataclasses.replace(recipe().flow, chain=1.0, graph=0.0))
    assert parts_of("procedural", text, truth, only_chain)["flow"] == 1.0
    few = with_config(flow=dataclasses.replace(recipe().flow, max_nodes=1))
    assert parts_of("procedural", text, truth, few) == {"format": 1.0, "flow": 0.0}


def test_weights_make_the_score():
    weights = dataclasses.replace(recipe().weights, format=0.25, tool=3.0)
    answer = of_task("tool_augmented")[0]
    assert (
        score("tool_augmented", answer.response, answer.ground_truth, with_config(weights=weights)).score
        == 3.25
    )
    assert score("tool_augmented", "?", answer.ground_truth, settings()).score == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_missing_and_malformed_ground_truths_are_refused_when_loaded(task):
    gold = of_task(task)[0].ground_truth
    for missing in (None, "", "{", "[]", "7", {}, json.dumps({"turns": []})):
        with pytest.raises(InputError, match=r"train\.parquet: row 3"):
            check_ground_truth(task, missing, "train.parquet: row 3")
    for key in REWARDS[task].ground_truth.model_fields:
        without = {name: value for name, value in gold.items() if name != key}
        with pytest.raises(InputError, match=f"ground_truth: {key}"):
            check_ground_truth(task, without)
    if "turns" in gold:
        with pytest.raises(InputError, match="at most 1"):
            check_ground_truth(task, {**gold, "turns": gold["turns"] * 2})


def test_a_workflow_with_a_cycle_and_a_puzzle_without_its_parts_are_no_ground_truth():
    cycle = {"nodes": ["a", "b"], "edges": [["START", "1"], ["1", "2"], ["2", "1"]]}
    with pytest.raises(InputError, match="cycle"):
        check_ground_truth("procedural", cycle)
    with pytest.raises(InputError, match="no node"):
        check_ground_truth("procedural", {"nodes": ["a"], "edges": [["START", "4"]]})
    puzzle = copy.deepcopy(of_task("scheduling")[0].ground_truth)
    puzzle["instance"].pop(next(iter(sorted(puzzle["instance"].keys() & {"busy", "travel", "stays"}))))
    with pytest.raises(InputError):
        check_ground_truth("scheduling", puzzle)


def test_a_task_without_a_reward_is_refused_with_those_that_have_one():
    for ask in (lambda: score("cooking", "", {}, settings()), lambda: check_ground_truth("cooking", {})):
        with pytest.raises(InputError, match=r"task=cooking.*decomposition, long_horizon, procedural"):
            ask()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weights.plan", -1.0),
        ("thresholds.step", 1.5),
        ("flow.graph", 0.7),
        ("flow.max_nodes", 0),
        ("embedding.device", "tpu"),
        ("embedding.cache_size", 0),
        ("scheduling_format", "xml"),
    ],
)
def test_recipe_values_are_checked(key, value):
    config = OmegaConf.load("recipes/rl/reward/unified.yaml")
    OmegaConf.update(config, key, value)
    with pytest.raises(InputError, match=key.split(".")[-1]):
        typed(RewardConfig, config)


def test_settings_of_the_recipe_are_the_papers():
    assert set(dataclasses.asdict(recipe().weights).values()) == {1.0}
    assert dataclasses.asdict(recipe().thresholds) == {"step": 0.85, "reply": 0.8, "node": 0.6}
    assert reward_rows.recipe().flow.mode == "fixed"
