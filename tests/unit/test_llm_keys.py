"""The key of an endpoint is sent, and stands nowhere else: whatever a run writes and says is searched for it."""

import copy
import json
import logging
import pickle
import subprocess
import sys
import traceback
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_runs import open_openai, request_of
from misbehaving_server import MisbehavingServer, answers, completion, right_answer

from data_synth.llm.key import ApiKey
from data_synth.llm.model import AnswerError
from recipes.command import InputError

SECRET = 'sk-test/7"Q\\zz+9%Z-very-secret'
VARIABLE = "LLM_TEST_KEY"
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=60)


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"  {SECRET}\n")
    return SECRET


def shapes(secret):
    """Ways in which a text could hold it."""
    quoted = json.dumps(secret)[1:-1]
    escaped = "".join(f"\\u{ord(character):04x}" for character in secret)
    return [secret, quoted, quoted.replace("/", "\\/"), urllib.parse.quote(secret, safe=""), escaped]


def echoed(secret, status):
    """An answer that has it everywhere: in the body, as JSON writes it, in headers."""
    text = " ".join(["your key", *shapes(secret)])
    return answers(
        text.encode() + json.dumps({"error": {"message": text}}).encode(), status, **{"X-Echo": secret}
    )


ECHOES = {
    **{
        f"status {status}": echoed(SECRET, status)
        for status in (400, 401, 403, 404, 422, 429, 500, 503, 302, 200)
    },
    "in the text": answers(completion(f"I was called with {SECRET}.")),
    "escaped in the text": answers(completion(f"I was called with {json.dumps(SECRET)}.")),
    "in the reasoning": answers(
        lambda body: completion(right_answer(body), reasoning_content=f"Key {SECRET}?")
    ),
    "as finish_reason": answers(completion("x", SECRET)),
}


def assert_nowhere(secret, folder, *said):
    """``secret`` is in no file below ``folder`` and in none of the texts, in no shape."""
    written = [path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()]
    assert written
    for text in (*written, *said):
        assert not [shape for shape in shapes(secret) if shape.lower() in text.lower()], text


@pytest.mark.parametrize("name", ECHOES)
def test_a_server_that_echoes_the_key_finds_no_listener(tmp_path, secret, name, caplog, capfd):
    caplog.set_level(logging.DEBUG, "data_synth")
    with MisbehavingServer(lambda body, number: ECHOES[name]) as server:
        model = open_openai(
            tmp_path, server.base_url, api_key_env=VARIABLE, max_retries=2, backoff_s=0.001, max_wait_s=0.001
        )
        with pytest.raises((InputError, AnswerError)) as caught:
            model.complete(request_of("q"))
        said = [
            "".join(traceback.format_exception(caught.value)),
            repr(model),
            str(vars(model)),
            str(model.usage()),
        ]
        assert server.headers[0]["Authorization"] == f"Bearer {secret}"
        with MisbehavingServer() as healthy:  # the cache then holds something that could be searched
            sound = open_openai(tmp_path, healthy.base_url, api_key_env=VARIABLE)
            assert sound.complete(request_of("q"))
            sound.close()
        assert_nowhere(secret, tmp_path, *said, caplog.text, *capfd.readouterr())
        model.close()


@pytest.mark.parametrize(
    "value", ["", "abc", "two words", "line\nbreak-in-the-key", "schlüssel-mit-umlaut", "tab\tin-the-key"]
)
def test_what_can_be_no_key_is_refused_unseen(tmp_path, monkeypatch, value):
    """httpx would show an illegal header's value."""
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(InputError, match=rf"^llm\.api_key_env={VARIABLE}: .*export") as caught:
        open_openai(tmp_path, api_key_env=VARIABLE)
    assert not value or value not in str(caught.value)


def test_a_variable_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=f"llm.api_key_env={VARIABLE}: no such environment variable"):
        open_openai(tmp_path, api_key_env=VARIABLE)


def test_a_key_given_in_place_of_its_variable_is_not_repeated(tmp_path):
    with pytest.raises(InputError, match="name of an environment variable") as caught:
        open_openai(tmp_path, api_key_env=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("base_url", [f"http://user:{VARIABLE}@host/v1", f"http://host/v1?key={VARIABLE}"])
def test_credentials_in_an_address_are_refused_unseen(tmp_path, base_url):
    with pytest.raises(InputError, match=r"llm\.base_url: holds a password") as caught:
        open_openai(tmp_path, base_url)
    assert VARIABLE not in str(caught.value)


@given(secret=KEYS, before=st.text(), after=st.text())
def test_hidden_in_every_shape(secret, before, after):
    key = ApiKey(secret)
    for shape in shapes(secret):
        text = before + shape + after
        assert key.is_in(text)
        assert shape not in key.hide(text).replace("[key]", "\0")


def test_no_key_hides_nothing():
    assert ApiKey("").hide("text") == "text" and not ApiKey("").is_in("text") and ApiKey("").headers() == {}


def test_it_shows_itself_nowhere_and_is_not_pickled(tmp_path, secret):
    key = ApiKey(secret)
    assert secret not in repr(key) + str(key) + f"{key}"
    for write in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            write(key)
    model = open_openai(tmp_path, api_key_env=VARIABLE)
    assert secret.encode() not in pickle.dumps(model)
    assert pickle.loads(pickle.dumps(model)).name == model.name


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from llm_runs import open_openai, request_of
model = open_openai(Path(sys.argv[2]), sys.argv[3], api_key_env=sys.argv[4])
model.complete(request_of("q"))
"""


@pytest.mark.parametrize("status", [200, 401, 500])
def test_an_uncaught_error_of_a_process_does_not_print_it(tmp_path, secret, status):
    """The whole of standard output and error, traceback included."""
    fault = echoed(secret, status) if status != 200 else None
    with MisbehavingServer(lambda body, number: fault) as server:
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            str(Path(__file__).parent),
            str(tmp_path),
            server.base_url,
            VARIABLE,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert server.headers[0]["Authorization"] == f"Bearer {secret}"
    assert done.returncode == (0 if status == 200 else 1)
    assert ("InputError" in done.stderr) == (status != 200)
    assert_nowhere(secret, tmp_path, done.stdout, done.stderr)
