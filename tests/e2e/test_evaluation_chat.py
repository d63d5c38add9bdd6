"""Dialogues through the journalled chat: killed anywhere nothing is asked twice, roles, trials, native tool calls."""

import asyncio
import collections
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import completion, serving
from talk_worker import NUM_TURNS, TOOL, Talk, endpoint, play

from evaluation.asked import replay
from evaluation.benchmarks import Reply, ToolCall
from evaluation.chat import Chats
from evaluation.client import ChatClient, Generation
from evaluation.journal import Journal
from evaluation.runner import NOT_ASKED, Run
from recipes.command import InputError

NUM_ASKED = 2 * NUM_TURNS + 1
"""Requests of a dialogue."""
WORKER = Path(__file__).with_name("talk_worker.py")


def reply_to(prompt, attempt, handler):
    """A text that only this request gets."""
    handler.reply(completion(f"re {hash(prompt) % 10**6}"))


def requests_in(out):
    return [json.loads(line) for line in (out / "requests.jsonl").read_text().splitlines()]


def test_killed_in_the_middle_of_episodes_nothing_is_asked_twice(tmp_path):
    def slowly(prompt, attempt, handler):
        time.sleep(0.02)
        reply_to(prompt, attempt, handler)

    with serving(slowly) as server:
        out = tmp_path / "killed"
        for pause in (9, 25):
            with subprocess.Popen(
                [sys.executable, WORKER, out, server.url, "talk", "2"],
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(WORKER.parents[2])},
            ) as process:
                while process.poll() is None and len(server.requests) < pause:
                    time.sleep(0.005)
                os.kill(process.pid, signal.SIGKILL)
            kept = requests_in(out)
            answers = collections.Counter((line["id"], line["trial"]) for line in kept)
            assert any(number < NUM_ASKED for number in answers.values()), "killed within an episode"
        with (out / "requests.jsonl").open("a") as file:
            file.write('{"id": "ann", "trial": 1, "ind')
        time.sleep(0.1)
        num_lost = len(server.requests) - len(kept)
        predictions, errors, totals = play(out, server.url, "talk", 2)
        assert not errors and len(predictions) == 8
        assert len(server.requests) == 8 * NUM_ASKED + num_lost
        assert len(requests_in(out)) == 8 * NUM_ASKED
        assert sum(total["num_requests"] for total in totals.values()) == 8 * NUM_ASKED
        keys = [(line["id"], line["trial"], line["index"]) for line in requests_in(out)]
        assert len(set(keys)) == 8 * NUM_ASKED

        news = {}
        for line in sorted(requests_in(out), key=lambda line: line["index"]):
            news.setdefault((line["id"], line["trial"], line["role"]), []).append(line["asked"])
        asked = [replay(each[: n + 1]).messages for each in news.values() for n in range(len(each))]
        sent = [request["messages"] for request in server.requests]
        assert all(messages in sent for messages in asked) and len(asked) == 8 * NUM_ASKED
        assert all(replay(each).tools == [TOOL] for key, each in news.items() if key[2] == "agent")
        assert max(len(each["messages"]) for key in news if key[2] == "agent" for each in news[key]) == 2

        whole, _, _ = play(tmp_path / "whole", server.url, "talk", 2)
        assert whole == predictions
        before = len(server.requests)
        assert play(out, server.url, "talk", 2)[0] == predictions and len(server.requests) == before
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [(line["id"], line["trial"]) for line in lines] == [(i, t) for i in Talk.ids for t in (0, 1)]


def test_trials_have_seeds_of_their_own_and_one_trial_has_no_name(tmp_path):
    with serving(reply_to) as server:
        predictions, _, totals = play(tmp_path / "two", server.url, "talk", 2)
        assert [one.trial for one in predictions] == [0, 1] * 4
        assert [one.value[0] for one in predictions[:2]] == ["talk ann 5", "talk ann 6"]
        assert collections.Counter(r["seed"] for r in server.requests) == {5: 28, 6: 28}
        assert totals["agent"]["num_requests"] == totals["user"]["num_requests"] == 24
        assert (totals["judge"]["num_requests"], totals["judge"]["prompt_tokens"]) == (8, 56)
        assert server.most_under_way <= 3 * 2
        play(tmp_path / "one", server.url, "talk", 1)
    for line in (tmp_path / "one/predictions.jsonl").read_text().splitlines():
        assert sorted(json.loads(line)) == ["id", "prediction"]


def test_an_answer_to_another_request_is_refused(tmp_path):
    with serving(reply_to) as server:
        play(tmp_path, server.url, "talk", 1)
        (tmp_path / "predictions.jsonl").unlink()
        before = len(server.requests)
        with pytest.raises(InputError, match=r"request 1 of ann isn't the one .* resume=never"):
            play(tmp_path, server.url, "other talk", 1)
        assert len(server.requests) == before


def test_a_failed_request_leaves_its_episode_open_and_the_rest_done(tmp_path):
    broken = True

    def fail(prompt, attempt, handler):
        if broken and "talk bo" in prompt and prompt.count("|") == 3:
            handler.reply({"error": "too long"}, 400)
        else:
            reply_to(prompt, attempt, handler)

    with serving(fail) as server:
        predictions, errors, _ = play(tmp_path, server.url, "talk", 1)
        assert [one.id for one in predictions] == ["ann", "cleo", "dan"]
        assert list(errors) == [("bo", 0)] and "too long" in errors["bo", 0]
        broken = False
        before = len(server.requests)
        predictions, errors, _ = play(tmp_path, server.url, "talk", 1)
        assert [one.id for one in predictions] == list(Talk.ids) and not errors
        assert len(server.requests) - before == NUM_ASKED - 3, "two turns of the agent, one of the user"


def ask(server, tmp_path, roles=("agent",), **more):
    async def once():
        clients = {role: ChatClient(endpoint(server.url), Generation(16, 0.0, 1.0)) for role in roles}
        journal = Journal(tmp_path, {}, "auto", 1)
        async with Chats(clients, journal, 0) as chats:
            return await chats.of("s", 0).ask([{"role": "user", "content": "hello"}], **more)

    return asyncio.run(once())


def test_tools_go_out_and_native_calls_come_back(tmp_path):
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1'}},
        {"id": "c2", "type": "function", "function": {"name": "now", "arguments": {"zone": "\ud83d"}}},
    ]

    def call(prompt, attempt, handler):
        handler.reply(completion(None, "tool_calls", tool_calls=calls, reasoning_content="hm \ud800"))

    with serving(call) as server:
        wanted = Reply(
            "",
            "hm \ufffd",
            (ToolCall("add", '{"a": 1'), ToolCall("now", '{"zone": "\\ud83d"}')),
            "tool_calls",
        )
        assert ask(server, tmp_path, tools=[TOOL], stop=["\nObservation"]) == wanted
        assert ask(server, tmp_path, tools=[TOOL], stop=["\nObservation"]) == wanted
        (request,) = server.requests
    assert (request["tools"], request["stop"]) == ([TOOL], ["\nObservation"])
    assert "chat_template_kwargs" not in request


def test_calls_that_cannot_be_read_are_asked_for_again(tmp_path):
    def call(prompt, attempt, handler):
        good = [{"function": {"name": "add", "arguments": None}}]
        handler.reply(completion("so", tool_calls=[{"function": {}}] if attempt == 1 else good))

    with serving(call) as server:
        assert ask(server, tmp_path).tool_calls == (ToolCall("add", ""),)
        assert len(server.requests) == 2


def test_the_query_of_an_address_stays_behind_the_path(tmp_path):
    with serving(lambda prompt, attempt, handler: handler.reply(completion("x"))) as server:
        server.url += "?api-version=1"
        ask(server, tmp_path)
    assert [request["path"] for request in server.requests] == ["/v1/chat/completions?api-version=1"]


def test_each_role_has_its_own_number_of_failures(tmp_path):
    """The user's server is gone, while the agent's answers between every two of its failures."""
    with serving(lambda prompt, attempt, handler: handler.reply(completion("x"))) as server:
        urls = {"agent": server.url, "user": "http://127.0.0.1:9/v1"}
        clients = {role: ChatClient(endpoint(url), Generation(16, 0.0, 1.0)) for role, url in urls.items()}
        run = Run(
            Talk("talk"), Chats(clients, Journal(tmp_path, {}, "auto", 1), 0), 1, {"agent": 9, "user": 2}
        )
        asyncio.run(run.play_all([(name, 0) for name in Talk.ids], 0))
    assert ["ConnectError" in error for error in run.errors.values()] == [True, True, False, False]
    assert [run.errors[name, 0] for name in Talk.ids[2:]] == [NOT_ASKED] * 2


def test_a_role_that_nobody_plays_is_refused(tmp_path):
    with (
        serving(reply_to) as server,
        pytest.raises(InputError, match=r"user.base_url=null: s asks the user .* give user.base_url"),
    ):
        ask(server, tmp_path, role="user")
