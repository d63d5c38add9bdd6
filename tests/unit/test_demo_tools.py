"""The tools: right answers, and no way to do anything else."""

import http.server
import json
import os
import re
import threading
import time
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluation.demo import loopback
from evaluation.demo.calculator import CALCULATOR, evaluate
from evaluation.demo.database import describe, query
from evaluation.demo.files import _walk, file_tools, read, search
from evaluation.demo.sample import Reach, make_database, real_tools
from evaluation.demo.toolbox import Tool, Toolbox, ToolError
from recipes.command import InputError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0.1 + 0.2", "0.3"),
        ("24 * 8.25 * .85", "168.3"),
        ("2 ** 3 ** 2", "512"),
        ("-2 ^ 2", "-4"),
        ("2 ^ -2", "0.25"),
        ("7 // 2 - -7 % 4", "2"),
        ("(1 + 2) * (3 - 4) / 8", "-0.375"),
        ("1/3", "0.33333333333333333333 (rounded)"),
        ("round(2.5) + round(-2.5) + round(100/7, 2)", "14.29"),
        ("sqrt(2.25) + sqrt(16)", "5.5"),
        ("max(1, 2.5, 2) - min(3, abs(-4))", "-0.5"),
        ("round(sin(pi / 6), 10) + ln(e)", "1.5"),
        ("2 ^ 0.5", "1.4142135623731"),
        ("1.5e3 + 1e-2", "1500.01"),
        ("(-1) ^ 1000000001", "-1"),
        ("10^100 // 10^98", "100"),
        ("1e-30", "1E-30"),
    ],
)
def test_calculator(expression, value):
    assert evaluate(expression).startswith(value)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "ends too early"),
        ("1 +", "ends too early"),
        ("1 2", "doesn't belong"),
        ("(1", "missing"),
        ("1/0", "division by zero"),
        ("5 % 0", "division by zero"),
        ("0 ^ -99999", "division by zero"),
        ("9^9^9^9", "too large"),
        ("1e999999999", "too large"),
        ("9" * 990 + "*" + "9" * 9, ""),
        ("exp(1e5)", "too large"),
        ("(-8) ^ 0.5", "isn't real"),
        ("sqrt(-1)", "math"),
        ("(" * 200 + "1", "nested"),
        ("-" * 990 + "1", ""),
        ("2" + "^2" * 400, "nested"),
        ("__import__('os').system('id')", "can't read"),
        ("open", "unknown"),
        ("round(1, 2, 3)", "takes 1 to 2"),
        ("round(1, 1e300)", "round: digits"),
        ("15% of 200", "unknown"),
        ("1" * 2000, "characters"),
        ("٣ + ١", "can't read"),
    ],
)
def test_calculator_refuses_in_no_time(expression, message):
    started = time.monotonic()
    try:
        evaluate(expression)
    except ToolError as error:
        assert message and message in str(error)
    else:
        assert not message
    assert time.monotonic() - started < 0.5


EXPRESSIONS = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_calculator_agrees_with_exact_fractions(expression):
    exact = re.sub(r"(\d+)", r"Fraction(\1)", expression)  # of digits and + - * / alone
    try:
        wanted = eval(exact, {"Fraction": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ToolError, match="division by zero"):
            evaluate(expression)
        return
    value = evaluate(expression)
    if value.endswith("(rounded)"):
        assert float(value.split()[0]) == pytest.approx(float(wanted), rel=1e-15)
    else:
        assert Fraction(value) == wanted


@given(st.text(alphabet="0123456789.eE+-*/^%(), pisqrtmaxround", max_size=60))
@example("9" * 400 + "^" + "9" * 400)
def test_calculator_raises_nothing_else(expression):
    try:
        assert isinstance(evaluate(expression), str)
    except ToolError:
        return


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    tables = {
        "items": {
            "columns": ["id INTEGER", "name TEXT", "price REAL"],
            "rows": [[i, f"item {i}", i / 2] for i in range(200)],
        }
    }
    return make_database(tmp_path_factory.mktemp("db") / "odd name?#.sqlite", tables)


def test_database_answers(shop):
    assert query(shop, "SELECT name, price FROM items WHERE id IN (3, 4) ORDER BY id") == (
        "name | price\nitem 3 | 1.5\nitem 4 | 2.0\n(2 rows)"
    )
    assert (
        query(shop, "WITH a AS (SELECT 1 AS x) SELECT x, NULL, x'00ff' FROM a").split("\n")[1]
        == "1 | NULL | (2 bytes)"
    )
    assert query(shop, "SELECT * FROM items").endswith("(more than 50 rows; add a LIMIT)")
    assert describe(shop) == "items(id INTEGER, name TEXT, price REAL)"


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM items",
        "INSERT INTO items VALUES (1, 'x', 1)",
        "UPDATE items SET price = 0 RETURNING *",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "DROP TABLE items",
        "ATTACH '/etc/passwd' AS p",
        "VACUUM INTO '/tmp/copy'",
        "PRAGMA writable_schema = 1",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('x')",
        "BEGIN",
        "SELECT 1; DELETE FROM items",
        "EXPLAIN SELECT 1; SELECT 2",
        "",
        "-- nothing",
        "SELECT",
        "SELECT '\0'",
        "SELECT '\ud83d'",
        "SELECT missing FROM items",
        "SELECT zeroblob(1000000000)",
        "SELECT " + "(" * 2000 + "1" + ")" * 2000,
        "SELECT 1 " + "UNION SELECT 1 " * 600,
        "SELECT '" + "x" * 20_000 + "'",
    ],
)
def test_database_refuses(shop, sql):
    before = shop.read_bytes()
    with pytest.raises(ToolError):
        query(shop, sql)
    assert shop.read_bytes() == before and [*shop.parent.iterdir()] == [shop]


MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c",
        "SELECT count(*) FROM items a, items b, items c, items d",
        MANY
        + "SELECT sum(instr(x, y)) FROM n, (SELECT printf('%.*c', 6500, '0') x, printf('%.*c', 3200, '0')||'1' y)",
        MANY + f"SELECT sum(x LIKE '{'%0' * 49}1') FROM n, (SELECT printf('%.*c', 9000, '0') x)",
    ],
)
def test_database_stops_what_takes_long(shop, sql, monkeypatch):
    monkeypatch.setattr("evaluation.demo.database.MAX_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(ToolError, match="stopped after"):
        query(shop, sql)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("instr(hex(zeroblob(47000)), hex(zeroblob(23000))||'1')", "too big"),
        (f"printf('%.*c', 9000, '0') LIKE '{'%0' * 4000}1'", "pattern too complex"),
    ],
)
def test_database_refuses_calls_that_no_clock_could_stop(shop, call, message):
    started = time.monotonic()
    with pytest.raises(ToolError, match=message):
        query(shop, f"{MANY} SELECT sum({call}) FROM n")
    assert time.monotonic() - started < 1


def test_database_keeps_values_small(shop):
    assert query(shop, "SELECT printf('%1000000000d', 1)") == "printf('%1000000000d', 1)\nNULL\n(1 rows)"
    assert len(query(shop, "SELECT hex(zeroblob(4000))")) < 300
    with pytest.raises(ToolError, match="too big"):
        query(shop, "SELECT hex(zeroblob(40000))")


def test_no_database(tmp_path):
    (tmp_path / "text").write_text("no database" * 100)
    for path in (tmp_path / "text", tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=r"tools\.database="), real_tools(Reach(str(path), None, ())):
            pass
    assert not (tmp_path / "missing").exists()
    with (
        pytest.raises(InputError, match=r"tools\.folder="),
        real_tools(Reach(None, str(tmp_path / "no"), ())),
    ):
        pass


@pytest.fixture
def folder(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("SECRET")
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (inside / "a.txt").write_text("First line\nTea costs 3 EUR\n")
    (inside / "sub" / "b.txt").write_bytes(b"tea \xff and cake")
    (inside / "link.txt").symlink_to(outside / "secret.txt")
    (inside / "near.txt").symlink_to("a.txt")
    (inside / "out").symlink_to(outside)
    (inside / "loop").symlink_to(".")
    os.mkfifo(inside / "pipe")
    return inside


def test_files_are_found_and_read(folder):
    assert search(folder, "TEA") == 'a.txt:2: "Tea costs 3 EUR"\nsub/b.txt:1: "tea \ufffd and cake"'
    assert search(folder, "") == "a.txt\nsub/b.txt"
    assert search(folder, "coffee") == 'no line contains "coffee"'
    assert read(folder, "sub/b.txt") == read(folder, "./sub/b.txt") == "tea \ufffd and cake"


def test_a_file_that_is_deleted_while_searching_is_passed_over(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    found = _walk(tmp_path)
    assert next(found)[0] == "a"
    (tmp_path / "b").unlink()
    assert [path for path, _, _ in found] == ["c"]


def test_search_says_when_there_is_more(folder):
    (folder / "c.txt").write_text("tea\n" * 100)
    assert search(folder, "tea").endswith("(more than 30; search for a longer text)")


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.txt", "sub/../../outside/secret.txt", "/etc/passwd", "link.txt", "out/secret.txt",
        "near.txt", "loop/a.txt", "pipe", "sub", "", ".", "..", "a.txt/", "a.txt/..", "a.txt\0", "sub//b.txt",
        "missing", "\ud83d", "x" * 5000, "a/" * 3000 + "b", "~/x", "//etc/passwd", "./../outside/secret.txt",
    ],
)  # fmt: skip
def test_no_way_out_of_the_folder(folder, path):
    with pytest.raises(ToolError):
        read(folder, path)


def test_search_does_not_follow_links(folder):
    assert "SECRET" not in search(folder, "secret") and search(folder, "secret").startswith("no line")


def test_a_folder_that_is_a_link_itself_is_meant(folder, tmp_path):
    (tmp_path / "alias").symlink_to(folder)
    find, look = file_tools(tmp_path / "alias")
    assert find.run("costs") == 'a.txt:2: "Tea costs 3 EUR"' and look.run("a.txt").startswith("First")


def test_a_link_put_in_place_of_a_folder_while_searching(folder):
    """The race that checking a path before opening it would lose."""
    (folder / "swap").mkdir()
    (folder / "swap" / "secret.txt").write_text("harmless")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            (folder / "swap").rename(folder / "aside")
            (folder / "swap").symlink_to(folder.parent / "outside")
            (folder / "swap").unlink()
            (folder / "aside").rename(folder / "swap")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                assert read(folder, "swap/secret.txt") == "harmless"
            except ToolError:
                continue
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def site():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append((self.path, self.headers.get("Host")))
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "http://example.com/")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            if self.path == "/drip":
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            self.wfile.write(b"y" * (1 << 22) if self.path == "/big" else b"caf\xc3\xa9")

        def log_message(self, *_):
            pass

    class Site(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """Clients that leave are part of the tests."""

    with Site(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_http_on_loopback(site, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    port = site.server_port
    for host in ("127.0.0.1", "localhost"):
        assert loopback.get(f"http://{host}:{port}/x?y=1", [port]) == "HTTP 200\ncafé"
    assert site.asked[0] == ("/x?y=1", f"127.0.0.1:{port}")
    assert loopback.get(f"http://127.0.0.1:{port}/moved", [port]).startswith(
        'HTTP 302 to "http://example.com/", not followed'
    )
    big = loopback.get(f"http://127.0.0.1:{port}/big", [port])
    assert "(cut at" in big and len(big) < 101_000


def test_http_does_not_wait_for_drips(site, monkeypatch):
    monkeypatch.setattr(loopback, "MAX_SECONDS", 0.3)
    started = time.monotonic()
    assert "(cut at" in loopback.get(f"http://127.0.0.1:{site.server_port}/drip", [site.server_port])
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "http://127.0.0.1.example.com:PORT/", "http://127.0.0.1@example.com:PORT/",
        "http://user@127.0.0.1:PORT/", "https://127.0.0.1:PORT/", "file:///etc/passwd", "http://0.0.0.0:PORT/",
        "http://127.1:PORT/", "http://2130706433:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://127.0.0.2:PORT/",
        "http://127.0.0.1:1/", "http://127.0.0.1/", "ftp://localhost:PORT", "//127.0.0.1:PORT/", "", "x", "http://",
        "http://127.0.0.1:99999999/", "http://localhost.:PORT/", "http://\ud83d:PORT/", "http://169.254.169.254/",
    ],
)  # fmt: skip
def test_http_goes_nowhere_else(site, url):
    with pytest.raises(ToolError):
        loopback.get(url.replace("PORT", str(site.server_port)), [site.server_port])
    assert not site.asked


def toolbox(max_characters=50):
    echo = Tool("echo", "says it again", {"text": {"type": "string"}}, lambda text: text)
    return Toolbox([echo, CALCULATOR], max_characters)


@pytest.mark.parametrize(
    ("name", "arguments", "result", "ok"),
    [
        ("echo", '{"text": "a"}', "a", True),
        ("echo", '{"text": "' + "a" * 60 + '"}', "a" * 50 + "\n… (10 more characters)", True),
        ("echo", '{"text": "\\ud83d"}', "?", True),
        ("none", "{}", 'error: no tool "none"; there are echo, calculator', False),
        ("echo", "", "error: arguments: 'text' is a required property", False),
        ("echo", '{"text": 3}', "error: text: 3 is not of type 'string'", False),
        ("echo", '{"text": "a", "b": 1}', "error: arguments: Additional properties", False),
        ("echo", '{"text"', "error: the arguments are no JSON:", False),
        ("echo", "[" * 100_000, "error: the arguments are no JSON:", False),
        ("echo", "[]", "error: the arguments are no JSON object", False),
        ("echo", "9" * 5000, "error: the arguments are no JSON", False),
        ("calculator", '{"expression": "1/0"}', "error: division by zero", False),
    ],
)
def test_calls_are_checked(name, arguments, result, ok):
    said, worked = toolbox().run(name, arguments)
    assert said.startswith(result) and worked == ok


def test_the_sample_answers_its_own_examples():
    with real_tools(Reach(None, None, ())) as tools:
        box = Toolbox(tools, 8000)
        assert [schema["function"]["name"] for schema in box.schemas] == [
            "calculator", "query_database", "search_files", "read_file", "http_get",
        ]  # fmt: skip
        sql = (
            "SELECT c.name, sum(quantity * price_eur) AS spent FROM orders JOIN customers c ON c.id = customer_id "
            "JOIN products p ON p.id = product_id GROUP BY c.id ORDER BY spent DESC LIMIT 1"
        )
        assert "Luis Ortega" in box.run("query_database", json.dumps({"sql": sql}))[0]
        assert "14 days" in box.run("search_files", '{"text": "sent back"}')[0]
        address = re.search(r"http://\S+/rates", tools[-1].description)[0]
        assert '"USD": 1.12' in box.run("http_get", json.dumps({"url": address}))[0]
    said, ok = box.run("http_get", json.dumps({"url": address}))
    assert not ok and "ConnectError" in said
    assert not box.run("query_database", '{"sql": "SELECT 1"}')[1]
