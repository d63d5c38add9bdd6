"""A chat-completions server on loopback that does what servers do on bad days. Real sockets, real threads.

    with MisbehavingServer(lambda body, number: HANG if number == 1 else None) as server: ...

``faults`` sees the request's body and how often this very prompt was asked; None: a right answer. A right answer is a
function of the request: JSON with the user's message.
"""

import gzip
import json
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCHEMA = {
    "type": "object",
    "properties": {"echo": {"type": "string"}, "seed": {"type": "integer"}},
    "required": ["echo", "seed"],
    "additionalProperties": False,
}
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
HANG_S = 30.0


def right_answer(body):
    """The text that a faultless server gives."""
    return json.dumps({"echo": body["messages"][-1]["content"], "seed": body["seed"]}, ensure_ascii=False)


def completion(text, finish_reason="stop", **more):
    """The body of an answer with ``text``."""
    message = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"id": "cmpl-1", "object": "chat.completion", "choices": [choice], "usage": USAGE}


def answers(value, status=200, **headers):
    """A fault that is an answer: JSON of ``value``, which may be a function of the request; bytes as they are."""

    def fault(handler, body):
        said = value(body) if callable(value) else value
        handler.reply(status, said if isinstance(said, bytes) else json.dumps(said).encode(), headers)

    return fault


def hang(handler, body):
    handler.server.released.wait(HANG_S)
    handler.close_connection = True


def hang_after_headers(handler, body):
    handler.head(200, {"Content-Length": "500"})
    handler.wfile.write(b'{"choices"')
    handler.wfile.flush()
    hang(handler, body)


def drip(handler, body):
    """A byte now and then, never an end: no single read takes long."""
    handler.head(200, {"Content-Length": "100000"})
    until = time.monotonic() + HANG_S
    while time.monotonic() < until and not handler.server.released.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()
    handler.close_connection = True


def close_unanswered(handler, body):
    handler.close_connection = True


def close_midway(handler, body):
    whole = json.dumps(completion(right_answer(body))).encode()
    handler.head(200, {"Content-Length": str(len(whole))})
    handler.wfile.write(whole[: len(whole) // 2])
    handler.close_connection = True


def close_midway_without_length(handler, body):
    """HTTP/1.0's way: the end of the connection is the end of the body, so nothing tells that some is missing."""
    whole = json.dumps(completion(right_answer(body))).encode()
    handler.head(200, {"Connection": "close"})
    handler.wfile.write(whole[: len(whole) // 2])
    handler.close_connection = True


def endless(handler, body):
    """Chunks for as long as somebody reads."""
    handler.head(200, {"Transfer-Encoding": "chunked"})
    chunk = b"x" * 65536
    until = time.monotonic() + HANG_S
    while time.monotonic() < until:
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.server.num_bytes += len(chunk)


def answer_twice(handler, body):
    """The second one lies in the connection for whoever asks next."""
    other = {**body, "messages": [{"role": "user", "content": "somebody else's question"}]}
    for answered in (body, other):
        handler.reply(200, json.dumps(completion(right_answer(answered))).encode(), {})


def no_http(handler, body):
    handler.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    handler.close_connection = True


def ten_megabytes(body):
    return completion(json.dumps({"echo": "x" * 10_000_000, "seed": body["seed"]}))


PASSING = {
    "hangs": hang,
    "hangs after the headers": hang_after_headers,
    "drips": drip,
    "closes without an answer": close_unanswered,
    "closes midway": close_midway,
    "closes midway, no length": close_midway_without_length,
    "no HTTP": no_http,
    "malformed JSON": answers(b'{"choices": [{"message": {"content": "{\\"echo\\"'),
    "not even UTF-8": answers(b"\xff\xfe\x00{}"),
    "JSON 100,000 deep": answers(b"[" * 100_000),
    "an HTML page": answers(b"<html><body>It works!</body></html>"),
    "an empty body": answers(b""),
    "a list": answers([]),
    "a number": answers(7),
    "an error with status 200": answers({"error": {"message": "engine died"}}),
    "choices empty": answers({**completion("x"), "choices": []}),
    "choices null": answers({**completion("x"), "choices": None}),
    "message null": answers({**completion("x"), "choices": [{"message": None, "finish_reason": "stop"}]}),
    "content null": answers(completion(None)),
    "content empty": answers(completion("")),
    "content a number": answers(completion(12)),
    "content half a character": answers(completion('{"echo": "\ud83d"}')),
    "no finish_reason": answers(lambda body: completion(right_answer(body)[:-5], None)),
    "finish_reason abort": answers(lambda body: completion(right_answer(body)[:-5], "abort")),
    "finish_reason a list": answers(lambda body: completion(right_answer(body), ["stop"])),
    "10 MB": answers(ten_megabytes),
    "endless": endless,
    "gzip nobody asked for": answers(
        lambda body: gzip.compress(b" " * 50_000_000), **{"Content-Encoding": "gzip"}
    ),
    "429 with Retry-After": answers({"error": "slow down"}, 429, **{"Retry-After": "1"}),
    "429 without": answers({"error": "slow down"}, 429),
    "500": answers({"error": "oops"}, 500),
    "502 with a page": answers(b"<html>Bad Gateway</html>", 502),
    "503": answers(b"", 503),
    "504": answers(b"", 504),
    "408": answers(b"", 408),
}
"""Faults after which the same request, asked again, may be answered."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # several answers leave in one packet

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with server.lock:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.num_asked[prompt] += 1
            number = server.num_asked[prompt]
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            fault = server.faults(body, number) or answers(lambda body: completion(right_answer(body)))
            fault(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with server.lock:
                server.under_way -= 1

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def reply(self, status, content, headers):
        self.head(
            status, {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
        )
        self.wfile.write(content)

    def log_message(self, format, *arguments):
        """Tests read what the client says, not what the server logs."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request, client_address):
        """A client that gave up on a hanging connection is what many tests are about."""


class MisbehavingServer:
    """Context manager; ``bodies`` and ``headers`` hold what was asked, in order of arrival."""

    def __init__(self, faults=lambda body, number: None):
        self._faults = faults
        self._port = 0

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self.die()

    def _start(self):
        server = _Server(("127.0.0.1", self._port), _Handler)
        self._port = server.server_address[1]
        server.faults = self._faults
        server.lock, server.released = threading.Lock(), threading.Event()
        server.bodies, server.headers, server.connections = [], [], []
        server.num_asked = Counter()
        server.under_way = server.most_under_way = server.num_bytes = 0
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self._server = server

    def __getattr__(self, name):
        return getattr(self._server, name)

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self._port}/v1"

    def die(self):
        """As killed: no listener, every connection reset."""
        self._server.released.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._server.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed before

    def revive(self):
        """On the same port; what it remembers of before is gone."""
        self._start()
