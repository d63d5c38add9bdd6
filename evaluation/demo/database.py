"""Ask an SQLite database: one SELECT at a time, in bounded time and memory, with no way to write or to reach others.

The file is opened read-only. Beside that SQLite itself asks for leave to do each thing (an authorizer), and all but
reading tables and calling functions is denied: ATTACH, PRAGMA and virtual tables among it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from evaluation.demo.toolbox import Tool, ToolError

MAX_ROWS = 50
MAX_SECONDS = 2.0
MAX_VALUE_BYTES = 10_000
MAX_SHOWN = 200
"""Characters of one value."""
CHECK_INTERVAL = 100
"""SQLite's virtual-machine instructions between two looks at the clock. One can't be interrupted: what bounds it is how
long values and patterns may be."""

_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_DENIED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


def database_tool(path: Path) -> Tool:
    """The tool over the database at ``path``; its description has the tables."""
    return Tool(
        "query_database",
        f"Run one SELECT statement on an SQLite database, read-only. At most {MAX_ROWS} rows come back. "
        f"Tables: {describe(path)}",
        {"sql": {"type": "string", "description": "such as SELECT name FROM products WHERE price < 20"}},
        lambda sql: query(path, sql),
    )


def describe(path: Path) -> str:
    """``table(column type, …); …`` of all tables and views.

    Raises:
        ToolError: no SQLite database.
    """
    with _open(path) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        )
        tables = []
        for (name,) in names.fetchall():
            columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
            tables.append(f"{name}({', '.join(' '.join(column).strip() for column in columns)})")
    return "; ".join(tables)


def query(path: Path, sql: str) -> str:
    """The rows as lines of values between `` | ``, under a line of their names.

    Raises:
        ToolError: SQLite's own words about the statement, or what it may not do.
    """
    deadline = time.monotonic() + MAX_SECONDS
    with _open(path) as connection:
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, CHECK_INTERVAL)
        connection.set_authorizer(_authorize)
        cursor = connection.execute(sql)
        if cursor.description is None:
            raise ToolError("not a SELECT statement")
        rows = cursor.fetchmany(MAX_ROWS + 1)
    lines = [" | ".join(str(column[0]) for column in cursor.description)]
    lines += [" | ".join(_shown(value) for value in row) for row in rows[:MAX_ROWS]]
    lines.append(
        f"({len(rows)} rows)" if len(rows) <= MAX_ROWS else f"(more than {MAX_ROWS} rows; add a LIMIT)"
    )
    return "\n".join(lines)


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            yield connection
    except sqlite3.ProgrammingError as error:
        raise ToolError(f"one statement at a time ({error})") from None
    except (sqlite3.Error, sqlite3.Warning) as error:
        stopped = str(error) == "interrupted"
        raise ToolError(f"stopped after {MAX_SECONDS:g} s" if stopped else str(error)) from None
    except (UnicodeEncodeError, ValueError) as error:  # half a character, or a NUL within the statement
        raise ToolError(f"the statement can't be read ({error})") from None
    except MemoryError:
        raise ToolError("the statement needs too much memory") from None


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    denied = action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second in _DENIED_FUNCTIONS)
    return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


def _shown(value: object) -> str:
    text = f"({len(value)} bytes)" if isinstance(value, bytes) else "NULL" if value is None else str(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
