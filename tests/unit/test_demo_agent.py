"""The loop of model and tools, against a server with scripted answers."""

import json
from dataclasses import replace

import pytest
from demo_server import CUT, DemoServer, call_text, calls, chunk, says, status

from evaluation.client import Generation, RequestFailedError
from evaluation.demo.agent import Agent, Loop
from evaluation.demo.calculator import CALCULATOR
from evaluation.demo.events import Event, Session
from evaluation.demo.stream import Server, StreamClient
from evaluation.demo.toolbox import Toolbox
from evaluation.tool_text import read_call, responses_text
from recipes.command import InputError


def client(server, **more):
    values = {"timeout_s": 5.0, "max_retries": 0, "backoff_s": 0.0, "api_key_env": None} | more
    endpoint = Server(base_url=server.url, model="tiny", **values)
    return StreamClient(endpoint, Generation(max_tokens=50, temperature=0.0, top_p=1.0), 0, False)


def agent(server, tool_format="native", max_turns=4, max_calls=3):
    toolbox = Toolbox([CALCULATOR], 100)
    return Agent(client(server), "Be brief.", toolbox, tool_format, Loop(max_turns, max_calls, 100))


def run(answers, question="hi", **more):
    """(events with pieces of text joined, the server's requests, the history)"""
    history = [{"role": "user", "content": question}]
    with DemoServer(answers) as server:
        events = list(agent(server, **more).reply(history))
    return joined(events), server.bodies, history


def joined(events):
    found = []
    for event in events:
        if found and event.kind in ("text", "thinking"):
            last = found[-1]
            if (last.kind, last.agent) == (event.kind, event.agent):
                event = replace(event, text=found.pop().text + event.text)
        found.append(event)
    return found


SUM = ("calculator", '{"expression": "1 + 1"}')


def test_native_calls_are_run_and_given_back():
    events, bodies, history = run([calls(SUM, text="Let me see."), says("It is 2.", reasoning="easy")])
    assert events == [
        Event("text", "Let me see."),
        Event("call", SUM[1], "calculator"),
        Event("result", "2", "calculator"),
        Event("thinking", "easy"),
        Event("text", "It is 2."),
    ]
    assert bodies[0]["tools"] == [CALCULATOR.schema]
    assert bodies[1]["messages"] == [{"role": "system", "content": "Be brief."}, *history[:-1]]
    call = {"id": "id0", "type": "function", "function": {"name": SUM[0], "arguments": SUM[1]}}
    assert history[1:] == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "id0", "content": "2"},
        {"role": "assistant", "content": "It is 2."},
    ]


def test_calls_as_text_are_run_and_given_back():
    two = call_text("calculator", expression="1 + 1") + "\n" + call_text("calculator", expression="1 / 0")
    events, bodies, history = run(
        [says(f"<think>hm</think>\n\nLet me see.\n{two}", size=3), says("<think>\n\n</think>\n\nIt is 2.")],
        tool_format="prompt",
    )
    assert [(e.kind, e.text, e.ok) for e in events] == [
        ("thinking", "hm", True),
        ("text", "Let me see.\n\n", True),
        ("call", '{"expression": "1 + 1"}', True),
        ("result", "2", True),
        ("call", '{"expression": "1 / 0"}', True),
        ("result", "error: division by zero", False),
        ("thinking", "\n\n", True),
        ("text", "It is 2.", True),
    ]
    system = bodies[0]["messages"][0]["content"]
    assert "tools" not in bodies[0] and system.startswith("Be brief.\n\n# Tools\n")
    assert json.dumps(CALCULATOR.schema) in system and '{"name": <function-name>, "arguments"' in system
    assert history[1] == {"role": "assistant", "content": f"Let me see.\n{two}"}  # without what it thought
    assert history[2]["content"] == (
        "<tool_response>\n2\n</tool_response>\n<tool_response>\nerror: division by zero\n</tool_response>"
    )


def test_the_text_is_that_of_qwen3s_template():
    """Qwen/Qwen3-8B's template puts tools, calls and responses in these very words."""
    assert responses_text(["a"]) == "<tool_response>\na\n</tool_response>"
    assert read_call('\n{"name": "f", "arguments": {"x": 1}}\n') == ("f", '{"x": 1}')
    assert read_call('{"name": "f", "arguments": "{\\"x\\": 1}"}') == ("f", '{"x": 1}')
    assert read_call('{"name": "f"}') == ("f", "{}")


@pytest.mark.parametrize("arguments", ['{"expression": ', "[1]", "[" * 50_000, "null", '"x"'])
def test_arguments_that_cannot_be_read_are_the_models_to_mend(arguments):
    events, bodies, _ = run([calls(("calculator", arguments), size=9999), calls(SUM), says("2")])
    assert events[1].ok is False and events[1].text.startswith("error: the arguments are no JSON")
    sent = bodies[1]["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert sent == "{}"  # servers parse what they get back
    assert bodies[1]["messages"][3]["content"] == events[1].text and events[-1].text == "2"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<tool_call>{</tool_call>", "the call is no JSON"),
        ("<tool_call>" + "[" * 50_000 + "</tool_call>", "nested too deeply"),
        ("<tool_call>[]</tool_call>", "no JSON object"),
        ("<tool_call>{}</tool_call>", "no JSON object"),
        ('<tool_call>{"name": "calculator"', "cut off before </tool_call>"),
        ('<tool_call>{"name": "rm", "arguments": {}}</tool_call>', 'no tool "rm"'),
    ],
)
def test_calls_that_cannot_be_read_are_the_models_to_mend(text, problem):
    events, bodies, _ = run([says(text, size=4096), says("sorry")], tool_format="prompt")
    assert [e.kind for e in events] == ["call", "result", "text"]
    assert not events[1].ok and problem in events[1].text
    assert problem in bodies[1]["messages"][-1]["content"]


def test_tags_are_text_where_calls_are_native():
    events, _, _ = run([says(call_text("calculator", expression="1"))])
    assert [e.kind for e in events] == ["text"]


def test_turns_and_calls_are_limited():
    events, bodies, history = run([calls(SUM)] * 4)
    assert len(bodies) == 4 and events[-1] == Event(
        "notice", "stopped after 4 turns (loop.max_turns)", ok=False
    )
    assert history[-1]["role"] == "assistant"
    events, bodies, _ = run([calls(*[SUM] * 5), says("x")])
    results = [e for e in events if e.kind == "result"]
    assert [e.ok for e in results] == [True, True, True, False, False] and "not run" in results[3].text
    assert len([m for m in bodies[1]["messages"] if m["role"] == "tool"]) == 5


def test_an_answer_that_is_cut_or_empty_is_told():
    events, _, _ = run([says("half", finish_reason="length")])
    assert events[-1] == Event("notice", "cut off at generation.max_tokens", ok=False)
    events, _, _ = run([says("")])
    assert events == [Event("notice", "the model said nothing", ok=False)]


def test_a_server_without_a_tool_parser_is_told_apart():
    """The words are vLLM's."""
    words = b'{"error": {"message": "\\"auto\\" tool choice requires --enable-auto-tool-choice"}}'
    with pytest.raises(RequestFailedError, match="tool_format=prompt works without"):
        run([status(400, words)])
    with pytest.raises(RequestFailedError) as error:
        run([status(400, words)], tool_format="prompt")
    assert "works without" not in str(error.value)


def test_a_question_that_fails_or_is_stopped_leaves_the_chat_as_it_was():
    cut = [chunk({"content": "half"}), CUT]
    answers = [says("one"), calls(SUM), cut, says("long enough to stop"), says("two")]
    with DemoServer(answers) as server:
        session = Session(agent(server))
        list(session.ask("first"))
        with pytest.raises(RequestFailedError, match="cut off"):
            list(session.ask("fails"))
        stopped = session.ask("stopped")
        next(stopped)
        stopped.close()
        list(session.ask("second"))
    assert [m["content"] for m in server.bodies[-1]["messages"][1:]] == ["first", "one", "second"]
    session.forget()


def test_a_new_chat_knows_nothing():
    with DemoServer([says("one"), says("two")]) as server:
        session = Session(agent(server))
        list(session.ask("first"))
        session.forget()
        list(session.ask("second"))
    assert [m["content"] for m in server.bodies[-1]["messages"][1:]] == ["second"]


@pytest.mark.parametrize("key", ["max_turns", "max_calls", "max_result_characters"])
def test_limits_below_one_are_refused(key):
    with pytest.raises(InputError, match=f"loop.{key}=0: too small"):
        Loop(**({"max_turns": 1, "max_calls": 1, "max_result_characters": 1} | {key: 0}))
