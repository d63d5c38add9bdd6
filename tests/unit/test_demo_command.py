"""``python -m evaluation.demo`` as a user starts it."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import run_module
from demo_server import DemoServer, call_text, calls, says, status
from test_demo_agent import SUM
from test_demo_travel import ROWS

from evaluation.demo.__main__ import main
from evaluation.demo.events import Event
from evaluation.demo.terminal import Screen, safe
from recipes.command import InputError, compose


def demo(server, *arguments, **more):
    return run_module("evaluation.demo", f"endpoint.base_url={server.url}", "model=tiny", *arguments, **more)


def test_one_question():
    answers = [says(call_text("calculator", expression="2 * 21")), says("<think>\nso\n</think>\n\nIt is 42.")]
    with DemoServer(answers) as server:
        done = demo(server, "demo=tools", "tool_format=prompt", "question='What is 2 * 21?'")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == '→ calculator {"expression": "2 * 21"}\n← 42\n\nso\nIt is 42.\n'
    assert server.bodies[0]["temperature"] == 0.7 and server.bodies[0]["model"] == "tiny"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("Plan trip 1, and tell me what's 24 cups?", "Plan trip 1, and tell me what's 24 cups?"),
        ('Is {a: 1} or "[b]" = ${c}?', 'Is {a: 1} or "[b]" = ${c}?'),
        ("'quoted, for Hydra'", "quoted, for Hydra"),
    ],
)
def test_a_question_is_taken_as_it_stands(given, asked):
    with DemoServer([says("yes")]) as server:
        done = demo(server, "demo=tools", f"question={given}")
    assert (done.returncode, done.stdout) == (0, "yes\n")
    assert server.bodies[0]["messages"][-1]["content"] == asked


def test_a_trip_is_asked_and_verified():
    with DemoServer([says(ROWS[2]["gold"]["answer"])]) as server:
        done = demo(server, "demo=travel", "trip=3")
    assert done.returncode == 0 and done.stdout.endswith(
        "✓ constraints: every constraint of the trip holds\n✓ NaturalPlan: all 5 stays as in the gold\n"
    )
    assert server.bodies[0]["messages"][1]["content"] == ROWS[2]["gold"]["natural_plan"]["prompt_0shot"]


def test_a_failure_is_status_1():
    with DemoServer([status(404, b"no such model")]) as server:
        done = demo(server, "demo=router", "question=hi")
    assert done.returncode == 1 and done.stdout == "! HTTP 404: no such model\n" and not done.stderr


def tools_demo(server):
    return [
        *(sys.executable, "-m", "evaluation.demo"),
        *("demo=tools", f"endpoint.base_url={server.url}", "model=tiny"),
    ]


def test_a_chat_from_a_pipe():
    with DemoServer([says("one"), status(400), says("two"), says("three")]) as server:
        typed = "first\n\nfails\nsecond\n/new\nthird\n/quit\nnever\n"
        done = subprocess.run(tools_demo(server), input=typed, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout == "one\n! HTTP 400: oops\ntwo\na new chat\nthree\n"
    users = [[m["content"] for m in body["messages"] if m["role"] == "user"] for body in server.bodies]
    assert users == [["first"], ["first", "fails"], ["first", "second"], ["third"]]


def test_the_page_is_served_until_it_is_interrupted():
    with DemoServer([calls(SUM)]) as server:
        process = subprocess.Popen(
            [*tools_demo(server), "serve=true", "port=0"], stdout=subprocess.PIPE, text=True
        )
        try:
            line = process.stdout.readline()
            assert line.startswith("the page: http://127.0.0.1:") and "/#" in line
            process.stdout.readline()
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo=cook"], "demo=cook: no such choice; choose one of router, tools, travel"),
        ([], "demo: missing"),
        (["demo=tools", "trip=1"], "trip=1: demo=tools plans no trip"),
        (["demo=travel", "trip=1", "question=x"], "give one of the two"),
        (["demo=travel", "trip=6"], "trip=6: no such trip; choose 1 to 5"),
        (["demo=tools", "question=x", "serve=true"], "asked on the page"),
        (["demo=tools", "question=' '"], "question=: empty"),
        (["demo=tools", "tool_format=xml"], "tool_format=xml"),
        (["demo=tools", "tools.folder=/no/such"], "tools.folder=/no/such: no such folder"),
        (["demo=tools", "endpoint.base_url=here"], "endpoint.base_url: not an address"),
        (["demo=tools", "endpoint.timeout_s=0"], "endpoint.timeout_s=0"),
        (["demo=tools", "endpoint.max_retries=-1"], "endpoint.max_retries=-1: too small"),
        (["demo=tools", "endpoint.api_key_env=NO_SUCH_KEY"], "no such environment variable"),
        (["demo=travel", "data=/no/such"], "data=/no/such: No such file"),
    ],
)
def test_bad_input(arguments, message):
    short = {"data": "gold.data"}
    given = [f"{short.get(key, key)}={value}" for key, _, value in (a.partition("=") for a in arguments)]
    endpoint = ["endpoint.base_url=http://127.0.0.1:9/v1", "endpoint.model=tiny"]
    with pytest.raises(InputError) as error:
        main(compose("demo", [*endpoint, *given]))
    assert message in str(error.value)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


EVENTS = [
    Event("thinking", "so\n"),
    Event("thinking", "then"),
    Event("call", '{"a": 1}', "tool"),
    Event("result", "one\ntwo", "tool", ok=False),
    Event("text", "Hello\x1b[2J\u202e"),
    Event("task", "Do it.", "tools"),
    Event("text", "a\nb", agent="tools"),
    Event("verdict", "fine", "check", agent="tools"),
    Event("text", "The end."),
]


def test_the_screen_has_colours_in_a_terminal_alone(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    screen = Screen(out)
    for event in EVENTS:
        screen.show(event)
    screen.end()
    assert out.getvalue() == (
        "\x1b[2mso\n\x1b[0m\x1b[2mthen\x1b[0m\n"
        '\x1b[36m→ tool {"a": 1}\x1b[0m\n\x1b[31m← one\n  two\x1b[0m\n'
        "Hello\ufffd[2J\ufffd\n\x1b[1m▸ tools: Do it.\x1b[0m\n  a\n  b\n  \x1b[32m✓ check: fine\x1b[0m\nThe end.\n"
    )
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    Screen(out).show(Event("notice", "x"))
    assert out.getvalue() == "! x\n"


def test_a_screen_of_another_encoding_shows_what_it_can():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)  # closes raw when it is collected
    Screen(stream).show(Event("call", "é\ud83d", "t"))
    assert raw.getvalue() == b"? t ??" + os.linesep.encode()


def test_control_characters_drive_no_terminal():
    assert safe("a\tb\nc\x1b]0;title\x07\r\x9b2J") == "a\tb\nc\ufffd]0;title\ufffd\ufffd\ufffd2J"
