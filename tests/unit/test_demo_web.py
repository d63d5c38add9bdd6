"""The page: who may ask, what is streamed, and what a browser makes of it."""

import http.client
import json
import threading
import time
from contextlib import contextmanager

import pytest
from demo_browser import Browser, needs_browser
from demo_server import DemoServer, calls, chunk, says, status
from test_demo_agent import SUM, agent

from evaluation.demo.events import Event, Session
from evaluation.demo.web import MAX_SESSIONS, Page, Shown
from recipes.command import InputError

NASTY = "</script><img src=x onerror=document.title='owned'><b id=bold>\u202eevil\u001b[31m"


@contextmanager
def page(new_session, examples=("What is 1 + 1?", NASTY)):
    with Page(0, Shown("tools", NASTY, "tiny", examples), new_session) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield served
        finally:
            served.shutdown()
            thread.join()


def request(served, method="POST", path="/ask", body=None, **headers):
    """(status, headers, content); a header that is None isn't sent."""
    connection = http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=20)
    sent = {"Content-Type": "application/json", "X-Token": served.token} if method == "POST" else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    host = sent.pop("Host", f"127.0.0.1:{served.server_port}")
    connection.putrequest(method, path, skip_host=True)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    for name, value in ({"Host": host, "Content-Length": str(len(content))} | sent).items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(content)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def events(content):
    return [json.loads(part.removeprefix("data: ")) for part in content.decode().split("\n\n") if part]


def asking(question, session="a"):
    return {"session": session, "question": question}


def test_an_answer_is_streamed():
    with (
        DemoServer([calls(SUM), says("2"), says("x")]) as server,
        page(lambda: Session(agent(server))) as served,
    ):
        code, headers, content = request(served, body=asking("1 + 1?"))
        request(served, body=asking("again"))
    assert code == 200 and headers.get_content_type() == "text/event-stream"
    assert events(content) == [
        {"kind": "call", "text": SUM[1], "name": "calculator", "ok": True},
        {"kind": "result", "text": "2", "name": "calculator", "ok": True},
        {"kind": "text", "text": "2", "ok": True},
        {"kind": "end"},
    ]
    assert [m["content"] for m in server.bodies[2]["messages"] if m["role"] == "user"] == ["1 + 1?", "again"]


def test_chats_do_not_know_each_other_and_the_oldest_is_forgotten():
    with DemoServer([says("x")] * 3) as server, page(lambda: Session(agent(server))) as served:
        request(served, body=asking("one", "a"))
        request(served, body=asking("two", "b"))
        for number in range(MAX_SESSIONS):
            served.session(str(number))
        request(served, body=asking("three", "a"))
    assert [len(body["messages"]) for body in server.bodies] == [2, 2, 2]


def test_a_failure_is_an_event():
    with DemoServer([status(500)]) as server, page(lambda: Session(agent(server))) as served:
        _, _, content = request(served, body=asking("hi"))
    assert [event["kind"] for event in events(content)] == ["notice", "end"]
    assert "HTTP 500" in events(content)[0]["text"]


REFUSED = {
    "another host": (403, {"Host": "evil.example:80"}),
    "a name bound to 127.0.0.1": (403, {"Host": "127.0.0.1.evil.example"}),
    "another port": (403, {"Host": "127.0.0.1:1"}),
    "no host": (403, {"Host": None}),
    "another origin": (403, {"Origin": "http://evil.example"}),
    "an origin of no page": (403, {"Origin": "null"}),
    "another port's page": (403, {"Origin": "http://127.0.0.1:1"}),
    "no token": (403, {"X_Token": None}),
    "another token": (403, {"X_Token": "x" * 32}),
    "a token that is no ASCII": (403, {"X_Token": "é"}),
    "a form": (415, {"Content_Type": "text/plain"}),
    "no length": (411, {"Content_Length": None}),
    "a length that is none": (411, {"Content_Length": "-1"}),
    "a length of twenty digits": (411, {"Content_Length": "9" * 20}),
    "a gigabyte": (413, {"Content_Length": str(10**8)}),
}


@pytest.fixture(scope="module")
def silent():
    """A page whose agent must not be asked."""

    def nobody():
        raise AssertionError("the question came through")

    with page(nobody) as served:
        yield served


@pytest.mark.parametrize("name", REFUSED)
def test_who_may_not_ask(silent, name):
    wanted, headers = REFUSED[name]
    code, _, content = request(silent, body=asking("hi"), **headers)
    assert code == wanted and json.loads(content)["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b"[]", b"{}", b"\xff", asking(""), asking(3), asking("x", ""), asking("x", 3),
     asking("x", "s" * 200), {"session": "a"}],
)  # fmt: skip
def test_what_is_no_question(silent, body):
    assert request(silent, body=body)[0] == 400


def test_other_paths_and_methods(silent):
    assert request(silent, path="/other", body=asking("x"))[0] == 404
    for path in ("/favicon.ico", "/../web.py", "/page.html.j2", "/ask"):
        assert request(silent, "GET", path)[0] == 404
    assert request(silent, "GET", "/", Host="evil.example")[0] == 403
    assert request(silent, "OPTIONS", "/ask", Origin="http://evil.example")[0] == 501
    assert request(silent, "PUT", "/ask")[0] == 501


def test_what_the_page_may_load(silent):
    code, headers, content = request(silent, "GET", "/")
    assert code == 200 and "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers and "Python" not in headers["Server"]
    text = content.decode()
    assert "http" not in text and silent.token not in text
    assert "<b id=bold>" not in text and "&lt;/script&gt;" in text
    for path in ("/page.css", "/page.js"):
        code, headers, content = request(silent, "GET", path)
        assert code == 200 and b"http" not in content


def test_one_question_at_a_time_and_a_stopped_one_makes_room(monkeypatch):
    monkeypatch.setattr("evaluation.demo.web.STOPPING_S", 0.2)
    slow = [chunk({"content": "x"}), *[0.1, chunk({"content": "y"})] * 40]
    with DemoServer([slow, says("next")]) as server, page(lambda: Session(agent(server))) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=20)
        headers = {"X-Token": served.token, "Content-Type": "application/json"}
        connection.request("POST", "/ask", json.dumps(asking("slow")), headers)
        response = connection.getresponse()
        response.fp.readline()
        assert request(served, body=asking("now"))[0] == 409
        response.close()
        connection.close()
        until = time.monotonic() + 10
        while (answer := request(served, body=asking("now")))[0] == 409 and time.monotonic() < until:
            continue
    assert answer[0] == 200
    assert [m["content"] for m in server.bodies[-1]["messages"][1:]] == ["now"]


def test_a_port_that_is_taken(silent):
    for port in (silent.server_port, 99_999):
        with pytest.raises(InputError, match=f"port={port}: .*choose another port"):
            Page(port, Shown("", "", "", ()), lambda: None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as started:
        yield started


def done(browser):
    browser.wait_for("!document.querySelector('.waiting')")


@needs_browser
def test_a_browser_asks_and_shows_the_answer(browser):
    answers = [calls(SUM), says("It is **2**, by `1 + 1`.", reasoning=NASTY), says(NASTY)]
    with DemoServer(answers) as server, page(lambda: Session(agent(server))) as served:
        browser.open(served.address)
        browser.click("#examples button")
        assert browser.run("document.activeElement.value") == "What is 1 + 1?"
        browser.click("#send")
        browser.wait_for("document.querySelector('.text strong')")
        done(browser)
        assert browser.run("document.querySelector('.question').textContent") == "What is 1 + 1?"
        assert browser.run("document.querySelector('.text').textContent") == "It is 2, by 1 + 1."
        assert browser.run("document.querySelector('.call').innerText").split("\n")[0] == "calculator"
        browser.click(".call summary")
        assert browser.run("[...document.querySelectorAll('.call pre')].map(e => e.innerText)") == [
            SUM[1],
            "2",
        ]
        browser.type("#question", NASTY)
        browser.wait_for("document.querySelectorAll('.text').length === 2")
        done(browser)
        shown = browser.run("document.querySelectorAll('.text')[1].textContent")
        assert shown == NASTY.replace("\u202e", "\ufffd").replace("\u001b", "\ufffd")
        assert browser.run("document.querySelectorAll('img, #bold').length") == 0
        assert browser.run("document.title") == "Magic Megatron: tools"
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert not browser.console
    assert [m["content"] for m in server.bodies[2]["messages"] if m["role"] == "user"] == [
        "What is 1 + 1?",
        NASTY,
    ]


@needs_browser
def test_a_browser_shows_sub_tasks_verdicts_and_errors(browser):
    class Scripted:
        def reply(self, history):
            yield Event("task", "Plan it.", "travel")
            yield Event("call", "{}", "read_trip", agent="travel")
            yield Event("result", "error: no", "read_trip", ok=False, agent="travel")
            yield Event("text", "Day 1", agent="travel")
            yield Event("verdict", "Rome is missing", "constraints", ok=False, agent="travel")
            yield Event("text", "Here you are.")
            return ""

    with page(lambda: Session(Scripted())) as served:
        browser.open(served.address)
        browser.type("#question", "go")
        browser.wait_for("document.querySelector('#log > .text')")
        done(browser)
        kinds = "[...document.querySelector('.agent').children].map(e => e.className)"
        assert browser.run(kinds) == ["", "call", "text", "verdict bad"]
        assert browser.run("document.querySelector('.agent h2').innerText").split() == [
            "travel",
            "Plan",
            "it.",
        ]
        assert browser.run("document.querySelector('.state').className") == "state bad"
        assert browser.run("document.querySelector('#log > .text').textContent") == "Here you are."
        browser.click("#new")
        assert browser.run("document.querySelector('#log').children.length") == 0
    browser.type("#question", "anybody there?")
    browser.wait_for("document.querySelector('.notice')")
    done(browser)
    browser.console.clear()  # it notes the refused connection


@needs_browser
def test_a_browser_stops_an_answer_and_goes_on(browser):
    slow = [chunk({"content": "slow "}), *[0.1, chunk({"content": "x "})] * 600]
    with DemoServer([slow, says("fast")]) as server, page(lambda: Session(agent(server))) as served:
        browser.open(served.address)
        browser.type("#question", "slow?")
        browser.wait_for("document.querySelector('.text')")
        assert browser.run("document.querySelector('#send').textContent") == "Stop"
        browser.click("#send")
        browser.wait_for("document.querySelector('.notice')?.textContent === 'stopped'")
        browser.type("#question", "fast?")
        browser.wait_for("document.querySelectorAll('.text')[1]?.textContent === 'fast'")
        done(browser)
    assert [m["content"] for m in server.bodies[-1]["messages"][1:]] == ["fast?"]


@needs_browser
def test_a_browser_without_the_token_or_from_another_page_is_refused(browser):
    asked = []

    class Noting:
        def reply(self, history):
            asked.append(history[-1]["content"])
            yield Event("text", "x")
            return "x"

    with page(lambda: Session(Noting())) as served, page(lambda: Session(Noting())) as other:
        browser.open(f"{served.origins[1]}/#wrong")
        browser.type("#question", "let me in")
        browser.wait_for("document.querySelector('.notice')?.textContent.startsWith('no valid token')")
        browser.open(f"{served.origins[1]}/#{served.token}")
        browser.wait_for("!document.querySelector('.notice')")  # it loads anew
        browser.type("#question", "by localhost")
        browser.wait_for("document.querySelector('.text')")
        done(browser)
        browser.open("data:text/html,another page")
        body = json.dumps(asking("from another page"))
        headers = {"X-Token": other.token, "Content-Type": "application/json"}
        for options in ({"headers": headers}, {"mode": "no-cors"}, {}):
            sent = json.dumps({"method": "POST", "body": body, **options})
            script = f"fetch('{other.origins[0]}/ask', {sent}).then((r) => r.text(), () => '')"
            assert browser.run(script) == ""
    assert asked == ["by localhost"]
    browser.console.clear()  # it notes what was refused


@needs_browser
@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_text_can_be_read_in_both_schemes_and_on_a_phone(browser, scheme, dark):
    def luminance(colour):
        channels = [int(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    with (
        DemoServer([says("word " * 300 + "w" * 500)]) as server,
        page(lambda: Session(agent(server))) as served,
    ):
        browser.resize(390, 780, scheme)
        browser.open(served.address)
        browser.type("#question", "hi")
        browser.wait_for("document.querySelector('.text')")
        done(browser)
        page_colour = luminance(browser.run("getComputedStyle(document.body).backgroundColor"))
        assert (page_colour < 0.2) == dark
        for selector in ("body", "header p", ".text"):
            ink = luminance(browser.run(f"getComputedStyle(document.querySelector('{selector}')).color"))
            lighter, darker = max(ink, page_colour), min(ink, page_colour)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, selector  # WCAG 2.1, 1.4.3
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.run("document.querySelector('#send').getBoundingClientRect().bottom <= innerHeight")
    browser.resize(1000, 800)
