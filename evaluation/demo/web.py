"""The same chat as a page on loopback: one HTML page, its script and style, and a stream of server-sent events.

Who may ask: whoever has the token, which the command prints within the page's address, behind the ``#`` that browsers
keep to themselves. So other users of this machine and other web pages may not; that the request's ``Host`` names
loopback and its ``Origin`` this page is checked beside it, against names that are rebound to 127.0.0.1.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

import jinja2

from evaluation.client import RequestFailedError
from evaluation.demo.events import Session
from recipes.command import InputError

HOST = "127.0.0.1"
MAX_SESSIONS = 32
"""Chats that are remembered; the one unused for longest is forgotten first."""
MAX_BODY = 1 << 18
STOPPING_S = 5.0
"""For an answer that was stopped to notice, before the next question of that chat is refused."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Shown:
    """What the page says about itself."""

    title: str
    purpose: str
    model: str
    examples: Sequence[str]


class Page(ThreadingHTTPServer):
    """The server of one demo. ``address`` has the token."""

    daemon_threads = True

    def __init__(self, port: int, shown: Shown, new_session: Callable[[], Session]) -> None:
        """Listen on ``port`` of 127.0.0.1; 0 takes a free one.

        Raises:
            InputError: the port is taken, or isn't one.
        """
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"port={port}: {reason}; choose another port, or 0 for a free one") from None
        self.files = _render(shown)
        self.token = secrets.token_urlsafe(24)
        self._new_session = new_session
        self._sessions: OrderedDict[str, tuple[Session, threading.Lock]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def origins(self) -> tuple[str, ...]:
        """The addresses under which a browser may show the page."""
        return tuple(f"http://{host}:{self.server_port}" for host in (HOST, "localhost"))

    @property
    def address(self) -> str:
        """Where to look."""
        return f"{self.origins[0]}/#{self.token}"

    def session(self, name: str) -> tuple[Session, threading.Lock]:
        """The chat that a page calls ``name``, and what keeps it to one question at a time."""
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = (self._new_session(), threading.Lock())
            self._sessions.move_to_end(name)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
            return self._sessions[name]


class _RefusedError(Exception):
    """A request that isn't answered. ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Page
    timeout = 60  # of a connection that sends nothing

    def do_GET(self) -> None:
        try:
            self._check_host()
            if self.path not in self.server.files:
                raise _RefusedError(404, "no such page")
        except _RefusedError as error:
            self._refuse(error)
            return
        kind, content = self.server.files[self.path]
        self._head(200, kind)
        self.wfile.write(content)

    def do_POST(self) -> None:
        try:
            self._check_host()
            self._check_asker()
            name, question = self._read_question()
            session, lock = self.server.session(name)
            if not lock.acquire(timeout=STOPPING_S):
                raise _RefusedError(409, "this chat is still answering; stop it first")
        except _RefusedError as error:
            self._refuse(error)
            return
        try:
            self._head(200, "text/event-stream; charset=utf-8")
            self._stream(session, question)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the user pressed Stop or left: the answer isn't wanted
        finally:
            lock.release()

    def _stream(self, session: Session, question: str) -> None:
        events = session.ask(question)
        try:
            for event in events:
                self._send({key: value for key, value in asdict(event).items() if value != ""})
        except RequestFailedError as error:
            self._send({"kind": "notice", "text": str(error), "ok": False})
        finally:
            events.close()
        self._send({"kind": "end"})

    def _send(self, event: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def _check_host(self) -> None:
        if f"http://{self.headers.get('Host', '')}" not in self.server.origins:
            raise _RefusedError(403, "this page is at 127.0.0.1 only")

    def _check_asker(self) -> None:
        if self.path != "/ask":
            raise _RefusedError(404, "no such page")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in self.server.origins:
            raise _RefusedError(403, "asked by another page")
        if not hmac.compare_digest(self.headers.get("X-Token", "").encode(), self.server.token.encode()):
            raise _RefusedError(403, "no valid token; open the address that the command printed")
        if self.headers.get_content_type() != "application/json":
            raise _RefusedError(415, "ask with JSON")

    def _read_question(self) -> tuple[str, str]:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10):
            raise _RefusedError(411, "say how long the question is")
        if int(length) > MAX_BODY:
            raise _RefusedError(413, "the question is too long")
        try:
            body = json.loads(self.rfile.read(int(length)))
            name, question = body["session"], body["question"].strip()
            if not isinstance(name, str) or not 0 < len(name) <= 100 or not question:
                raise ValueError
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError, OSError):
            raise _RefusedError(400, 'ask with {"session": "…", "question": "…"}') from None
        return name, question

    def _refuse(self, error: _RefusedError) -> None:
        self._head(error.status, "application/json")
        self.wfile.write(json.dumps({"error": str(error)}).encode())

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()

    def version_string(self) -> str:
        """No word about Python's version."""
        return "demo"

    def log_message(self, format: str, *args: Any) -> None:
        """Questions are nobody else's business."""


def _render(shown: Shown) -> dict[str, tuple[str, bytes]]:
    """(content type, content) by path."""
    folder = resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(folder.joinpath("page.html.j2").read_text("utf-8")).render(shown=shown)
    return {
        "/": ("text/html; charset=utf-8", page.encode("utf-8", "replace")),
        "/page.css": ("text/css; charset=utf-8", folder.joinpath("page.css").read_bytes()),
        "/page.js": ("text/javascript; charset=utf-8", folder.joinpath("page.js.j2").read_bytes()),
    }
