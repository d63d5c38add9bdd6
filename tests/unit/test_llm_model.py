"""The endpoint's model: what is sent, what an answer is kept under, what it costs, and copies in other processes."""

import dataclasses
import json
import multiprocessing
import pickle
import threading
import time

import pytest
from llm_runs import ask_all, cached_texts, open_openai, request_of, settings_of
from misbehaving_server import PASSING, SCHEMA, USAGE, MisbehavingServer, answers, completion, right_answer

from data_synth.llm.fleet import Fleet
from data_synth.llm.model import AnswerError
from data_synth.llm.settings import MACHINE_LLM_KEYS, LlmSettings
from recipes.command import InputError

NO_SCHEMA = answers({"error": {"message": "response_format is not supported"}}, 400)

# Another value for every key.
OTHER = {
    "base_url": ("http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"),
    "model": "other",
    "api_key_env": "LLM_TEST_KEY",
    "temperature": 0.0,
    "top_p": 0.9,
    "max_tokens": 17,
    "thinking": False,
    "structured_output": "none",
    "extra_body": {"top_k": 5},
    "max_answer_bytes": 5000,
    "concurrency": 7,
    "timeout_s": 3.0,
    "connect_timeout_s": 3.0,
    "max_retries": 1,
    "backoff_s": 3.0,
    "max_wait_s": 3.0,
    "give_up_after": 3,
    "price_input": 1.0,
    "price_output": 1.0,
    "budget_tokens": 5,
    "budget": 1.0,
}


def key_of(folder, request=None, seed=0, **keys):
    return open_openai(folder, seed=seed, **keys).cache_key(request or request_of("q"))


def test_every_key_that_shapes_a_request_makes_another_one(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_TEST_KEY", "sk-anything")
    assert OTHER.keys() | {"name", "cache"} == {field.name for field in dataclasses.fields(LlmSettings)}
    plain = key_of(tmp_path)
    extra = {"budget": {"price_input": 1.0}}
    changed = {
        key for key, value in OTHER.items() if key_of(tmp_path, **extra.get(key, {}), **{key: value}) != plain
    }
    assert changed == OTHER.keys() - set(MACHINE_LLM_KEYS) - {"max_answer_bytes"}
    assert set(MACHINE_LLM_KEYS) <= OTHER.keys() | {"cache"}


def test_every_part_of_a_request_makes_another_one(tmp_path):
    plain = request_of("q")
    others = [
        request_of("q", seed=1),
        request_of("Q"),
        request_of("q", schema={"type": "object"}),
        dataclasses.replace(plain, messages=({"role": "system", "content": "q"},)),
        dataclasses.replace(plain, messages=(*plain.messages, *plain.messages)),
    ]
    keys = [key_of(tmp_path, request) for request in (plain, *others)] + [key_of(tmp_path, seed=1)]
    assert len(set(keys)) == len(keys)
    same = dataclasses.replace(plain, role="another", variables={"x": 1})
    reordered = dataclasses.replace(plain, schema=dict(reversed(SCHEMA.items())))
    assert key_of(tmp_path, same) == key_of(tmp_path, reordered) == keys[0]


def test_the_key_is_the_same_in_every_process_and_release(tmp_path):
    """Paid answers are lost when it changes: raise KEY_VERSION only for a reason."""
    assert key_of(tmp_path) == "ecb8dcb4180a3cf926c2aea210a047701a03595adb03273c6c2946527071f629"


def test_what_is_sent(tmp_path):
    given = {"temperature": 0.3, "top_p": 0.8, "max_tokens": 50, "thinking": True, "extra_body": {"top_k": 4}}
    with MisbehavingServer() as server:
        model = open_openai(tmp_path, server.base_url, **given)
        model.complete(request_of("你好", role="a role/of mine"))
        model.close()
        (body,), (headers,) = server.bodies, server.headers
    assert 0 <= body.pop("seed") < 2**31
    schema = {"name": "a_role_of_mine", "schema": SCHEMA, "strict": True}
    assert body == {
        "model": "planner",
        "messages": [{"role": "user", "content": "你好"}],
        "temperature": 0.3,
        "top_p": 0.8,
        "max_tokens": 50,
        "top_k": 4,
        "chat_template_kwargs": {"enable_thinking": True},
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    assert "Authorization" not in headers


def test_what_is_null_is_not_sent(tmp_path):
    nothing = dict.fromkeys(("temperature", "top_p", "max_tokens", "thinking"))
    with MisbehavingServer() as server:
        model = open_openai(tmp_path, server.base_url, structured_output="none", **nothing)
        model.complete(request_of("q"))
        model.close()
        assert server.bodies[0].keys() == {"model", "messages", "seed"}


def test_auto_stops_asking_for_a_schema_that_is_refused(tmp_path):
    other = {"type": "object", "properties": {"echo": {}}}

    def faults(body, number):
        asked = body.get("response_format")
        return NO_SCHEMA if asked and asked["json_schema"]["schema"] == SCHEMA else None

    with MisbehavingServer(faults) as server:
        model = open_openai(tmp_path, server.base_url)
        for prompt in "abc":
            model.complete(request_of(prompt))
        model.complete(request_of("d", schema=other))
        assert ["response_format" in body for body in server.bodies] == [True, False, False, False, True]
        model.close()
        strict = open_openai(tmp_path, server.base_url, structured_output="json_schema")
        assert strict.complete(request_of("a"))  # from the cache: what is asked for is the same
        with pytest.raises(InputError, match=r"llm\.structured_output"):
            strict.complete(request_of("new"))
        strict.close()


def test_tokens_and_prices(tmp_path):
    prices = {"price_input": 2.0, "price_output": 10.0}
    cost = (100 * 2.0 + 20 * 10.0) / 1e6

    def faults(body, number):
        return answers(completion(None)) if body["messages"][-1]["content"] == "q0" and number == 1 else None

    with MisbehavingServer(faults) as server:
        for _ in range(2):  # the second run finds everything, and goes on counting
            model = open_openai(tmp_path, server.base_url, **prices)
            ask_all(model, [f"q{number}" for number in range(10)])
            used = model.usage()
            model.close()
    assert USAGE["prompt_tokens"] == 100 and USAGE["completion_tokens"] == 20
    assert used == {
        "model": "planner",
        "requests": 11,
        "unusable": 1,
        "prompt_tokens": 1100,
        "completion_tokens": 220,
        "cost": round(11 * cost, 6),
        "cached_requests": 10,
        "cached_prompt_tokens": 1000,
        "cached_completion_tokens": 200,
    }
    assert json.loads(json.dumps(used)) == used


@pytest.mark.parametrize(
    ("limit", "num"),
    [
        ({"budget_tokens": 1200}, 10),
        ({"budget_tokens": 1201}, 11),
        ({"budget": 0.002, "price_input": 1.0, "price_output": 5.0}, 10),
    ],
)
def test_a_budget_stops_cleanly_and_more_of_it_goes_on(tmp_path, limit, num):
    prompts = [f"q{number}" for number in range(30)]
    with MisbehavingServer() as server:
        model = open_openai(tmp_path, server.base_url, timeout_s=60, **limit)
        found = ask_all(model, prompts, num_threads=1)
        model.close()
        stopped = found[num:]
        assert all(isinstance(text, str) for text in found[:num]) and len(server.bodies) == num
        (key, value), *_ = limit.items()
        for error in stopped:
            assert isinstance(error, InputError) and str(error).startswith(f"llm.{key}={value}: spent")
            assert f"{num} requests" in str(error) and "the same command goes on" in str(error)
        more = open_openai(tmp_path, server.base_url, timeout_s=60, **{**limit, key: value * 10})
        assert ask_all(more, prompts) == [right_answer(more._body(request_of(prompt))) for prompt in prompts]
        assert len(server.bodies) == len(prompts)
        more.close()


def test_a_budget_overshoots_by_no_more_than_what_is_under_way(tmp_path):
    with MisbehavingServer(lambda body, number: time.sleep(0.01)) as server:
        model = open_openai(tmp_path, server.base_url, budget_tokens=1200, concurrency=4)
        ask_all(model, [f"q{number}" for number in range(100)], num_threads=4)
        assert 10 <= len(server.bodies) <= 10 + 3
        model.close()


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "many",
        {"prompt_tokens": 5},
        {"prompt_tokens": -5, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 10**30, "completion_tokens": 1.5},
    ],
)
def test_a_server_that_does_not_count_is_fine_without_a_budget_alone(tmp_path, usage):
    fault = answers(lambda body: {**completion(right_answer(body)), "usage": usage})
    with MisbehavingServer(lambda body, number: fault) as server:
        model = open_openai(tmp_path, server.base_url)
        assert model.complete(request_of("q"))
        model.close()
        strict = open_openai(tmp_path, server.base_url, budget_tokens=10**9, max_retries=1)
        with pytest.raises(AnswerError, match="answer_uncounted"):
            strict.complete(request_of("other"))
        assert len(cached_texts(tmp_path)) == 1
        strict.close()


def test_several_servers_share_the_work_and_one_may_die(tmp_path):
    slowly = {"faults": lambda body, number: time.sleep(0.005)}
    with MisbehavingServer(**slowly) as one, MisbehavingServer(**slowly) as two, MisbehavingServer() as dead:
        urls = (one.base_url, dead.base_url, two.base_url + "/")
        dead.die()
        model = open_openai(tmp_path, urls, backoff_s=0.2)
        prompts = [f"q{number}" for number in range(60)]
        assert ask_all(model, prompts) == [
            right_answer(model._body(request_of(prompt))) for prompt in prompts
        ]
        assert len(one.bodies) + len(two.bodies) == 60 and min(len(one.bodies), len(two.bodies)) > 15
        model.close()
        dead.revive()


def test_an_overloaded_server_is_left_alone_while_another_works(tmp_path):
    much = answers(b"", 429, **{"Retry-After": "600"})
    with MisbehavingServer(lambda body, number: much) as busy, MisbehavingServer() as idle:
        model = open_openai(tmp_path, (busy.base_url, idle.base_url), concurrency=1)
        started = time.monotonic()
        texts = ask_all(model, [f"q{number}" for number in range(20)])
        assert time.monotonic() - started < 5 and all(isinstance(text, str) for text in texts)
        assert len(busy.bodies) == 1 and len(idle.bodies) == 20
        model.close()


def test_a_hanging_server_of_two_costs_one_time_out_a_request(tmp_path):
    with MisbehavingServer(lambda body, number: PASSING["hangs"]) as bad, MisbehavingServer() as good:
        model = open_openai(tmp_path, (bad.base_url, good.base_url), timeout_s=0.3)
        texts = ask_all(model, ["a", "b", "c", "d"])
        assert all(isinstance(text, str) for text in texts)
        model.close()


def test_the_fleet_takes_turns_and_wakes_the_first_to_be_back():
    time_of = {"now": 0.0}
    fleet = Fleet(("a", "b", "c"), 30, clock=lambda: time_of["now"])
    assert [fleet.pick()[0] for _ in range(6)] == list("abcabc")
    fleet.rest("b", 5)
    assert [fleet.pick()[0] for _ in range(4)] == list("acac") and fleet.has_other
    fleet.rest("a", 9)
    fleet.rest("c", 2)
    assert fleet.pick() == ("c", 2.0) and not fleet.has_other
    time_of["now"] = 2.0
    assert fleet.pick() == ("c", 0.0)
    fleet.is_back("a")
    assert {fleet.pick()[0] for _ in range(4)} == {"a", "c"}
    for _ in range(5):  # requests that fail at once are one rest
        fleet.rest("a", 4)
    waits = []
    for _ in range(5):
        waits.append(fleet._rests_until["a"] - time_of["now"])
        time_of["now"] = fleet._rests_until["a"]
        fleet.rest("a", 4)
    assert waits == [4, 8, 16, 30, 30]
    fleet.is_back("a")
    fleet.rest("a", 100)
    assert fleet._rests_until["a"] == time_of["now"] + 100
    alone = Fleet(("a",), 30, clock=lambda: time_of["now"])
    for _ in range(3):
        alone.rest("a", 4)
        assert alone.pick() == ("a", 4.0) and not alone.has_other
        time_of["now"] += 4


def child_asks(model, prompts, results):
    results.put(ask_all(model, prompts, num_threads=3))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_copies_in_other_processes_work_while_the_parent_asks(tmp_path, method):
    """Forked in the middle of requests: the child has neither the parent's thread nor its connections."""
    context = multiprocessing.get_context(method)
    with MisbehavingServer(lambda body, number: time.sleep(0.02)) as server:
        # asked again after a time-out, a prompt would be counted twice
        model = open_openai(tmp_path, server.base_url, timeout_s=60)
        prompts = [[f"{who}{number}" for number in range(30)] for who in range(3)]
        ours = []
        asking = threading.Thread(target=lambda: ours.extend(ask_all(model, prompts[0])))
        asking.start()
        while len(server.bodies) < 5:
            time.sleep(0.005)
        queues = [context.SimpleQueue() for _ in prompts[1:]]
        children = [
            context.Process(target=child_asks, args=(model, part, queue))
            for part, queue in zip(prompts[1:], queues, strict=True)
        ]
        for child in children:
            child.start()
        theirs = [queue.get() for queue in queues]
        for child in children:
            child.join(30)
            assert child.exitcode == 0
        asking.join()
        expected = [[right_answer(model._body(request_of(prompt))) for prompt in part] for part in prompts]
        assert [ours, *theirs] == expected
        assert len(server.bodies) == 90 and model.usage()["requests"] == 90
        model.close()


def test_a_pickled_copy_is_the_same_model(tmp_path):
    model = open_openai(tmp_path, seed=4)
    again = pickle.loads(pickle.dumps(model))
    assert again.cache_key(request_of("q")) == model.cache_key(request_of("q"))


def test_a_closed_model_opens_again_and_leaves_no_thread(tmp_path):
    before = threading.active_count()
    with MisbehavingServer() as server:
        model = open_openai(tmp_path, server.base_url)
        for prompt in "ab":
            model.complete(request_of(prompt))
            model.close()
            assert not [thread for thread in threading.enumerate() if thread.name == "llm"]
    assert threading.active_count() <= before + 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"base_url": None}, r"llm\.base_url: missing; give http"),
        ({"base_url": ()}, r"llm\.base_url: missing; give http"),
        ({"base_url": "localhost:8000"}, r"llm\.base_url: not an address"),
        ({"base_url": ("http://a/v1", "ftp://b")}, r"llm\.base_url \(number 2\): not an address"),
        ({"model": None}, r"llm\.model: missing"),
        ({"concurrency": 0}, r"llm\.concurrency=0: too small; give 1"),
        ({"max_retries": -1}, r"llm\.max_retries=-1: too small; give 0"),
        ({"timeout_s": 0}, r"llm\.timeout_s=0: .*above 0"),
        ({"temperature": -0.1}, r"llm\.temperature=-0\.1: too small"),
        ({"top_p": 0.0}, r"llm\.top_p=0\.0: not a share"),
        ({"budget": 5.0}, r"llm\.budget=5\.0: never reached at price 0"),
        ({"budget_tokens": 0}, r"llm\.budget_tokens=0"),
        ({"extra_body": {"messages": []}}, r"llm\.extra_body\.messages: the client's own"),
        ({"extra_body": {"stream": True}}, r"llm\.extra_body\.stream: the client's own"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_key(tmp_path, keys, message):
    with pytest.raises(InputError, match=message):
        settings_of(tmp_path, **keys)
