"""Prompts and solutions for the browser of samples, from a run's held-out rows and from benchmarks' own data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.jsonl import read_lines, read_text
from recipes.command import InputError


@dataclass(frozen=True)
class Source:
    """What a sample asks and what is right."""

    prompt: str
    gold: str


@dataclass(frozen=True)
class GoldFiles:
    """``gold`` of ``recipes/report.yaml``."""

    natural_plan: str | None
    worfbench: str | None
    acebench: str | None


type Sources = Mapping[tuple[str, str, str], Source]
"""By benchmark, language or "", and id."""


def read_sources(files: GoldFiles) -> Sources:
    """All that the given files have.

    Raises:
        InputError: a path without such files, or a file that isn't the benchmark's.
    """
    sources: dict[tuple[str, str, str], Source] = {}
    for name, path in (("natural_plan", files.natural_plan), ("worfbench", files.worfbench)):
        if path is not None:
            sources |= {(name, "", key): source for key, source in _READERS[name](Path(path))}
    if files.acebench is not None:
        for language in ("en", "zh"):
            found = _acebench(Path(files.acebench) / f"data_{language}")
            sources |= {("acebench", language, key): source for key, source in found}
    return sources


def heldout_sources(rows: Mapping[str, dict[str, Any]]) -> Sources:
    """Of the puzzles among a run's held-out rows."""
    return {("natural_plan", "", key): row_source(row) for key, row in rows.items() if _is_puzzle(row)}


def row_source(row: Mapping[str, Any]) -> Source:
    """Of a row of data_synth that is a puzzle."""
    return Source(_said(row["messages"]), _lines(row["gold"]["natural_plan"]["golden_plan"]))


def _is_puzzle(row: Mapping[str, Any]) -> bool:
    return "natural_plan" in row.get("gold", {})


def _natural_plan(path: Path) -> Iterator[tuple[str, Source]]:
    for file in _files("natural_plan", path, "*.json*"):
        if file.suffix == ".jsonl":
            rows = read_lines("gold.natural_plan", str(file), read_text("gold.natural_plan", str(file)))
            yield from ((row["id"], row_source(row)) for _, row in rows if _is_puzzle(row))
            continue
        for key, fields in _json("natural_plan", file, dict).items():
            prompt = fields.get("prompt_5shot") or fields.get("prompt_0shot") or ""
            yield key, Source(str(prompt), _lines(fields.get("golden_plan", "")))


def _worfbench(path: Path) -> Iterator[tuple[str, Source]]:
    for file in _files("worfbench", path, "*/graph_eval.json"):
        for number, row in enumerate(_json("worfbench", file, list)):
            said = row["conversations"]
            gold = next((m["content"] for m in reversed(said) if m["role"] == "assistant"), "")
            yield f"{file.parent.name}/{number}", Source(_said(said), gold)


def _acebench(path: Path) -> Iterator[tuple[str, Source]]:
    for file in _files("acebench", path, "data_*.json"):
        answers = {
            row["id"]: row for _, row in _rows("acebench", file.parent / "possible_answer" / file.name)
        }
        for _, row in _rows("acebench", file):
            gold = {key: value for key, value in answers.get(row["id"], {}).items() if key != "id"}
            tools = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in row.get("function", []))
            yield (
                row["id"],
                Source(f"{row['question']}\n{tools}", json.dumps(gold, ensure_ascii=False, indent=1)),
            )


_READERS = {"natural_plan": _natural_plan, "worfbench": _worfbench}


def _files(name: str, path: Path, pattern: str) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob(pattern))
    if not files:
        raise InputError(f"gold.{name}={path}: no {pattern} there; give what was data= of the benchmark")
    return files


def _json[T](name: str, file: Path, kind: type[T]) -> T:
    try:
        content = json.loads(read_text(f"gold.{name}", str(file)))
    except (ValueError, RecursionError):
        raise InputError(f"gold.{name}={file}: no JSON; give the benchmark's data") from None
    if not isinstance(content, kind):
        raise InputError(f"gold.{name}={file}: not the benchmark's data; give what was data= of it")
    return content


def _rows(name: str, file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if file.exists():
        yield from read_lines(f"gold.{name}", str(file), read_text(f"gold.{name}", str(file)))


def _said(messages: list[dict[str, Any]]) -> str:
    return "\n\n".join(str(m["content"]) for m in messages if m["role"] != "assistant")


def _lines(plan: object) -> str:
    return "\n".join(map(str, plan)) if isinstance(plan, list) else str(plan)
