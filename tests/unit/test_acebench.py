"""ACEBench's rules on samples of our own, and on anything at all without an exception."""

import json
import time

import pytest
from commands import must_run
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.benchmarks import Judged, Source, Verdict
from evaluation.benchmarks._acebench_calls import UnreadableError, read_answer, read_command
from evaluation.benchmarks._acebench_states import milestone_share, states_differ
from evaluation.benchmarks.acebench import CATEGORIES, load
from recipes.command import InputError


def question(name, **changes):
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "wet": {"type": "boolean"},
            "stops": {"type": "array", "items": {"type": "string"}},
            "who": {"type": "object", "properties": {}},
        },
        "required": ["city"],
    }
    functions = [{"name": "trip", "description": "", "parameters": schema}]
    return {"id": name, "question": "user: go\n", "function": functions, "time": "today"} | changes


GOLD = {
    "trip_1": {
        "city": "New York",
        "days": 3,
        "wet": True,
        "stops": ["A B"],
        "who": {"name": "Ann", "age": 4},
    },
    "trip_2": {"city": "Rome"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All categories with two samples each, of our own."""
    root = tmp_path_factory.mktemp("data_all")
    answers = root / "data_en" / "possible_answer"
    answers.mkdir(parents=True)
    for category in CATEGORIES:
        names = [f"{category}_0_{i}" if "multi_turn_user" in category else f"{category}_{i}" for i in (0, 1)]
        truth = {"special_incomplete": {"trip": ["city"]}, "special_error_param": {"days": ["three"]}}.get(
            category, GOLD
        )
        agent = {"initial_config": {"BaseApi": {"wifi": True}}, "involved_classes": ["BaseApi"]}
        gold = {"ground_truth": truth}
        if category.startswith("agent"):
            gold = {"ground_truth": [{"BaseApi": {"wifi": True, "logged_in": True}}], "mile_stone": ["[a()]"]}
        lines = [question(name, **(agent if category.startswith("agent") else {})) for name in names]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (root / "data_en" / f"data_{category}.json").write_text(text)
        text = "".join(json.dumps({"id": name, **gold}) + "\n" for name in names)
        (answers / f"data_{category}.json").write_text(text)
    return root


@pytest.fixture(scope="module")
def small(folder):
    return load(Source(subtask=None, data=str(folder), language="en"))


FULL = "trip(city='New-York.', days=3, wet=True, stops=['a b'], who={'name': 'Ann', 'age': 14})"


@pytest.mark.parametrize(
    ("first", "score"),
    [
        (FULL, 1),
        (FULL.replace("New-York.", "in NEW YORK city"), 1),  # contained
        (FULL.replace("New-York.", "York"), 0),
        (FULL.replace("days=3", "days=9999"), 1),  # numbers by type alone
        (FULL.replace("days=3", "days=7*(2-1)"), 1),
        (FULL.replace("days=3", "days='3'"), 0),
        (FULL.replace("days=3", "days=3.0"), 1),  # equal to the gold, of whatever type
        (FULL.replace("days=3", "days=4.0"), 0),
        (FULL.replace("wet=True", "wet='false'"), 1),  # booleans too
        (FULL.replace("wet=True", "wet=true"), 1),
        (FULL.replace("wet=True", "wet=1"), 1),
        (FULL.replace("wet=True", "wet=2"), 0),
        (FULL.replace("stops=['a b']", "stops=['a b', 'c']"), 0),
        (FULL.replace("stops=['a b']", "stops=('a b',)"), 0),
        (FULL.replace("'age': 14", "'age': 15"), 0),  # 14 contains 4, 15 doesn't
        (FULL.replace("'age': 14", "'age': {'years': 4}"), 1),  # and so does any text of it
        (FULL.replace(", 'age': 14", ""), 0),
        (FULL.replace("who={'name': 'Ann', 'age': 14}", "who=None"), 0),
        (FULL.replace("city='New-York.', ", ""), 0),
        (FULL.replace("days=3", "days=3, size=1"), 0),
        (FULL.replace("trip(", "trip('by position', "), 1),
        (FULL.replace("trip(", "tour("), 0),
        ("trip()", 0),
        (FULL.replace(", days=3, wet=True", ""), 1),  # what isn't required may be missing
    ],
)
def test_what_a_call_may_differ_in(small, first, score):
    for text in (f"[{first}, trip(city='Rome')]", f"So: [trip(city='Rome'), {first}] ]["):
        assert small.score("normal_atom_list_0", text).score == score, small.score("normal_atom_list_0", text)


def test_a_turn_is_judged_without_its_whitespace_and_needs_no_brackets(small):
    text = f"{FULL.replace('a b', 'AB')}, trip(city='Rome')"
    turn, single = "normal_multi_turn_user_switch_0_1", "normal_similar_api_0"
    assert [small.score(name, text.replace("AB", "A B")).score for name in (turn, single)] == [1, 0]
    assert [small.score(name, f"[{text}]").score for name in (turn, single)] == [1, 1]
    assert small.score(turn, f"Certainly: [{text}]").score == 0


def test_a_dialogue_is_right_where_all_its_turns_are_each_time(small):
    def judged(*rights):
        names = ["normal_multi_turn_user_switch_0_0", "normal_multi_turn_user_switch_0_1"] * 3
        each = enumerate(zip(names, rights, strict=True))
        return [Judged(name, Verdict(score, ""), number // 2) for number, (name, score) in each]

    assert small.metrics(judged(1, 1, 1, 0, 0, 1)) == {"accuracy": 0.333}
    assert small.metrics(judged(1, 1, 1, 1, 1, 1)) == {"accuracy": 1.0}


def test_a_dialogue_counts_where_all_its_turns_are_judged(small):
    first, second = "normal_multi_turn_user_switch_0_0", "normal_multi_turn_user_switch_0_1"
    judged = [
        Judged(first, Verdict(1, ""), 0),
        Judged(second, Verdict(1, ""), 1),
        Judged(first, Verdict(1, ""), 2),
    ]
    assert small.metrics(judged) == {}
    assert small.metrics([*judged, Judged(second, Verdict(0, ""), 2)]) == {"accuracy": 0.0}
    other = Judged("normal_preference_0", Verdict(1, ""))
    assert small.metrics([*judged, other]) == {"normal_preference": 1.0}


def test_no_overall_without_every_category(small):
    figures = small.metrics([Judged(name, Verdict(1, "")) for name in small.ids if "agent" not in name])
    assert "overall" not in figures and "agent" not in figures
    assert figures["normal"] == figures["special"] == 1.0


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("f(a=-5, b=+5, c=~5, d=not True)", {"a": -5, "b": -5, "c": -5, "d": -1}),  # all of them negate
        ("f(a=2**10/4 - 1, b='x' * 2 + 'y', c=[1] * 2 + [3])", {"a": 255.0, "b": "xxy", "c": [1, 1, 3]}),
        ("f(a=null, b=x[0], c=..., d=b'x')", {"a": "null", "b": "x[0]", "c": "...", "d": b"x"}),
        ("f(1, 2, a=g(), b=h.i(c=1))", {"a": {"g": {}}, "b": {"h.i": {"c": 1}}}),
        ("f(a={1: (2, 'x')}, a={'k': []})", {"a": {"k": []}}),
    ],
)
def test_arguments_are_read_as_officially(text, arguments):
    assert read_answer(f"[{text}]") == [{"f": arguments}]
    assert read_answer(f"{{{text}}}") == [{"f": arguments}]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "f(a=1)",
            "[f]",
            "[1]",
            "[x for x in y]",
            "[f(a=lambda: 1)]",
            "[f(a=1 < 2)]",
            "[f(a=b.c)]",
            "[f(a=-'x')]",
        ),
        *("[f(a=1/0)]", "[f(a=len('x')+1)]", "[f(a=9**9**9)]", "[f(a=1<<10**9)]", "[f(a='%99999999d'%(1))]"),
        *(
            "[f(a='x'*9**9)]",
            "[f(a=[[1]*99]*99*99*99)]",
            "[f(a={[]: 1})]",
            "[f(a={1})]",
            "[f(a=2024-01-01)]",
            "",
        ),
        *("[f(a=__import__('os').system('true')+1)]", "[f(a='\ud800')]", "[f(\0)]", f"[f(a={'9' * 5000})]"),
    ],
)
def test_what_cannot_be_read_is_said_so(text):
    with pytest.raises(UnreadableError):
        read_answer(text)


def test_commands_may_lack_their_brackets():
    for text in ("[f(a=1)]", "f(a=1)", " f(a=1)]", "['f(a=1)']"):
        assert read_command(text) == [{"f": {"a": 1}}]
    assert read_command("hello") == read_command("[1 + 1]") == []
    assert read_command("f(a=now())") == [{"f": {"a": "now()"}}]
    for text in ("", "finish conversation", "[f(), 1]"):
        with pytest.raises(UnreadableError):
            read_command(text)


def test_states_are_compared_with_the_oddities_kept():
    gold = [
        {"BaseApi": {"wifi": True}},
        {"Misspelt": {"x": 1}},
        {"MessageApi": {"inbox": {"1": {"text": "a"}}}},
    ]
    good = [
        {"MessageApi": {"inbox": {"1": {"text": "a"}, "2": {"text": "more"}}}},
        {"BaseApi": {}},
        {"Other": {}},
    ]
    assert states_differ(gold, good) == ""
    assert states_differ(gold, good[:2]) == "2 classes used, the gold has 3"
    assert states_differ(gold, [good[0], {"BaseApi": {"wifi": 1}}, {"Other": {}}]) == ""
    for state in ({"wifi": False}, {"new": 1}):
        assert states_differ(gold, [good[0], {"BaseApi": state}, {"Other": {}}]).startswith("BaseApi: ")
    for inbox in ({}, {"1": {}}, [], None, {"1": {"text": "b"}}):
        assert (
            states_differ(gold, [{"MessageApi": {"inbox": inbox}}, *good[1:]])
            == "MessageApi: inbox isn't as in the gold"
        )
    for unnamed in ([{}, {}, {}], [{"a": 1}] * 3, [good[0], {"BaseApi": {"wifi": False}, "Other": {}}, {}]):
        assert states_differ(gold, unnamed) == ""
    for junk in (None, [], [1, 2, 3], [*good[:2], 3], [good[0], {"BaseApi": 1}, {}], "abc", {"a": {}}):
        assert states_differ(gold, junk)


def test_milestones_count_in_their_order():
    assert milestone_share(["a", "b", "c"], ["a", " b ", "x", "c"]) == 1
    assert milestone_share(["a", "b", "c"], ["a", "c", "b"]) == 2 / 3
    assert milestone_share(["a", "b", "c"], ["b", "c"]) == 0  # the search for a uses up the rest
    assert milestone_share([["a", "b", "c"], ["z", "a"]], ["a", "b"]) == 0.667
    assert milestone_share([[]], []) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["trip", "city", "result", "process", "BaseApi", "wifi"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
WORDS = (
    *(
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "trip",
        "city",
        "=",
        ",",
        "'",
        '"',
        "1",
        "+",
        "-",
        "**",
        "<<",
        ":",
        ".",
        "\\",
    ),
    *(
        "f'",
        "lambda",
        "not",
        "None",
        "*",
        "%",
        "days",
        "who",
        "'x'",
        "é",
        "\ud800",
        "\0",
        "...",
        " ",
        "\n",
        "9" * 40,
    ),
)
TOKENS = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)


@settings(max_examples=100)
@given(st.text() | TOKENS | JSON)
def test_anything_gets_a_verdict(small, prediction):
    for name in small.ids[::2]:
        verdict = small.score(name, prediction)
        assert verdict.score in (0, 1) and verdict.reason


@settings(max_examples=50)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"trip": st.dictionaries(st.sampled_from(["city", "days", "who", "stops"]), JSON)}
        ),
        min_size=2,
        max_size=2,
    )
)
def test_any_arguments_get_a_verdict(small, told):
    assert small.score("normal_atom_bool_0", told).score in (0, 1)


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 50_000, "[]" * 25_000, "[f(a=" + "1+" * 25_000 + "1)]", "[f(a=" + "-" * 50_000 + "1)]"),
        *("[" + "a." * 25_000 + "b()]", "[f(a=x" + "[0]" * 17_000 + ")]", "[\n" * 25_000, "[x]\n" * 12_500),
        *(
            "[" + "f(a=1)," * 7_000 + "]",
            "[f(a=" + "{1:" * 190 + "1" + "}" * 190 + ")]",
            "[f(a='" + "\\d" * 25_000 + "')]",
        ),
    ],
)
def test_long_answers_take_linear_time(small, text):
    start = time.process_time()
    for name in ("normal_atom_bool_0", "normal_multi_turn_user_adjust_0_0", "special_incomplete_0"):
        assert small.score(name, text).score == 0
    assert time.process_time() - start < 5


def test_totals_are_added_one_after_another_without_making_up_for_rounding(small):
    processes = [*[0.1] * 7, 0.2]  # their mean is 0.1125, or a little less
    judged = [
        Judged("agent_multi_step_0", Verdict(0, "", {"process": process}), trial)
        for trial, process in enumerate(processes)
    ]
    assert small.metrics(judged) == {"accuracy": 0.0, "process": 0.112}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"language": None}, "language=None"),
        ({"language": "fr"}, "choose en or zh"),
        ({"data": None}, "data=null"),
        ({"subtask": "easy"}, "subtask=easy"),
        ({"language": "zh"}, "No such file"),
        ({"options": {"user": "me", "user_role": "system", "most_messages": 1}}, "options.user=me"),
        (
            {
                "options": {"user": "none", "user_role": "system", "most_messages": 1},
                "subtask": "agent_multi_turn",
            },
            "need a user",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused(folder, changes, told):
    with pytest.raises(InputError, match=told):
        load(Source(**({"subtask": None, "data": str(folder), "language": "en"} | changes)))


def test_parts_are_chosen_by_name_and_without_a_user_dialogues_of_agents_are_left_out(folder):
    def part(subtask, **options):
        return load(Source(subtask=subtask, data=str(folder / "data_en"), language="en", options=options))

    assert len(part("atom").ids) == 12 and len(part(None).ids) == 34
    assert part("special_irrelevant").ids == ("special_irrelevant_0", "special_irrelevant_1")
    assert [part(name).roles for name in ("agent", "normal")] == [{"user"}, set()]
    alone = part("agent", user="none", user_role="system", most_messages=40)
    assert alone.ids == ("agent_multi_step_0", "agent_multi_step_1") and not alone.roles


def test_given_predictions_are_scored_from_the_command_line(folder, tmp_path):
    predictions = [
        ("normal_atom_bool_1", f"[{FULL}, trip(city='Rome')]"),
        ("special_error_param_0", "There is incorrect value (three)"),
        ("agent_multi_step_0", {"result": [{"BaseApi": {"wifi": True, "logged_in": True}}], "process": []}),
        ("agent_multi_step_0", {"result": [], "process": ["[a()]"]}),
        ("agent_multi_step_1", [{"BaseApi": {"wifi": True, "logged_in": True}}]),
        ("agent_multi_step_1", None),
    ]
    path = tmp_path / "predictions.jsonl"
    path.write_text(
        "".join(json.dumps({"id": name, "prediction": told}) + "\n" for name, told in predictions)
    )
    arguments = (
        "benchmark=acebench",
        f"predictions={path}",
        f"data={folder}",
        f"output_dir={tmp_path / 'out'}",
    )
    must_run("evaluation.score", *arguments, "language=en")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["score"] for row in results["per_sample"]] == [1, 1, 1, 0, 1, 0]
    assert results["per_sample"][3]["process"] == 1.0
    assert results["metrics"]["normal_atom_bool"] == 1.0
    assert results["metrics"]["agent_multi_step_process"] == 0.75
