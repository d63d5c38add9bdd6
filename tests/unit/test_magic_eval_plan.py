"""MagicEval-Plan: golden plans score 1, what is changed in them lowers the right figure."""

import asyncio
import json

import pytest
from commands import must_run
from hypothesis import given
from hypothesis import strategies as st
from magic_eval_sets import ROWS, Scripted, gold, options

from evaluation.benchmarks import Judged, Source, Verdict, load
from evaluation.benchmarks._magic_eval_judge import judge_prompt, judged_correct
from evaluation.benchmarks.magic_eval_plan import read_plan
from recipes.command import InputError

NAME = "magic_eval_plan"
BENCHMARK = load(NAME, Source(None, None, options=options(NAME)))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["plan", "judge", "x"]), inner, max_size=3)
    ),
    max_leaves=9,
)


def steps(sample_id: str) -> list[str]:
    return ROWS[NAME][sample_id]["wanted"][-1]


def text(plan: list[str]) -> str:
    return f"<Plan>{' '.join(f'Step{i}.{step}' for i, step in enumerate(plan, 1))}</Plan><Reply>Sure.</Reply>"


def test_golden_plans_score_1():
    judged = [
        Judged(sample_id, BENCHMARK.score(sample_id, gold(NAME, sample_id)[-1]))
        for sample_id in BENCHMARK.ids
    ]
    assert BENCHMARK.metrics(judged) == {"step_accuracy": 1.0}
    assert {one.verdict.reason.partition("; ")[2].partition("; ")[2] for one in judged} == {
        "without embedding and judge"
    }


def test_a_plan_of_another_length_or_form_loses_its_step_figure():
    for sample_id in BENCHMARK.ids:
        plan = steps(sample_id)
        answer = text(plan)
        assert BENCHMARK.score(sample_id, answer).score == {"step": 1.0}
        worse = (
            text(plan[1:]),
            text([*plan, "Say goodbye."]),
            answer.replace("</Plan>", ""),
            answer.replace("<Plan>", "<plan>"),
            answer.replace("Step1.", "Step2."),
            answer.replace("Step1.", "Step 1:"),
            "",
        )
        assert [BENCHMARK.score(sample_id, one).score for one in worse] == [{"step": 0.0}] * len(worse)


@pytest.mark.parametrize(
    ("answer", "plan"),
    [
        ("<Plan>Step1.a Step2.b, as Step 1 says.</Plan><Reply>c</Reply>", ["a", "b, as Step 1 says."]),
        ("so <Plan>Step1.x</Plan> or rather <Plan>Step1.y</Plan>", ["y"]),
        ("<Plan></Plan>", []),
        ("<Plan>first Step1.a</Plan>", None),
        ("<Plan>Step1.</Plan>", None),
        ("<Plan>Step1.a", None),
        ("</Plan>", None),
        ("<Plan>" * 100_000 + "Step1.a</Plan>", ["a"]),
        ("<Plan>" + "Step" * 100_000 + "</Plan>", None),
        ("<Plan>Step" + "1" * 5000 + ".a</Plan>", None),
    ],
)
def test_plans_are_read_from_text(answer, plan):
    assert read_plan(answer) == plan


@given(JSON)
def test_any_json_is_scored(prediction):
    verdict = BENCHMARK.score("condition/en/003", prediction)
    assert verdict.score["step"] == 0 and set(verdict.score) <= {"step", "judge"}
    assert BENCHMARK.metrics([Judged("condition/en/003", verdict)])["step_accuracy"] == 0


@given(st.text(st.characters(codec=None)))
def test_any_judges_answer_is_read(answer):
    assert judged_correct(answer) is None


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ('{"reason": "as the reference", "correct": true}', True),
        ('At first {"correct": true}, then ```{"correct": false}```', False),
        ('{"reason": "step 2 lacks {city}", "correct": true}', True),
        ('Step {2} of {"steps": []} is off: {"correct": false, "reason": {"correct": true}} {}', False),
        ('{"correct": "true"}', None),
        ('{"a{' * 100_000, None),
        ('{"a": ' + "1" * 5000 + "}", None),
        ('{"correct": true', None),
        ("[" * 100_000 + "{" * 100_000, None),
        ('{"a":' * 100_000, None),
    ],
)
def test_the_judges_last_object_counts(answer, correct):
    assert judged_correct(answer) is correct


def play(benchmark, sample_id, replies):
    chat = Scripted(replies)
    return asyncio.run(benchmark.play(sample_id, chat)), chat


def test_the_last_plan_is_asked_for_with_the_golden_past():
    sample_id = next(s for s in BENCHMARK.ids if len(gold(NAME, s)) == 3)
    prediction, chat = play(BENCHMARK, sample_id, ["<Plan>Step1.a</Plan>"])
    assert prediction == "<Plan>Step1.a</Plan>"
    ((system, *turns),) = [request["messages"] for request in chat.asked]
    assert [turn["content"] for turn in turns if turn["role"] == "assistant"] == gold(NAME, sample_id)[:-1]
    assert turns[-1]["role"] == "user"
    assert all(f'"name": "{tool}"' in system["content"] for tool in ROWS[NAME][sample_id]["tools"])


def test_a_judge_is_asked_where_there_is_one_and_its_word_is_kept():
    judging = load(NAME, Source("dependency", None, "en", options=options(NAME, judge="gpt")))
    sample_id = judging.ids[0]
    answer = gold(NAME, sample_id)[-1]
    right, chat = play(judging, sample_id, [answer, '{"reason": "same", "correct": true}'])
    assert [request["role"] for request in chat.asked] == ["agent", "judge"]
    asked = chat.asked[1]["messages"][0]["content"]
    assert asked.count(f"1. {steps(sample_id)[0]}") == 2
    assert ROWS[NAME][sample_id]["messages"][1]["content"] in asked
    wrong, _ = play(judging, sample_id, [answer, '{"correct": false}'])
    unread, _ = play(judging, sample_id, [answer, "Looks good to me."])
    no_plan, chat = play(judging, sample_id, ["I don't know."])
    assert len(chat.asked) == 1
    predictions = json.loads(json.dumps([right, wrong, unread, no_plan]))
    verdicts = [BENCHMARK.score(sample_id, prediction) for prediction in predictions]
    assert [verdict.score for verdict in verdicts] == [
        {"step": 1.0, "judge": 1.0},
        {"step": 1.0, "judge": 0.0},
        {"step": 1.0},
        {"step": 0.0, "judge": 0.0},
    ]
    judged = [Judged(sample_id, verdict) for verdict in [*verdicts, Verdict(0.0, "no text")]]
    assert BENCHMARK.metrics(judged) == {
        "step_accuracy": 3 / 5,
        "judge_accuracy": 1 / 4,
        "share_unjudged": 1 / 5,
    }


def test_the_judges_prompt_shows_empty_plans():
    (message,) = judge_prompt(
        [{"role": "system", "content": "x"}, {"role": "user", "content": "{y}"}], [], ["{z}"]
    )
    assert (
        "(no step)" in message["content"]
        and "user: {y}" in message["content"]
        and "1. {z}" in message["content"]
    )
    assert "system: x" not in message["content"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source(None, None, options={}), r"^options\.judge: Field required"),
        (Source(None, None, options=options(NAME, batch_size=0)), r"^options\.batch_size: Input should"),
        (Source("all", None, options=options(NAME)), r"^subtask=all: "),
    ],
)
def test_bad_input_is_told_in_a_line(source, message):
    with pytest.raises(InputError, match=message):
        load(NAME, source)


@pytest.mark.slow
def test_the_embedding_tells_a_plan_from_another():
    benchmark = load(NAME, Source(None, None, embedding="minilm", options=options(NAME)))
    judged = [
        Judged(sample_id, benchmark.score(sample_id, gold(NAME, sample_id)[-1]))
        for sample_id in benchmark.ids
    ]
    assert benchmark.metrics(judged) == {"step_accuracy": 1.0, "embedding_similarity": 1.0}
    longer = [one for one in benchmark.ids if "/en/" in one and len(steps(one)) > 1]
    for sample_id in longer[:12]:
        plan = steps(sample_id)
        reordered = benchmark.score(sample_id, text(plan[::-1])).score
        renamed = benchmark.score(sample_id, text(["Dance.", *plan[1:]])).score
        dropped = benchmark.score(sample_id, text(plan[1:])).score
        assert reordered["step"] == renamed["step"] == 1 and dropped["step"] == 0
        assert max(reordered["embedding"], renamed["embedding"], dropped["embedding"]) < 1
        assert benchmark.score(sample_id, "no plan").score == {"step": 0.0, "embedding": 0.0}
        assert benchmark.score(sample_id, "<Plan></Plan>").score["embedding"] == 0
    odd = benchmark.score(benchmark.ids[0], f"<Plan>Step1.\ud800{'x ' * 10**5}</Plan>")
    assert 0 <= odd.score["embedding"] < 1


def test_the_command_scores_predictions(tmp_path):
    sample_id = "general/zh/000"
    prediction = {"plan": gold(NAME, sample_id)[-1], "judge": '{"correct": true}'}
    lines = [{"id": sample_id, "prediction": one} for one in (prediction, prediction["plan"], None)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "out"
    must_run(
        "evaluation.score", f"benchmark={NAME}", f"predictions={tmp_path / 'p.jsonl'}", f"output_dir={out}"
    )
    results = json.loads((out / "results.json").read_text())
    assert results["metrics"] == {"step_accuracy": pytest.approx(2 / 3), "judge_accuracy": 0.5}
