"""BFCL-v3: our verdicts are those of its own runner, and its figures those of its own table."""

import ast
import json
import random
from collections import Counter
from functools import cache

import pytest
from bfcl_answers import as_code, as_native, as_text, mutated_calls, mutated_texts, right_calls
from commands import must_run
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import benchmarks
from evaluation.benchmarks import Judged, Source, Verdict
from evaluation.benchmarks.bfcl_v3 import MULTI_TURN, SUBTASKS
from evaluation.packages import Worker
from recipes.command import InputError

SINGLE_TURN = SUBTASKS["single_turn"]
CODE = ("java", "javascript")
NUM_SAMPLES = dict(
    zip(
        (*SINGLE_TURN, *MULTI_TURN),
        (400, 100, 50, 200, 200, 200, 240, 258, 1053, 16, 24, 882, 18, 200, 200, 200, 200),
        strict=True,
    )
)


@cache
def loaded(mode, subtask=None):
    return benchmarks.load("bfcl_v3", Source(subtask, None, mode=mode, options={"timeout_s": 300.0}))


@cache
def official():
    return Worker("bfcl", "tests.unit.bfcl_official", timeout_s=300)


def agreement(benchmark, mode, category, rows, answers_of):
    """(right, agreed, all) over the answers to some rows of a category; a disagreement is told."""
    ids = [sample_id for sample_id in benchmark.ids if benchmark.group(sample_id) == category]
    counts = Counter()
    for position in rows:
        for kind, answer in answers_of(position):
            theirs = official().call(
                "verdict", category=category, position=position, mode=mode, answer=answer
            )
            ours = benchmark.score(ids[position], answer)
            assert ours.reason and ours.score in (0, 1)
            # where their runner raises it gives no verdict, and ours is 0
            expected = False if isinstance(theirs, str) else theirs
            assert (ours.score == 1) == expected, (ids[position], kind, answer, theirs, ours)
            counts["all"] += 1
            counts["right"] += int(ours.score)
            counts["raised"] += isinstance(theirs, str)
            counts[kind] += int(ours.score)
    return counts


def single_answers(category, mode):
    """A function from a row to its answers: first the gold one, then mutations of all kinds."""
    truths = [truth for _, truth in official().call("samples", category=category)]
    write = as_code if category in CODE else as_text

    def answers(position):
        draw = random.Random(position)
        calls = right_calls(truths[position]) if truths[position] else [("math.f", {"a": 5, "b": "x"})]
        write_calls = write if mode == "prompt" else as_native
        yield "gold", write_calls(calls)
        for kind, changed in mutated_calls(calls, draw):
            yield kind, write_calls(changed)
        if mode == "prompt":
            yield from mutated_texts(write(calls), draw)
            return
        yield "no call", []
        yield "a text", "I can't do that."
        for kind, arguments in (
            ("unbalanced", '{"a": 1'),
            ("a list", "[1]"),
            ("a number", "1"),
            ("empty", ""),
        ):
            yield f"arguments: {kind}", [{calls[0][0]: arguments}]
        yield "no name", [{}]

    return answers


def turn_answers(category):
    truths = [truth for _, truth in official().call("samples", category=category)]

    def answers(position):
        turns = [[f"[{', '.join(turn)}]"] if turn else ["Done."] for turn in truths[position]]
        yield "gold", turns
        yield "gold, a call a step", [[f"[{call}]" for call in turn] or [""] for turn in truths[position]]
        yield "drop a turn", turns[:-1]
        yield "drop the last turn's calls", [*turns[:-1], ["Done."]]
        yield "reorder turns", turns[::-1]
        yield "unbalance a turn", [[turns[0][0][:-2]], *turns[1:]]
        yield "call nothing known", [["[launch(rocket='x')]", *turns[0]], *turns[1:]]
        yield "call of a method of another object", [[*turns[0], "[GorillaFileSystem.ls()]"], *turns[1:]]
        yield "forbidden name", [["[kill(a=1)]", "[os.remove(path='x')]", *turns[0]], *turns[1:]]
        yield "calls within calls", [["[mean(numbers=[add(a=1, b=2), 4])]", *turns[0]], *turns[1:]]
        yield "objects within objects", [["[add(a={'b': {'c': 1}}, b={})]", *turns[0]], *turns[1:]]
        yield "wrong argument", [["[add(c=1)]", "[add(a='x', b=2)]", *turns[0]], *turns[1:]]
        yield "arithmetic", [["[add(a=2 * 3, b=10 ** 3)]", *turns[0]], *turns[1:]]
        yield (
            "a method's name in a text",
            [[*turns[0], "[post_tweet(content='try ls () or cd (x)')]"], *turns[1:]],
        )

    return answers


@pytest.mark.parametrize("mode", ["prompt", "fc"])
@pytest.mark.parametrize("category", SINGLE_TURN)
def test_verdicts_of_a_slice_are_the_official_ones(category, mode):
    benchmark = loaded(mode)
    rows = range(0, NUM_SAMPLES[category], NUM_SAMPLES[category] // (4 if category in CODE else 2))
    answers = single_answers(category, mode)
    counts = agreement(benchmark, mode, category, rows, answers)
    assert 0 < counts["right"] < counts["all"]


def native_turns(category):
    """Gold turns as native calls; what they give by position has no place there and is lost."""

    def native_step(statements):
        calls = []
        for statement in statements:
            call = ast.parse(statement, mode="eval").body
            arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            calls.append({call.func.id: json.dumps(arguments)})
        return calls

    truths = [truth for _, truth in official().call("samples", category=category)]

    def answers(position):
        turns = [[native_step(turn)] if turn else ["What for?"] for turn in truths[position]]
        first = turns[0][0]
        yield "gold", turns
        yield (
            "gold, a call a step",
            [[[call] for call in turn[0]] if turn[0] != "What for?" else [] for turn in turns],
        )
        yield "no JSON", [[first, [{"ls": "{"}]], *turns[1:]]
        yield "code for a name", [[first, [{"ls(); ls": "{}"}], [{"ls": '{"a=1, b": 2}'}]], *turns[1:]]
        yield "a text", [["[ls()]"], *turns[1:]]
        yield "drop a call", [[first[1:]], *turns[1:]]

    return answers


@pytest.mark.parametrize("mode", ["prompt", "fc"])
@pytest.mark.parametrize("category", MULTI_TURN)
def test_verdicts_over_several_turns_are_the_official_ones(category, mode):
    benchmark = loaded(mode)
    answers = (turn_answers if mode == "prompt" else native_turns)(category)
    counts = agreement(benchmark, mode, category, range(0, 200, 90), answers)
    assert 0 < counts["right"] < counts["all"]


GOLD = {
    "prompt": {
        **{"simple": 397, "java": 74, "javascript": 45, "parallel": 199, "parallel_multiple": 198},
        **{
            "irrelevance": 0,
            "live_simple": 256,
            "live_multiple": 1042,
            "live_irrelevance": 0,
            **dict.fromkeys(MULTI_TURN, 176),
        },
    },
    "fc": {
        **{"simple": 397, "java": 52, "javascript": 23, "parallel": 199, "parallel_multiple": 198},
        **{
            "irrelevance": 0,
            "live_simple": 256,
            "live_multiple": 1042,
            "live_irrelevance": 0,
            **dict.fromkeys(MULTI_TURN, 176),
        },
    },
}
"""How many gold answers the official checkers call right, where these aren't all."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["prompt", "fc"])
@pytest.mark.parametrize("category", NUM_SAMPLES)
def test_all_gold_answers_and_many_mutations_get_the_official_verdict(category, mode):
    if category in MULTI_TURN:
        answers, num_mutated = (turn_answers if mode == "prompt" else native_turns)(category), 40
    else:
        answers, num_mutated = single_answers(category, mode), 400
    rows = range(NUM_SAMPLES[category])
    gold = agreement(loaded(mode), mode, category, rows, lambda position: [next(answers(position))])
    assert gold["gold"] == GOLD[mode].get(category, NUM_SAMPLES[category])
    step = max(1, NUM_SAMPLES[category] // num_mutated)
    counts = agreement(loaded(mode), mode, category, rows[::step], answers)
    print(category, mode, {"gold": gold["gold"], **counts})


SOUP = st.lists(
    st.sampled_from(
        [
            *(
                "[",
                "]",
                "(",
                ")",
                "{",
                "}",
                "=",
                ",",
                ".",
                ":",
                "'",
                '"',
                "`",
                "\n",
                " ",
                "-",
                "+",
                "~",
                "#",
                "\\",
            ),
            *(
                "f(",
                "a=",
                "1",
                "0.5",
                "True",
                "None",
                "x",
                "b.c(",
                "lambda: 1",
                "1 - 2",
                "'s'",
                "...",
                "not ",
                "**",
            ),
            *(
                "calculate_triangle_area(",
                "base=10",
                "height=5",
                "unit='units'",
                "[calculate_triangle_area(base=10",
            ),
        ]
    ),
    max_size=12,
).map("".join)


@given(SOUP)
@settings(max_examples=150)
def test_verdicts_on_broken_texts_are_the_official_ones(text):
    for category, sample_id in (("simple", "simple_0"), ("irrelevance", "irrelevance_0"), ("java", "java_0")):
        theirs = official().call("verdict", category=category, position=0, mode="prompt", answer=text)
        ours = loaded("prompt").score(sample_id, text)
        assert (ours.score == 1) == (theirs is True), (category, text, theirs, ours)


@given(SOUP)
@settings(max_examples=50)
def test_verdicts_on_broken_steps_are_the_official_ones(text):
    turns = [[text, "[cd(folder='document')]"], ["x"], [text], [text, "[sort()]"], []]
    theirs = official().call(
        "verdict", category="multi_turn_miss_func", position=0, mode="prompt", answer=turns
    )
    ours = loaded("prompt").score("multi_turn_miss_func_0", turns)
    assert (ours.score == 1) == (theirs is True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    json_values, st.sampled_from(["simple_3", "java_1", "javascript_2", "irrelevance_5", "multi_turn_base_7"])
)
@settings(max_examples=100)
def test_no_json_value_makes_scoring_raise(value, sample_id):
    for benchmark in (loaded("prompt"), loaded("fc")):
        verdict = benchmark.score(sample_id, value)
        assert verdict.score in (0, 1) and isinstance(verdict.reason, str)


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, "f(a=" * 20_000, "-" * 200_000, "[f(a=" + "9" * 100_000 + ")]", "\ud800" * 50, "\0"),
        *(
            "[f(a=9**9**9**9)]",
            "[f(a='x' * 10**12)]",
            "[f(a=" + "(" * 150 + ")" * 150 + ")]",
            "f(" * 90 + ")" * 90,
        ),
        *(
            "`" * 100_000,
            "[f(a=[" + "1," * 30_000 + "])]",
            "[f(" + ", ".join(f"a{i}={i}" for i in range(9000)) + ")]",
        ),
    ],
    ids=range(13),
)
def test_hostile_texts_are_judged_in_time(text):
    for sample_id in ("simple_0", "java_0", "javascript_0", "multi_turn_base_0"):
        prediction = [[text]] * 4 if sample_id.startswith("multi") else text
        verdict = loaded("prompt").score(sample_id, prediction)
        assert verdict.score == 0 and "verdict:" not in verdict.reason  # which tells of a time-out or a crash
        assert "s of computing" not in verdict.reason


@pytest.mark.slow
def test_converters_that_backtrack_are_stopped():
    sample_id, calls, key = next(
        (sample_id, right_calls(truth), key)
        for sample_id, truth in official().call("samples", category="java")
        for key, values in next(iter(truth[0].values())).items()
        if isinstance(values[0], dict)
    )
    calls[0][1][key] = f'"new HashMap<>() {{{" " * 3000}x"'
    text = as_code(calls)
    patient = benchmarks.load("bfcl_v3", Source("java", None, mode="prompt", options={"timeout_s": 800.0}))
    verdict = patient.score(sample_id, text)
    assert verdict.score == 0 and "within 10 s" in verdict.reason


def test_what_is_nested_too_deeply_isnt_sent():
    value = []
    for _ in range(100_000):
        value = [value]
    assert "nested" in loaded("prompt").score("simple_0", value).reason
    while value:  # taken apart: Python frees it recursively
        value = value.pop()


def test_no_builtin_and_no_private_method_is_reached():
    calls = [
        "__import__(name='os')",
        "open(file='/tmp/x', mode='w')",
        "_load_scenario(scenario=1)",
        "print(x=1)",
    ]
    outcome = loaded("prompt")._worker.call(
        "step", sample_id="multi_turn_base_0", mode="prompt", turns=[[f"[{', '.join(calls)}]"]]
    )
    names = [call.split("(")[0] for call in calls]
    assert outcome["results"] == [f"Error during execution: name '{name}' is not defined" for name in names]


def test_the_ids_are_bfcls_own_and_every_sample_is_there():
    groups = Counter(loaded("prompt").group(sample_id) for sample_id in loaded("prompt").ids)
    assert groups == NUM_SAMPLES and len(set(loaded("prompt").ids)) == 4441
    named = [s for category in NUM_SAMPLES for s, _ in official().call("samples", category=category)]
    ours = {sample_id.removesuffix("#2") for sample_id in loaded("prompt").ids}
    assert ours == set(named) and len(named) == 4441


@pytest.mark.parametrize("mode", ["prompt", "fc"])
@pytest.mark.parametrize("category", NUM_SAMPLES)
def test_every_category_opens_with_its_question(category, mode):
    benchmark = loaded(mode)
    for sample_id in [s for s in benchmark.ids if benchmark.group(s) == category][::40]:
        opening = benchmark._worker.call("opening", sample_id=sample_id, mode=mode)
        num_turns = len(opening["turns"])
        assert (num_turns > 1) == (category in MULTI_TURN) and len(opening["tools"]) == num_turns
        assert all(turn and turn[-1]["role"] == "user" for turn in opening["turns"])
        assert (opening["turns"][0][0]["role"] == "system") or mode == "fc"
        if mode == "prompt":
            assert not any(opening["tools"])
        else:
            assert all(opening["tools"]) or category == "live_irrelevance"  # some of which have no function


def judged(scores):
    first = {
        category: next(s for s in loaded("prompt").ids if loaded("prompt").group(s) == category)
        for category in scores
    }
    return [Judged(first[category], Verdict(float(s), "")) for category in scores for s in scores[category]]


def test_figures_are_aggregated_officially():
    draw = random.Random(0)
    scores = {category: [draw.randrange(2) for _ in range(n)] for category, n in NUM_SAMPLES.items()}
    share = {category: sum(each) / len(each) for category, each in scores.items()}
    simple = (share["simple"] + share["java"] + share["javascript"]) / 3
    non_live = (
        simple + share["multiple"] + share["parallel"] + share["parallel_multiple"] + share["irrelevance"]
    )
    live = [name for name in NUM_SAMPLES if name.startswith("live")]
    weighted = sum(share[name] * NUM_SAMPLES[name] for name in live) / sum(NUM_SAMPLES[name] for name in live)
    turns = sum(share[name] for name in MULTI_TURN) / 4
    assert loaded("prompt").metrics(judged(scores)) == pytest.approx(
        {
            "accuracy": sum(map(sum, scores.values())) / 4441,
            "non_live": non_live / 5,
            "live": weighted,
            "single_turn": (non_live / 5 + weighted) / 2,
            "multi_turn": turns,
            "overall": (non_live / 5 + weighted + turns) / 3,
        }
    )


def test_a_figure_that_lacks_a_category_is_left_out():
    assert loaded("prompt").metrics(judged({"simple": [1, 0]})) == {"accuracy": 0.5}
    live = {name: [1] for name in NUM_SAMPLES if name.startswith("live")}
    assert set(loaded("prompt").metrics(judged(live))) == {"accuracy", "live"}


def test_a_subtask_is_a_group_or_a_category():
    assert {loaded("prompt", "java").group(s) for s in loaded("prompt", "java").ids} == {"java"}
    assert len(loaded("prompt", "live").ids) == 2251 and len(loaded("prompt", "multi_turn").ids) == 800
    assert len(loaded("prompt", "non_live").ids) == 1390 and len(loaded("prompt", "single_turn").ids) == 3641
    for source, told in (
        (Source("rest", None, mode="prompt"), "subtask=rest"),
        (Source(None, None, mode="chat"), "mode=chat"),
        (Source(None, "/x", mode="fc"), "leave data out"),
        (Source(None, None, mode="fc", options={"timeout": 1}), "options.timeout"),
    ):
        with pytest.raises(InputError, match=told):
            benchmarks.load("bfcl_v3", source)


def test_the_command_scores_predictions_without_further_keys(tmp_path):
    rows = [
        ("simple_0", "[calculate_triangle_area(base=10, height=5)]", 1),
        ("simple_0", "[calculate_triangle_area(base=10)]", 0),
        ("simple_0", None, 0),
        ("simple_0", [{"calculate_triangle_area": '{"base": 10, "height": 5}'}], 1),
        ("irrelevance_0", "None fits.", 1),
        ("multi_turn_base_0", [["ls()"]], 0),
    ]
    lines = [json.dumps({"id": sample_id, "prediction": value}) + "\n" for sample_id, value, _ in rows]
    (tmp_path / "p.jsonl").write_text("".join(lines))
    must_run(
        *("evaluation.score", "benchmark=bfcl_v3", f"predictions={tmp_path / 'p.jsonl'}"),
        f"output_dir={tmp_path / 'out'}",
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(s["id"], s["score"]) for s in results["per_sample"]] == [(row[0], row[2]) for row in rows]
    assert results["per_sample"][1]["error_type"] == "simple_function_checker:missing_required"
    assert results["per_sample"][2]["reason"] == "no text"
    assert results["metrics"] == {"accuracy": 0.5}
    assert [g["group"] for g in results["groups"]] == ["irrelevance", "multi_turn_base", "simple"]
