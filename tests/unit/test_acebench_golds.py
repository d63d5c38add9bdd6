"""ACEBench's own golds, right and changed: the official evaluator's verdicts, figures and prompts."""

import hashlib
import json

import pytest
from acebench_golds import DATA, MUTATIONS, calls, golds, rows, write

from evaluation.benchmarks import Judged, Source, Verdict
from evaluation.benchmarks._acebench_calls import UnreadableError, first_brackets, read_answer
from evaluation.benchmarks._acebench_checker import right
from evaluation.benchmarks.acebench import CATEGORIES, FAMILIES, load

# Golds that the official checker refuses as parsed calls, and how many it refuses as texts (29 + 8 = 37 of 1,644).
REFUSED = {
    "en": ["normal_single_turn_parallel_function_42", "normal_preference_40"],
    "zh": [
        "normal_single_turn_parallel_function_45",
        "normal_single_turn_parallel_function_80",
        "normal_similar_api_2",
        "normal_similar_api_22",
        "normal_atom_list_28",
        "normal_atom_object_short_1",
    ],
}
REFUSED_AS_TEXT = {"en": 29, "zh": 8}
# Official verdicts on changed golds (chenchen0103/ACEBench 56dd66c, run on Python 3.12): how many are accepted, and
# the SHA-256 of the verdicts 0 and 1 in the order of ``golds``.
OFFICIAL = {
    "en": {
        "none": (796, "dde5e1cd57937830"),
        "drop": (283, "21f0e6713aad7b6f"),
        "rename": (2, "e6074c43ab6f11ee"),
        "retype": (2, "e6074c43ab6f11ee"),
        "reorder": (796, "dde5e1cd57937830"),
        "unbalance": (0, "e69e95b16a930283"),
        "embellish": (600, "84199de540ebfc1b"),
        "reckon": (796, "dde5e1cd57937830"),
    },
    "zh": {
        "none": (811, "1356c298dac534e2"),
        "drop": (177, "4cfb310253e456b8"),
        "rename": (0, "9f4625c6d60141c3"),
        "retype": (0, "9f4625c6d60141c3"),
        "reorder": (811, "1356c298dac534e2"),
        "unbalance": (0, "9f4625c6d60141c3"),
        "embellish": (596, "950c4f859ee92f09"),
        "reckon": (811, "1356c298dac534e2"),
    },
}
# SHA-256 of the official prompts, as JSON one after another in the order of the categories.
PROMPTS = {
    "en": "54811baacd56e383f27739121857c02f41d01544d5f56446df3a51f0fa69825e",
    "zh": "96508872693255831ba05b8f1e0fad4b2dd726a7fe9c780cbe66883b45967566",
}


@pytest.fixture(scope="module", params=["en", "zh"])
def official(request):
    if not DATA.is_dir():
        pytest.skip(f"no ACEBench data in {DATA}")
    return request.param, load(Source(subtask=None, data=str(DATA), language=request.param))


def test_golds_as_parsed_calls_are_accepted_but_for_those_officially_refused(official):
    language, benchmark = official
    refused = [
        question["id"]
        for _, question, _, gold in golds(language)
        if not right(question["function"], [{name: given} for name, given in calls(gold)], gold)[0]
    ]
    assert refused == REFUSED[language]
    for category in FAMILIES["agent"]:
        for question, answer in rows(language, category):
            verdict = benchmark.score(question["id"], {"result": answer["ground_truth"], "process": []})
            assert (verdict.score, verdict.details) == (1, {"process": 1.0})
    num_samples = sum(len(rows(language, category)) for category in (*FAMILIES["normal"], *FAMILIES["agent"]))
    assert (num_samples - len(refused), num_samples) == {"en": (871, 873), "zh": (861, 867)}[language]


def test_golds_as_texts_are_refused_where_taking_out_whitespace_changes_them(official):
    language, _ = official
    refused = []
    for category, question, _, gold in golds(language):
        text = write(calls(gold))
        answer = "".join(text.split()) if "multi_turn" in category else first_brackets(text)
        try:
            accepted, _ = right(question["function"], read_answer(answer), gold)
        except UnreadableError:
            accepted = False
        refused += [] if accepted else [question["id"]]
    assert set(REFUSED[language]) < set(refused)
    assert len(refused) == REFUSED_AS_TEXT[language]
    assert all("multi_turn" in name for name in set(refused) - set(REFUSED[language]))


@pytest.mark.parametrize("change", MUTATIONS)
def test_changed_golds_get_the_official_verdicts(official, change):
    language, benchmark = official
    verdicts = "".join(
        str(benchmark.score(question["id"], MUTATIONS[change](gold)).score)
        for _, question, _, gold in golds(language)
    )
    told = (verdicts.count("1"), hashlib.sha256(verdicts.encode()).hexdigest()[:16])
    assert told == OFFICIAL[language][change]


def test_prompts_are_the_official_ones(official):
    language, benchmark = official
    digest = hashlib.sha256()
    for sample_id in benchmark.ids:
        if not sample_id.startswith("agent"):
            digest.update(json.dumps(benchmark.prompt(sample_id), ensure_ascii=False).encode())
    assert digest.hexdigest() == PROMPTS[language]


def test_special_golds_said_in_the_official_words_are_right(official):
    language, benchmark = official
    for category in FAMILIES["special"]:
        for question, answer in rows(language, category):
            truth = answer["ground_truth"]
            if category == "special_irrelevant":
                text = truth
            elif category == "special_incomplete":
                text = "".join(
                    f"Missing necessary parameters ({', '.join(v)}) for the api ({k})"
                    for k, v in truth.items()
                )
            else:
                text = "".join(
                    f"There is incorrect value ({', '.join(v)}) for the parameters ({k})"
                    for k, v in truth.items()
                )
            assert benchmark.score(question["id"], text).score == 1
            assert benchmark.score(question["id"], text.upper()).score == 0
            assert benchmark.score(question["id"], text.replace("i", "")).score == 0


def test_figures_are_put_together_as_officially(official):
    _, benchmark = official
    wrong = {
        "normal_multi_turn_user_switch_7_1",
        "normal_atom_bool_3",
        "special_irrelevant_1",
        "agent_multi_step_2",
    }
    judged = [
        Judged(name, Verdict(float(name not in wrong), "", {"process": 0.5 if name in wrong else 1.0}))
        for name in benchmark.ids
    ]
    figures = benchmark.metrics(judged)
    normal = round((10 + 0.98 + 0.98) / 12, 3)  # 1 of 50 dialogues, 1 of 50 samples
    special = round((2 + 49 / 50) / 3, 3)
    agent = round((1 + 0.95) / 2, 3)
    overall = round(special * 0.2676 + normal * 0.578 + agent * 0.1545, 3)
    assert [figures[name] for name in ("overall", "normal", "special", "agent")] == [
        overall,
        normal,
        special,
        agent,
    ]
    assert (figures["agent_multi_step"], figures["agent_multi_step_process"]) == (0.95, 0.975)
    assert figures["multi_turn"] == 0.99
    assert set(figures) == {
        "overall",
        *FAMILIES,
        *CATEGORIES,
        "agent_multi_step_process",
        "agent_multi_turn_process",
    }
