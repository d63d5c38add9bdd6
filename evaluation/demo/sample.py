"""A small tea shop for the tools: a database, a folder of notes and pages on loopback, made on the spot."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evaluation.demo.calculator import CALCULATOR
from evaluation.demo.database import database_tool
from evaluation.demo.files import file_tools
from evaluation.demo.loopback import http_tool
from evaluation.demo.toolbox import Tool, ToolError
from recipes.command import InputError


@dataclass(frozen=True)
class Reach:
    """``tools`` of ``recipes/demo.yaml``: what the tools work on; None for the sample."""

    database: str | None
    folder: str | None
    ports: tuple[int, ...]


@contextmanager
def real_tools(reach: Reach) -> Iterator[list[Tool]]:
    """All tools of the tool-calling agent, for as long as the ``with`` block.

    Raises:
        InputError: no database or folder where ``reach`` says.
    """
    sample = json.loads(resources.files(__package__).joinpath("sample.json").read_text("utf-8"))
    with TemporaryDirectory(prefix="demo-") as made, _serve(sample["pages"]) as port:
        database = Path(reach.database or make_database(Path(made, "shop.sqlite"), sample["tables"]))
        folder = Path(reach.folder or _make_files(Path(made, "notes"), sample["files"]))
        if not folder.is_dir():
            raise InputError(f"tools.folder={folder}: no such folder; give one with text files")
        try:
            query = database_tool(database)
        except ToolError as error:
            raise InputError(f"tools.database={database}: {error}; give an SQLite file") from None
        pages = [f"http://127.0.0.1:{port}{path}" for path in sample["pages"]]
        yield [CALCULATOR, query, *file_tools(folder), http_tool((port, *reach.ports), pages)]


def make_database(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write ``tables`` ({name: {"columns", "rows"}}) to a new database at ``path``."""
    with closing(sqlite3.connect(path)) as connection:
        for name, table in tables.items():
            columns: Sequence[str] = table["columns"]
            connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", table["rows"])
        connection.commit()
    return path


def _make_files(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@contextmanager
def _serve(pages: Mapping[str, Any]) -> Iterator[int]:
    """The port on which ``pages`` are served as JSON."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            content = json.dumps(page if page is not None else {"error": "no such page"}).encode()
            self.send_response(200 if page is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """The terminal is for the chat."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
