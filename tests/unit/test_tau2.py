"""τ²-bench: gold dialogues, rewards, judges, figures, and whatever else is given as a dialogue."""

import json
from collections import Counter

import pytest
from commands import must_run
from hypothesis import given, settings
from hypothesis import strategies as st
from tau2_gold import (
    NUM_TASKS,
    REFUSAL,
    benchmark,
    gold_dialogue,
    in_slice,
    is_write,
    judgement,
    loaded,
    scene_of,
    write_judged_tasks,
)
from test_tau2_trajectory import FIELDS, JSON

from evaluation.benchmarks import Judged, Verdict
from evaluation.benchmarks.tau2 import STOPS, pass_hat
from recipes.command import InputError

FAILING_GOLD = {"retail/12", "retail/105"}
"""Tasks whose gold ends with a call that the environment refuses: without it the database is the same."""


@pytest.mark.parametrize("subtask", NUM_TASKS)
def test_the_packages_base_tasks_are_there(subtask):
    assert len(loaded(subtask).ids) == NUM_TASKS[subtask]
    tasks = loaded(subtask)._domains[subtask].tasks.values()
    assert not any("NL_ASSERTION" in task.basis for task in tasks)
    assert tuple(scene_of(subtask, loaded(subtask).ids[0]).stops) == STOPS


@pytest.mark.parametrize("subtask", NUM_TASKS)
def test_gold_is_worth_1_and_without_its_last_write_0(subtask):
    check_gold(subtask, in_slice(subtask))


@pytest.mark.slow
@pytest.mark.parametrize("subtask", NUM_TASKS)
def test_all_gold_is_worth_1_and_without_its_last_write_0(subtask):
    counts = check_gold(subtask, loaded(subtask).ids)
    assert counts["gold"] == NUM_TASKS[subtask]
    assert counts["cut"] == {"retail": 103, "airline": 30, "telecom": 94}[subtask]


def check_gold(subtask, ids):
    counts = Counter()
    for sample_id in ids:
        scene = scene_of(subtask, sample_id)
        verdict = loaded(subtask).score(sample_id, gold_dialogue(scene))
        assert verdict.score == 1, (sample_id, verdict)
        assert verdict.details["num_gold_actions_done"] == len(scene.gold_actions)
        counts["gold"] += 1
        writes = [position for position, action in enumerate(scene.gold_actions) if is_write(action)]
        if writes and f"{subtask}/{sample_id}" not in FAILING_GOLD:
            verdict = loaded(subtask).score(sample_id, gold_dialogue(scene, writes[-1]))
            assert verdict.score == 0, (sample_id, verdict)
            counts["cut"] += 1
    return counts


def test_what_was_not_said_is_told():
    scene = scene_of("retail", "30")
    assert scene.gold_information
    messages = gold_dialogue(scene)
    messages[-2] = {"role": "assistant", "content": "Done."}
    verdict = loaded("retail").score("30", messages)
    assert (verdict.score, verdict.details["parts"]) == (0, {"DB": 1.0, "COMMUNICATE": 0.0})
    assert verdict.details["missing_information"] == scene.gold_information


@pytest.mark.parametrize(
    "ending", ["max_steps", "too_many_errors", "agent_error", "user_error", "judge_stop"]
)
def test_a_dialogue_that_neither_side_ended_is_worth_0(ending):
    messages = gold_dialogue(scene_of("telecom", loaded("telecom").ids[0]))
    for given_ending, score in ((ending, 0), ("agent_stop", 1)):
        prediction = {"messages": messages, "termination_reason": given_ending}
        verdict = loaded("telecom").score(loaded("telecom").ids[0], prediction)
        assert verdict.score == score
        assert verdict.details["termination_reason"] == given_ending


def test_results_that_the_replay_does_not_give_are_worth_0():
    call = {"id": "a", "name": "get_order_details", "arguments": {"order_id": "#W2378156"}}
    messages = gold_dialogue(scene_of("retail", "1"))
    forged = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "id": "a", "content": "{}"}]
    verdict = loaded("retail").score("1", [*messages[:2], *forged, *messages[-2:]])
    assert verdict.score == 0
    assert verdict.reason.startswith("the dialogue can't be repeated: ")


@pytest.fixture(scope="module")
def judged_tasks(tmp_path_factory):
    return write_judged_tasks(tmp_path_factory.mktemp("tasks"))


def test_assertions_need_a_judge(judged_tasks):
    asked = benchmark("telecom", str(judged_tasks / "tasks.json"))
    verdict = asked.score("x", REFUSAL)
    assert (verdict.score, verdict.details["needs_judge"]) == (1, 2)
    assert asked.metrics([Judged("x", verdict)])["num_needing_judge"] == 1
    for met, score in (((True, True), 1), ((True, False), 0)):
        answered = {"messages": REFUSAL, "termination_reason": "user_stop", "judgement": judgement(*met)}
        verdict = asked.score("x", answered)
        assert (verdict.score, verdict.details["parts"]["NL_ASSERTION"]) == (score, score)
        assert "needs_judge" not in verdict.details
    for text in ("Yes.", "[]", '{"results": [1]}', ""):
        verdict = asked.score("x", {"messages": REFUSAL, "judgement": text})
        assert verdict.details["needs_judge"] == 2
        assert verdict.reason.endswith("the judge's answer can't be read")


@given(
    JSON | st.lists(FIELDS, max_size=5) | st.fixed_dictionaries({"messages": st.lists(FIELDS, max_size=5)})
)
@settings(max_examples=30)
def test_any_json_gets_a_verdict(prediction):
    sample_id = loaded("telecom").ids[0]
    whole = {"termination_reason": "user_stop", "messages": prediction}
    for given_as in (prediction, json.dumps(prediction), whole):
        verdict = loaded("telecom").score(sample_id, given_as)
        assert verdict.score == 0 and verdict.reason


@pytest.mark.parametrize("text", ["\ud83d", "9" * 5000, "[" * 60 + "]" * 60])
def test_odd_arguments_get_a_verdict(text):
    call = {"name": "get_customer_by_id", "arguments": {"customer_id": text}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": STOPS[0]}]
    assert loaded("telecom").score(loaded("telecom").ids[0], messages).score == 0


def test_pass_hat_k_is_averaged_over_tasks():
    assert [pass_hat(k, [True, True, False, True]) for k in (1, 2, 3, 4)] == [3 / 4, 3 / 6, 1 / 4, 0]
    verdicts = {"1": (1, 1, 0), "2": (1, 1, 1, 1), "3": (0, 0, 0)}
    judged = [
        Judged(task, Verdict(float(score), "-")) for task, scores in verdicts.items() for score in scores
    ]
    figures = loaded("retail").metrics(judged)
    assert figures == {
        "average_reward": pytest.approx(6 / 10),
        "pass^1": pytest.approx((2 / 3 + 1 + 0) / 3),
        "pass^2": pytest.approx((1 / 3 + 1 + 0) / 3),
        "pass^3": pytest.approx((0 + 1 + 0) / 3),
        "num_needing_judge": 0,
    }


def test_ids_of_several_domains_begin_with_the_domain():
    both = benchmark(None)
    assert (len(both.ids), both.ids[0], both.ids[-1]) == (164, "retail/0", "airline/49")
    assert both.group("airline/3") == "airline"
    assert loaded("retail").group("3") == loaded("retail").group("retail/3") == "retail"
    dialogue = gold_dialogue(loaded("retail")._domains["retail"].scene("1"))
    assert both.score("retail/1", dialogue).score == loaded("retail").score("retail/1", dialogue).score == 1


def test_what_cannot_be_loaded_is_refused(tmp_path):
    (tmp_path / "tasks.json").write_text('[{"id": "0"}]')
    (tmp_path / "telecom").mkdir()
    for subtask, data, changed, message in (
        ("tennis", None, {}, "subtask=tennis: no such domain"),
        ("retail", str(tmp_path / "tasks.json"), {}, "data=.* has no tasks of tau2"),
        ("telecom", str(tmp_path), {}, "data=.*: no telecom/tasks.json there"),
        (None, str(tmp_path / "tasks.json"), {}, "data=.*: no retail/tasks.json there"),
        ("retail", None, {"user": "nobody"}, "options.user=nobody: "),
        ("retail", None, {"max_steps": 0}, "options.max_steps=0: must be above 0"),
    ):
        with pytest.raises(InputError, match=message):
            benchmark(subtask, data, **changed)


def test_given_predictions_are_scored_by_the_command(tmp_path):
    scene = scene_of("retail", "1")
    lines = [gold_dialogue(scene), gold_dialogue(scene, len(scene.gold_actions) - 1), None, "Hello"]
    text = "".join(json.dumps({"id": "1", "prediction": line}) + "\n" for line in lines)
    (tmp_path / "p.jsonl").write_text(text)
    must_run(
        "evaluation.score",
        "benchmark=tau2",
        "subtask=retail",
        f"predictions={tmp_path / 'p.jsonl'}",
        f"output_dir={tmp_path}",
    )
    results = json.loads((tmp_path / "results.json").read_text())
    assert [line["score"] for line in results["per_sample"]] == [1, 0, 0, 0]
    assert results["metrics"]["pass^1"] == 0.25
    assert results["groups"][0]["group"] == "retail"
