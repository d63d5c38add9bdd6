"""Answers as they stream: put together from any pieces, and told when they are broken."""

import json
from itertools import pairwise

import pytest
from demo_server import CUT, DONE, DemoServer, calls, chunk, says, status
from hypothesis import given
from hypothesis import strategies as st

from evaluation.client import Generation, RequestFailedError
from evaluation.demo.splitter import Splitter
from evaluation.demo.stream import NativeCall, Server, StreamClient, _events, _lines


def client(server, **more):
    values = {"timeout_s": 5.0, "max_retries": 1, "backoff_s": 0.01, "api_key_env": None} | more
    endpoint = Server(base_url=server.url, model="tiny", **values)
    return StreamClient(endpoint, Generation(max_tokens=50, temperature=0.0, top_p=1.0), 3, True)


def ask(asker, **more):
    """(pieces, what was said)"""
    pieces, stream = [], asker.ask([{"role": "user", "content": "hi"}], **more)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as stop:
            return pieces, stop.value


def test_an_answer_is_its_pieces():
    with DemoServer([says("Grüße, 旅行!", size=2, reasoning="hm, well")]) as server:
        pieces, said = ask(client(server))
    assert said.content == "".join(p.text for p in pieces if p.kind == "content") == "Grüße, 旅行!"
    assert "".join(p.text for p in pieces if p.kind == "thinking") == "hm, well"
    assert said.finish_reason == "stop" and not said.calls
    body = server.bodies[0]
    assert body["stream"] and body["seed"] == 3 and "tools" not in body
    assert body["chat_template_kwargs"] == {"enable_thinking": True}


@pytest.mark.parametrize("size", [1, 3, 100])
def test_calls_are_put_together_by_index(size):
    wanted = [("first", '{"a": [1, 2]}'), ("second", "{}")]
    with DemoServer([calls(*wanted, size=size)]) as server:
        _, said = ask(client(server), tools=[{"type": "function"}])
    assert said.calls == tuple(NativeCall(f"id{i}", *call) for i, call in enumerate(wanted))
    assert server.bodies[0]["tools"] == [{"type": "function"}]


def test_names_that_are_repeated_and_fragments_out_of_turn():
    def delta(index, **function):
        return chunk({"tool_calls": [{"index": index, "function": function}]})

    answer = [
        delta(1, name="b", arguments="{"),
        delta(0, name="a"),
        delta(1, name="b", arguments="}"),
        delta(0, arguments="[]"),
        chunk({}, "tool_calls"),
        DONE,
    ]
    with DemoServer([answer]) as server:
        _, said = ask(client(server))
    assert [(call.name, call.arguments) for call in said.calls] == [("a", "[]"), ("b", "{}")]


GOOD = chunk({"content": "half"})
BROKEN = {
    "cut": ([GOOD, CUT], "cut off: the stream ended before the answer did"),
    "done too early": ([GOOD, DONE], "cut off: the stream ended"),
    "no JSON": ([GOOD, b"data: {nonsense\n\n"], "no JSON in data: {nonsense"),
    "deep JSON": ([GOOD, b"data: " + b"[" * 100_000 + b"\n\n"], "no JSON in"),
    "an error": ([GOOD, b'data: {"error": {"message": "engine died"}}\n\n'], "engine died"),
    "a list": ([GOOD, b"data: []\n\n"], "no choices"),
    "a delta that is a list": ([b'data: {"choices": [{"delta": [1]}]}\n\n'], "no delta"),
    "a call that is a text": ([chunk({"tool_calls": ["x"]})], "no function"),
    "10,000 calls": (
        [chunk({"tool_calls": [{"index": i, "function": {"name": "x"}} for i in range(10_000)]})],
        "more than 256 tool calls",
    ),
    "an endless line": ([b"data: " + b"x" * 3_000_000], "more than 1048576 bytes"),
    "silence": ([GOOD, 1.5, DONE], "cut off: silent for 0.3 s"),
    "not a stream": ([b'{"choices": []}'], "the stream ended before"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_an_error(name):
    answer, message = BROKEN[name]
    with (
        DemoServer([answer, answer]) as server,
        pytest.raises(RequestFailedError, match=message.replace("{", "\\{")),
    ):
        ask(client(server, timeout_s=0.3 if name == "silence" else 5.0))


def test_what_has_begun_is_not_asked_again_and_what_has_not_is():
    with DemoServer([[GOOD, CUT], says("x")]) as server, pytest.raises(RequestFailedError):
        ask(client(server))
    assert len(server.bodies) == 1
    with DemoServer([[CUT], says("x")]) as server:
        assert ask(client(server))[1].content == "x"
    with DemoServer([status(503), says("x")]) as server:
        assert ask(client(server))[1].content == "x"
    with (
        DemoServer([status(500)] * 2) as server,
        pytest.raises(RequestFailedError, match="HTTP 500: oops; gave up"),
    ):
        ask(client(server))
    with (
        DemoServer([status(400, b"no")]) as server,
        pytest.raises(RequestFailedError, match=r"HTTP 400: no$"),
    ):
        ask(client(server))


def test_the_key_is_sent_and_never_said(monkeypatch):
    monkeypatch.setenv("DEMO_KEY", "sk-secret")
    with (
        DemoServer([status(401, b"wrong key sk-secret")]) as server,
        pytest.raises(RequestFailedError, match="wrong key \\[key\\]") as error,
    ):
        ask(client(server, api_key_env="DEMO_KEY"))
    assert server.headers[0]["Authorization"] == "Bearer sk-secret" and "secret" not in str(error.value)


def test_a_server_need_not_be_told_about_thinking():
    with DemoServer([says("x")]) as server:
        endpoint = Server(server.url, "tiny", 5.0, 0, 0.0, None)
        ask(StreamClient(endpoint, Generation(max_tokens=5, temperature=0.0, top_p=1.0), 0, None))
    assert "chat_template_kwargs" not in server.bodies[0]


def test_nobody_there():
    with DemoServer([]) as server:
        pass
    with pytest.raises(RequestFailedError, match=r"ConnectError.*gave up after 2 attempts"):
        ask(client(server))


def test_half_a_character_can_be_sent_back():
    with DemoServer(
        [[b'data: {"choices": [{"delta": {"content": "a\\ud83d"}, "finish_reason": "stop"}]}\n\n']]
    ) as server:
        assert ask(client(server))[1].content == "a?"


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_lines_do_not_depend_on_how_bytes_arrive(content, cuts):
    cuts = sorted({0, len(content), *(c for c in cuts if c <= len(content))})
    chunks = [content[a:b] for a, b in pairwise(cuts)]
    whole = content.split(b"\n")
    wanted = [line.rstrip(b"\r") for line in (whole if whole[-1] else whole[:-1])]
    assert list(_lines(chunks)) == wanted


def test_comments_and_other_fields_are_passed_over():
    stream = [b": ping\r\nevent: x\r\ndata:1\r\n\r\nid: 3\ndata: [DONE]\ndata: 2\n"]
    assert list(_events(stream)) == [1]


def parts(pieces, calls=True):
    splitter = Splitter(calls)
    found = [part for piece in pieces for part in splitter.feed(piece)] + splitter.end()
    joined = []
    for kind, text in found:
        if joined and joined[-1][0] == kind and kind in ("text", "thinking"):
            joined[-1][1] += text
        else:
            joined.append([kind, text])
    return [tuple(part) for part in joined]


TEXTS = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<tool_call>", "</tool_call>", "<", "th", "ink>", "a", " ", "\n", "</", "{}"]
    ),
    max_size=14,
).map("".join)


@given(TEXTS, st.data(), st.booleans())
def test_parts_do_not_depend_on_how_the_text_arrives(text, data, calls):
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text))))})
    pieces = [text[a:b] for a, b in pairwise(cuts)]
    assert parts(pieces, calls) == parts([text], calls)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<think>a</think>\n\nb", [("thinking", "a"), ("text", "b")]),
        ("b <think>a</think>", [("text", "b <think>a</think>")]),
        ("x<tool_call>{}</tool_call>y", [("text", "x"), ("call", "{}"), ("text", "y")]),
        ("<tool_call>{", [("cut call", "{")]),
        ("<think>a", [("thinking", "a")]),
        ("a <tool_c", [("text", "a <tool_c")]),
        ("", []),
    ],
)
def test_parts(text, wanted):
    assert parts([text]) == wanted


def test_a_megabyte_of_tags_takes_no_time():
    text = "<tool_call></tool_call>" * 40_000
    assert len(parts([text])) == 40_000
    assert json.dumps(parts(["<think>" * 100_000]))
