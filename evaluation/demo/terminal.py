"""A chat in the terminal: answers as they stream, reasoning dimmed, tool calls with their results."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

from evaluation.client import RequestFailedError
from evaluation.demo.events import Event, Session

HELP = "/new begins a new chat, /quit or Ctrl-D ends, Ctrl-C stops an answer"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MAX_SHOWN = 600
"""Characters of a tool's arguments or result on the screen; the model gets all."""

_DIM, _RED, _GREEN, _CYAN, _BOLD = "2", "31", "32", "36", "1"


class Screen:
    """Writes events to a stream; with colours if it is a terminal and ``NO_COLOR`` isn't set."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._has_colours = out.isatty() and not os.environ.get("NO_COLOR")
        self._open: str = ""
        self._at_line_start = True

    def show(self, event: Event) -> None:
        """Add one event; pieces of text go on where the last one ended."""
        indent = "  " if event.agent else ""
        if event.kind in ("thinking", "text"):
            if self._open != f"{event.kind} {event.agent}":
                self._break()
                self._open = f"{event.kind} {event.agent}"
                self._write(indent)
            text = safe(event.text).replace("\n", f"\n{indent}")
            self._write(self._style(text, _DIM if event.kind == "thinking" else ""))
            return
        self._break()
        mark, style = {
            "call": ("→ ", _CYAN),
            "result": ("← ", _DIM if event.ok else _RED),
            "task": ("▸ ", _BOLD),
            "verdict": ("✓ " if event.ok else "✗ ", _GREEN if event.ok else _RED),
            "notice": ("! ", _RED),
        }[event.kind]
        name = (
            f"{event.name}: "
            if event.kind in ("task", "verdict")
            else f"{event.name} " * (event.kind == "call")
        )
        text = safe(event.text if len(event.text) <= _MAX_SHOWN else event.text[:_MAX_SHOWN] + " …")
        lines = f"{mark}{safe(name)}{text}".strip().replace("\n", f"\n{indent}  ")
        self._write(indent + self._style(lines, style) + "\n")

    def fail(self, message: str) -> None:
        """An error in place of the rest of the answer."""
        self.show(Event("notice", message, ok=False))

    def end(self) -> None:
        """The answer is complete."""
        self._break()
        self._out.flush()

    def say(self, text: str, style: str = "") -> None:
        """A line of the command's own."""
        self._break()
        self._write(self._style(text, style) + "\n")

    def _break(self) -> None:
        self._open = ""
        if not self._at_line_start:
            self._write("\n")

    def _style(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if style and self._has_colours and text else text

    def _write(self, text: str) -> None:
        if text:
            encoding = self._out.encoding or "utf-8"
            self._out.write(text.encode(encoding, "replace").decode(encoding))
            self._out.flush()
            self._at_line_start = text.endswith("\n")


def safe(text: str) -> str:
    """``text`` without what could drive a terminal or turn the writing around; newlines and tabs stay."""
    return _CONTROL.sub("\ufffd", text)


def answer_one(session: Session, question: str) -> bool:
    """Ask one question; whether it was answered."""
    return _answer(session, question, Screen(sys.stdout))


def chat(session: Session, title: str, examples: Sequence[str]) -> None:
    """Ask what the user types, until the end of the input."""
    screen = Screen(sys.stdout)
    if sys.stdin.isatty():
        import readline  # noqa: F401  gives input() a history and keys to edit with

        screen.say(title, _BOLD)
        screen.say(HELP, _DIM)
        for example in examples:
            screen.say(f"  {example}", _DIM)
    while True:
        try:
            question = input("\n> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            screen.say("")
            return
        except UnicodeDecodeError:
            screen.fail("that is no text")
            continue
        if question == "/quit":
            return
        if question == "/new":
            session.forget()
            screen.say("a new chat", _DIM)
        elif question:
            _answer(session, question, screen)


def _answer(session: Session, question: str, screen: Screen) -> bool:
    try:
        for event in session.ask(question):
            screen.show(event)
    except RequestFailedError as error:
        screen.fail(str(error))
        return False
    except KeyboardInterrupt:
        screen.fail("stopped")
        return False
    screen.end()
    return True
