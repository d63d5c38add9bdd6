"""A streaming chat-completions server on loopback whose answers are scripted. Real sockets, real threads.

    with DemoServer([says("Hello"), calls(("calculator", '{"expression": "1+1"}'))]) as server: ...

Each answer is a list of chunks (the ``choices[0].delta`` of an event, or bytes sent as they are), or a function of the
request's body that returns one. ``bodies`` holds what was asked.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DONE = b"data: [DONE]\n\n"
CUT = object()
"""The connection ends here."""


def chunk(delta, finish_reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    event = {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}
    return f"data: {json.dumps(event)}\n\n".encode()


def says(text, size=7, reasoning="", finish_reason="stop"):
    """An answer of text in pieces of ``size`` characters, after reasoning that the server marks."""
    deltas = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": reasoning[i : i + size]} for i in range(0, len(reasoning), size)]
    deltas += [{"content": text[i : i + size]} for i in range(0, len(text), size)]
    return [*map(chunk, deltas), chunk({}, finish_reason), DONE]


def calls(*wanted, text="", size=5):
    """An answer of native tool calls, (name, arguments) each, the arguments in pieces of ``size``."""
    deltas = [{"role": "assistant", "content": text or None}]
    for index, (name, arguments) in enumerate(wanted):
        first = {"index": index, "id": f"id{index}", "type": "function"}
        deltas.append({"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]})
        for start in range(0, len(arguments), size):
            function = {"arguments": arguments[start : start + size]}
            deltas.append({"tool_calls": [{"index": index, "function": function}]})
    return [*map(chunk, deltas), chunk({}, "tool_calls"), DONE]


def call_text(name, **arguments):
    """A call as Qwen3 writes it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def status(code, body=b"oops"):
    """An answer that is an error."""
    return (code, body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.headers.append(dict(self.headers))
            answer = self.server.answers.pop(0)
        answer = answer(body) if callable(answer) else answer
        self.close_connection = True
        if isinstance(answer, tuple):
            self.head(answer[0], "application/json")
            self.wfile.write(answer[1])
            return
        self.head(200, "text/event-stream")
        try:
            for piece in answer:
                if piece is CUT:
                    return
                if isinstance(piece, float):
                    time.sleep(piece)
                    continue
                self.wfile.write(piece)
                self.wfile.flush()
                self.server.num_sent += 1
        except (BrokenPipeError, ConnectionResetError):
            self.server.num_left += 1

    def head(self, code, kind):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format, *arguments):
        """Silence."""


class DemoServer:
    """Context manager. Answers are used up in order."""

    def __init__(self, answers):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.answers, self._server.bodies, self._server.headers = list(answers), [], []
        self._server.lock = threading.Lock()
        self._server.num_sent = self._server.num_left = 0
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __getattr__(self, name):
        return getattr(self._server, name)
