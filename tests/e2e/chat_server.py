"""A chat endpoint on loopback whose behaviour a test writes down as a function. Real sockets, real threads."""

import collections
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text, finish_reason="stop", **message):
    message = {"role": "assistant", "content": text, **message}
    usage = {"prompt_tokens": 7, "completion_tokens": 5}
    return {"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}


class Server(ThreadingHTTPServer):
    """A chat endpoint that does what ``behave(prompt, attempt, handler)`` says, and keeps every request."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behave):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.requests = []
        self.times = collections.defaultdict(list)
        self.lock = threading.Lock()
        self.under_way = self.most_under_way = 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def asked(self):
        return [request["messages"][-1]["content"] for request in self.requests]

    def handle_error(self, request, client_address):
        """A client that went away is part of these tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.requests.append({**body, "path": self.path, "key": self.headers.get("Authorization")})
            self.server.times[prompt].append(time.monotonic())
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
            attempt = len(self.server.times[prompt])
        try:
            self.server.behave(prompt, attempt, self)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def reply(self, content, status=200, **headers):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args):
        """Silence."""


@contextmanager
def serving(behave):
    server = Server(behave)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
