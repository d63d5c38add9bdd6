"""From a role to a value: prompts, answers that are read or rejected, the scripted model, the recipes."""

import dataclasses
import json
import pickle
import subprocess
import sys
from types import SimpleNamespace

import pytest
from commands import run_module
from hypothesis import given
from hypothesis import strategies as st
from llm_runs import request_of

from data_synth.llm import LlmSettings, open_model
from data_synth.llm import model as module
from data_synth.llm.completion import Completion, UnusableError, read_completion
from data_synth.llm.model import AnswerError, ask, parse_answer
from data_synth.llm.scripted import ScriptedModel, scripted
from data_synth.tasks.scheduling.settings import SchedulingSettings
from recipes.command import InputError, compose, typed

ANY: dict[str, object] = {}
TEXT = st.text(st.characters(exclude_categories=("Cs",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)
WRAPPERS = [
    "{}",
    "\n  {}\n",
    "```json\n{}\n```",
    "```\n{}\n```\nI hope this helps.",
    "Here it is:\n\n```json\n{}\n```",
    '<think>First {{"a": 1}}?</think>\n{}',
    "no opening tag, as vLLM's template leaves it</think>{}",
    "<think>```json\n[]\n```</think>```json\n{}\n```",
]


@given(value=JSON, wrapper=st.sampled_from(WRAPPERS), ascii_only=st.booleans())
def test_a_value_is_found_in_what_models_wrap_around_it(value, wrapper, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    if "</think>" in text:
        return
    assert parse_answer(wrapper.format(text.replace("```", "` ` `")), ANY) == json.loads(
        text.replace("```", "` ` `")
    )


@given(text=st.text() | st.text(st.sampled_from('{}[]",:`\\1ednulrtf \n')))
def test_whatever_a_model_says_is_a_value_or_an_answer_error(text):
    try:
        value = parse_answer(text, ANY)
    except AnswerError as error:
        assert error.reason == "answer_not_json"
    else:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # what is accepted can be written


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "answer_not_json"),
        ("Sure! {}", "answer_not_json"),
        ('{"a": 1', "answer_not_json"),
        ("{} {}", "answer_not_json"),
        ("NaN", "answer_not_json"),
        ('{"a": -Infinity}', "answer_not_json"),
        ("1e999", "answer_not_json"),
        ("9" * 5000, "answer_not_json"),
        ('"\\ud83d"', "answer_not_json"),
        ('{"\\udc00": 1}', "answer_not_json"),
        ("[" * 50_000, "answer_not_json"),
        ('{"a": "1"}', "answer_not_in_schema"),
        ('{"a": 1, "b": 2}', "answer_not_in_schema"),
        ("{}", "answer_not_in_schema"),
        ("null", "answer_not_in_schema"),
    ],
)
def test_what_is_rejected_and_by_which_word(text, reason):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    with pytest.raises(AnswerError) as caught:
        parse_answer(text, schema)
    assert caught.value.reason == reason and len(str(caught.value)) < 700


def test_an_answer_error_crosses_processes_whole():
    for error in (AnswerError("word", "more: of it"), AnswerError("word")):
        again = pickle.loads(pickle.dumps(error))
        assert (again.reason, again.detail, str(again)) == (error.reason, error.detail, str(error))
    assert str(AnswerError("word", "more")) == "word: more" and str(AnswerError("word")) == "word"


def test_deep_nesting_within_what_json_reads_is_no_crash():
    recursive = {"type": "array", "items": {"$ref": "#"}}
    for depth in (10, 200, 400, 900, 5000):
        try:
            parse_answer("[" * depth + "]" * depth, recursive)
        except AnswerError as error:
            assert depth > 10 and error.reason in ("answer_not_json", "answer_not_in_schema")


@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_completion_or_unusable(body):
    try:
        assert isinstance(read_completion(body), Completion)
    except UnusableError as error:
        assert error.reason.startswith("answer_")


def test_a_template_has_a_system_part_in_each_language_and_variables_may_look_like_its_line(
    tmp_path, monkeypatch
):
    (tmp_path / "prompts").mkdir()
    chinese = "{% if language == 'zh' %}\n系统 {{ x }}\n---\n用户\n{% else %}\n"
    source = chinese + "system {{ x }}\n---\nuser\n---\n{{ x }}\n{% endif %}\n"
    (tmp_path / "prompts" / "two_tongues.j2").write_text(source)
    monkeypatch.setattr(module, "resources", SimpleNamespace(files=lambda package: tmp_path))
    asked = []
    model = SimpleNamespace(complete=lambda request: asked.append(request) or "1")
    for language in ("zh", "en"):
        assert ask(model, "two_tongues", ANY, 0, language, x="a\n---\nb") == 1
    contents = [[message["content"] for message in request.messages] for request in asked]
    assert contents == [["系统 a\n---\nb", "用户"], ["system a\n---\nb", "user\n---\na\n---\nb"]]
    module._template.cache_clear()


@scripted("test_dice")
def throw_dice(variables, rng):
    return {"dice": [rng.randint(1, 6) for _ in range(variables["num"])]}


def dice(seed=0, prompt="throw", run_seed=0):
    request = dataclasses.replace(request_of(prompt, seed, "test_dice"), variables={"num": 20})
    return json.loads(ScriptedModel(run_seed).complete(request))["dice"]


def test_the_scripted_model_depends_on_request_and_seeds_alone():
    assert dice() == dice() != dice(seed=1)
    assert dice() != dice(prompt="Throw") and dice() != dice(run_seed=1)
    script = "import sys; sys.path[:0] = ['tests/unit', 'tests']; import test_llm_ask as t; print(t.dice())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str(dice()), done.stderr


def test_a_role_has_one_grammar():
    with pytest.raises(ValueError, match="test_dice has two grammars"):
        scripted("test_dice")(throw_dice)


def settings_from(*overrides):
    return typed(LlmSettings, compose("synth", ["output_dir=OUT", *overrides]).llm)


def test_both_choices_give_every_key():
    plain = settings_from()
    assert isinstance(open_model(plain, 0), ScriptedModel) and plain.cache.as_posix() == "OUT/requests.sqlite"
    endpoint = settings_from("llm=openai", "llm.model=m", "llm.base_url=http://h:1/v1")
    differing = {
        field.name
        for field in dataclasses.fields(LlmSettings)
        if getattr(plain, field.name) != getattr(endpoint, field.name)
    }
    assert differing == {"name", "model", "base_url"}


def test_lists_and_further_fields_on_the_command_line():
    given = settings_from(
        "llm=openai", "llm.model=m", "llm.base_url=[http://a:1/v1/,https://b/v1]", "+llm.extra_body.top_k=20"
    )
    assert given.base_urls == ("http://a:1/v1", "https://b/v1") and given.extra_body == {"top_k": 20}


def test_the_scripted_model_loads_no_client():
    script = "import sys, data_synth.llm.scripted; print('data_synth.llm.client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["llm.model=m"], "llm.base_url: missing; give it as llm.base_url=VALUE"),
        (["llm.base_url=http://h:1/v1"], "llm.model: missing; give it as llm.model=VALUE"),
    ],
)
def test_an_endpoint_needs_an_address_and_a_model(overrides, message):
    """As the commands read their recipes, so with the keys' whole names."""
    config = compose("synth", ["output_dir=OUT", "llm=openai", *overrides])
    with pytest.raises(InputError) as caught:
        typed(SchedulingSettings, config)
    assert str(caught.value) == message


def test_the_command_refuses_in_one_line(tmp_path):
    keys = ["llm=openai", "llm.model=m", "llm.base_url=nowhere"]
    done = run_module("data_synth", *keys, f"output_dir={tmp_path / 'out'}")
    message = "error: llm.base_url: not an address; give http://HOST:PORT/v1\n"
    assert (done.returncode, done.stderr) == (2, message)
    assert not (tmp_path / "out").exists()
