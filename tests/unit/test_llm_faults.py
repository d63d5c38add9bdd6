"""Each fault of a server: nothing lost, nothing poisoned, order kept."""

import json
import threading
import time
import tracemalloc
from types import SimpleNamespace

import pytest
from llm_runs import ask_all, cached_texts, open_openai, request_of
from misbehaving_server import (
    HANG_S,
    PASSING,
    MisbehavingServer,
    answer_twice,
    answers,
    completion,
    right_answer,
)

from data_synth.llm import model as module
from data_synth.llm.model import AnswerError, ask, parse_answer
from recipes.command import InputError

PROMPTS = [f"question {number}: 你好" for number in range(10)]


def expected(model, prompts):
    """The right answers by the server's rule, for the requests that the model would send."""
    return [right_answer(model._body(request_of(prompt))) for prompt in prompts]


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_changes_no_answer(tmp_path, name):
    def faults(body, number):
        return PASSING[name] if number == 1 and body["messages"][-1]["content"] in PROMPTS[::3] else None

    with MisbehavingServer(faults) as server:
        model = open_openai(tmp_path, server.base_url, timeout_s=1)
        right = expected(model, PROMPTS)
        assert ask_all(model, PROMPTS) == right
        assert cached_texts(tmp_path) == sorted(right)
        assert set(server.num_asked.values()) == {1, 2}
        num_asked = len(server.bodies)
        assert ask_all(model, PROMPTS) == right and len(server.bodies) == num_asked
        model.close()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("malformed JSON", "answer_malformed"),
        ("choices empty", "answer_malformed"),
        ("content null", "answer_empty"),
        ("finish_reason abort", "answer_unfinished"),
        ("10 MB", "answer_too_long"),
        ("500", "request_failed"),
        ("closes midway", "request_failed"),
    ],
)
def test_a_fault_of_one_request_that_stays_rejects_that_attempt_alone(tmp_path, name, reason):
    """The others are answered, so the server isn't to blame for good; the bad prompt isn't in the cache."""
    bad = threading.Event()

    def faults(body, number):
        is_bad = body["messages"][-1]["content"] == PROMPTS[3]
        if is_bad and number == 3:
            bad.set()
        return PASSING[name] if is_bad else None

    with MisbehavingServer(faults) as server:
        model = open_openai(tmp_path, server.base_url, backoff_s=0.1, max_wait_s=0.15)
        answered = threading.Event()

        def keep_answering():
            number = 0
            while not answered.is_set():
                model.complete(request_of(f"other {number}"))
                number += 1

        others = threading.Thread(target=keep_answering)
        others.start()
        try:
            with pytest.raises(AnswerError) as caught:
                model.complete(request_of(PROMPTS[3]))
        finally:
            answered.set()
            others.join()
        assert caught.value.reason == reason
        assert bad.is_set() and server.num_asked[PROMPTS[3]] == 5
        assert not any(PROMPTS[3] in text or "xxx" in text for text in cached_texts(tmp_path))
        model.close()


def test_an_answer_in_the_wrong_schema_is_rejected_and_kept(tmp_path):
    """It was paid for and is the answer to this request; the next attempt's seed makes another request."""
    wrong = answers(completion('{"other": 1}'))
    with MisbehavingServer(lambda body, number: wrong if body["seed"] == first_seed else None) as server:
        model = open_openai(tmp_path, server.base_url)
        first_seed = model._body(request_of("q", seed=1))["seed"]
        request = request_of("q", seed=1)
        for _ in range(2):
            with pytest.raises(AnswerError) as caught:
                parse_answer(model.complete(request), request.schema)
            assert caught.value.reason == "answer_not_in_schema"
        assert len(server.bodies) == 1
        again = request_of("q", seed=2)
        assert parse_answer(model.complete(again), again.schema)["echo"] == "q"
        model.close()


def test_answers_out_of_order_go_to_whom_they_belong(tmp_path):
    def faults(body, number):
        place = PROMPTS.index(body["messages"][-1]["content"])
        time.sleep(0.3 * (len(PROMPTS) - place) / len(PROMPTS))

    with MisbehavingServer(faults) as server:
        model = open_openai(tmp_path, server.base_url)
        assert ask_all(model, PROMPTS, num_threads=10) == expected(model, PROMPTS)
        assert server.most_under_way > 5
        model.close()


def test_a_server_that_answers_twice_answers_nobody_else(tmp_path):
    """Otherwise each answer would be the one to the question before."""
    with MisbehavingServer(lambda body, number: answer_twice if number == 1 else None) as server:
        model = open_openai(tmp_path, server.base_url, concurrency=1)
        right = expected(model, PROMPTS)
        assert ask_all(model, PROMPTS) == right and cached_texts(tmp_path) == sorted(right)
        model.close()


def test_concurrency_is_bounded(tmp_path):
    with MisbehavingServer(lambda body, number: time.sleep(0.02)) as server:
        model = open_openai(tmp_path, server.base_url, concurrency=3)
        ask_all(model, [f"q{number}" for number in range(40)], num_threads=20)
        assert server.most_under_way == 3
        assert len(server.connections) == 3  # kept alive
        model.close()


def test_a_server_that_dies_and_comes_back_loses_nothing(tmp_path):
    with MisbehavingServer(lambda body, number: time.sleep(0.02)) as server:
        model = open_openai(tmp_path, server.base_url, backoff_s=0.2, max_retries=8)
        prompts = [f"q{number}" for number in range(60)]
        found = []
        asking = threading.Thread(target=lambda: found.extend(ask_all(model, prompts)))
        asking.start()
        while len(server.bodies) < 20:
            time.sleep(0.005)
        server.die()
        time.sleep(0.5)
        server.revive()
        asking.join()
        assert found == expected(model, prompts)
        assert cached_texts(tmp_path) == sorted(found)
        model.close()


def test_a_server_that_stays_away_stops_the_run_and_the_same_command_goes_on(tmp_path):
    with MisbehavingServer() as server:
        model = open_openai(tmp_path, server.base_url)
        first = ask_all(model, PROMPTS[:5])
        server.die()
        started = time.monotonic()
        failed = ask_all(model, PROMPTS)
        assert time.monotonic() - started < 5
        assert failed[:5] == first  # the cache needs no server
        for error in failed[5:]:
            assert isinstance(error, InputError)
            assert str(error).startswith(f"llm.base_url={server.base_url}: ") and "goes on" in str(error)
        model.close()
        server.revive()
        model = open_openai(tmp_path, server.base_url)
        assert ask_all(model, PROMPTS) == expected(model, PROMPTS)
        assert len(server.bodies) == 5
        model.close()


def test_a_hanging_server_is_left_in_time(tmp_path):
    with MisbehavingServer(lambda body, number: PASSING["hangs after the headers"]) as server:
        model = open_openai(tmp_path, server.base_url, timeout_s=0.3, max_retries=1)
        started = time.monotonic()
        with pytest.raises(InputError, match=r"llm.timeout_s=0.3; gave up after 2 attempts"):
            model.complete(request_of("q"))
        assert time.monotonic() - started < 3 < HANG_S
        model.close()


def test_a_server_without_one_usable_answer_stops_the_run(tmp_path):
    with MisbehavingServer(lambda body, number: PASSING["an HTML page"]) as server:
        model = open_openai(tmp_path, server.base_url, give_up_after=3, max_retries=1)
        found = [ask_all(model, [prompt])[0] for prompt in PROMPTS[:4]]
        assert [type(error) for error in found] == [AnswerError, AnswerError, InputError, InputError]
        assert "no usable answer" in str(found[2])
        assert len(server.bodies) == 6  # once stopped, nothing is sent
        model.close()


@pytest.mark.parametrize("name", ["10 MB", "endless"])
def test_an_answer_beyond_the_limit_is_never_held_in_memory(tmp_path, name):
    long = answers(b'{"choices": "' + b"x" * 10_000_000 + b'"}') if name == "10 MB" else PASSING[name]
    with MisbehavingServer(
        lambda body, number: long if body["messages"][-1]["content"] == "long" else None
    ) as server:
        model = open_openai(tmp_path, server.base_url, max_retries=0, max_answer_bytes=100_000)
        model.complete(request_of("warm up"))
        tracemalloc.start()
        with pytest.raises(AnswerError, match="answer_too_long"):
            model.complete(request_of("long"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_500_000
        assert server.num_bytes < 30_000_000  # the little that sockets buffer of the endless one
        model.close()


def test_retry_after_is_honoured_by_all_requests(tmp_path):
    times = []

    def faults(body, number):
        times.append(time.monotonic())
        return PASSING["429 with Retry-After"] if len(times) == 1 else None

    with MisbehavingServer(faults) as server:
        model = open_openai(tmp_path, server.base_url, concurrency=1)
        assert ask_all(model, PROMPTS) == expected(model, PROMPTS)
        assert times[1] - times[0] >= 1.0
        model.close()


def test_a_wait_beyond_the_limit_stops_the_run(tmp_path):
    much = answers(b"", 429, **{"Retry-After": "3600"})
    with MisbehavingServer(lambda body, number: much) as server:
        model = open_openai(tmp_path, server.base_url)
        with pytest.raises(InputError, match=r"left alone for 3\d{3} s.*llm.max_wait_s"):
            model.complete(request_of("q"))
        assert len(server.bodies) == 1
        model.close()


@pytest.mark.parametrize(
    ("status", "begins", "has"),
    [
        (401, "llm.api_key_env=null", "wants a key"),
        (403, "llm.api_key_env=null", "wants a key"),
        (404, "llm.model=planner", "/v1"),
        (405, "llm.base_url=http", "OpenAI-compatible"),
        (302, "llm.base_url=http", "OpenAI-compatible"),
        (400, "llm.base_url=http", "llm.extra_body"),
        (422, "llm.base_url=http", "llm.max_tokens"),
    ],
)
def test_a_refusal_stops_the_run_and_names_the_key_to_change(tmp_path, status, begins, has):
    refusal = answers({"error": {"message": "because\nof this"}}, status)
    with MisbehavingServer(lambda body, number: refusal) as server:
        model = open_openai(tmp_path, server.base_url, structured_output="none")
        for _ in range(2):
            with pytest.raises(InputError) as caught:
                model.complete(request_of("q"))
            message = str(caught.value)
            assert message.startswith(begins) and has in message and f"HTTP {status}" in message
            assert "because" in message and "\n" not in message
        assert len(server.bodies) == 1
        assert cached_texts(tmp_path) == []
        model.close()


def test_a_request_that_is_refused_among_answered_ones_is_rejected_alone(tmp_path):
    """A prompt beyond the context length must not end a run of thousands of rows."""
    refusal = answers({"error": {"message": "maximum context length is 2048 tokens"}}, 400)
    with MisbehavingServer(
        lambda body, number: refusal if body["messages"][-1]["content"] == "long" else None
    ) as server:
        model = open_openai(tmp_path, server.base_url)
        model.complete(request_of("short"))
        with pytest.raises(AnswerError, match=r"request_refused.*maximum context"):
            model.complete(request_of("long"))
        model.complete(request_of("short too"))
        assert server.num_asked["long"] == 2  # with the schema and without
        model.close()


def test_ask_through_prompt_server_and_schema(tmp_path, monkeypatch):
    """The whole way: template, request, answer, value."""
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "greet.j2").write_text("Be kind.\n---\nGreet {{ who }} in {{ language }}.\n")
    monkeypatch.setattr(module, "resources", SimpleNamespace(files=lambda package: tmp_path))
    schema = {"type": "object", "properties": {"echo": {}, "seed": {}}, "additionalProperties": False}
    with MisbehavingServer() as server:
        model = open_openai(tmp_path, server.base_url)
        answer = ask(model, "greet", schema, 5, "zh", who="李\n---\nyou")
        assert answer["echo"] == "Greet 李\n---\nyou in zh."
        assert server.bodies[0]["messages"][0] == {"role": "system", "content": "Be kind."}
        asked = server.bodies[0]["response_format"]["json_schema"]
        assert asked["name"] == "greet" and asked["schema"] == schema
        assert json.loads(cached_texts(tmp_path)[0]) == answer
        model.close()
    module._template.cache_clear()
