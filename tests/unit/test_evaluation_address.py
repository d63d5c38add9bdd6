"""Addresses and keys of endpoints: what no request can be sent with is refused, and no key is ever told."""

import asyncio
import socket

import httpx
import pytest

from evaluation.address import below, check_address
from evaluation.client import ChatClient, Endpoint, Generation, Price, RequestFailedError
from evaluation.demo.stream import Server, StreamClient
from evaluation.efficiency.load import LoadClient, Question, Target
from recipes.command import InputError

URL = "http://127.0.0.1:9/v1"
MESSAGES = [{"role": "user", "content": "hi"}]
GREEDY = Generation(max_tokens=5, temperature=0.0, top_p=1.0)


@pytest.mark.parametrize(
    "key", ["sk-abc\r", "sk-abc\n", " sk-abc", "sk abc", "sk-abc\x00".rstrip("\0") + "\x7f", "sk-\u00fc"]
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_told(monkeypatch, key):
    monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(InputError, match=r"^judge\.api_key_env=SOME_KEY: ") as error:
        check_address("judge", URL, 1.0, "SOME_KEY")
    assert "sk" not in str(error.value)
    monkeypatch.setenv("SOME_KEY", "sk-abc_1/+=~!")
    check_address("judge", URL, 1.0, "SOME_KEY")


def test_a_message_of_the_connection_does_not_tell_the_key(monkeypatch):
    """By a key that came into the variable after the check: httpx quotes the header that it refuses."""
    monkeypatch.setenv("SOME_KEY", "sk-abc")
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    endpoint = Endpoint(url, "m", None, 1, 5.0, 0, 0.0, 1.0, 1, "SOME_KEY", Price(None, None))
    target, server = Target(url, "m", 5.0, "SOME_KEY"), Server(url, "m", 5.0, 0, 0.0, "SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "sk-abc\r")

    async def ask():
        async with ChatClient(endpoint, GREEDY) as client:
            await client.ask(MESSAGES, 0)

    async def measure():
        async with LoadClient(target, Question("chat", 5, False, False, 0.0, 0)) as client:
            return (await client.record_all(["hi"], 1))[0][0].failure

    with listening:
        with pytest.raises(RequestFailedError) as asked:
            asyncio.run(ask())
        with pytest.raises(RequestFailedError) as streamed:
            next(StreamClient(server, GREEDY, 0, None).ask(MESSAGES))
        measured = asyncio.run(measure())
    for told in (str(asked.value), str(streamed.value), measured):
        assert "Illegal header value b'Bearer [key]'" in told and "sk-abc" not in told


@pytest.mark.parametrize(
    ("base_url", "chat", "tokenize"),
    [
        (
            "https://h/x?api-version=1",
            "https://h/x/chat/completions?api-version=1",
            "https://h/x/tokenize?api-version=1",
        ),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions", "http://h:1/tokenize"),
        ("http://h:1", "http://h:1/chat/completions", "http://h:1/tokenize"),
        (
            "http://u:p@h/a%2Fb/v1?q=a%26b",
            "http://u:p@h/a%2Fb/v1/chat/completions?q=a%26b",
            "http://u:p@h/a%2Fb/tokenize?q=a%26b",
        ),
    ],
)
def test_paths_go_before_the_query(base_url, chat, tokenize):
    assert below(base_url, "/chat/completions") == httpx.URL(chat)
    target = Target(base_url, "m", 1.0, None)
    assert (target.url("/models"), target.tokenize_url) == (below(base_url, "/models"), httpx.URL(tokenize))
