"""Collections of any size from real tools, for benchmarks and tests: two real tools made one that does both.

A variant takes what either takes and gives what either gives, in fields under its own names for half of them, so that
names and schemas are as various as real ones, and larger. Real tools are the catalogue's and, where the files are at
hand, StableToolBench's 2,479 APIs and ACEBench's 2,000 rows.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_synth.tools.curation import CATALOGUE, Collection, Curation
from data_synth.tools.normalise import Limits
from data_synth.tools.tool import Tool

SHARED = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[2] / "shared"))
LIMITS = Limits(max_chars=8000, max_parameters=32, max_output_fields=64, describe_outputs=True)


def real_tools() -> dict[str, Tool]:
    """All real tools at hand, the catalogue's first."""
    folders = [
        str(path) for name in ("stabletoolbench", "acebench") if (path := SHARED / "data" / name).is_dir()
    ]
    curation = Curation(Collection(LIMITS, licence=None), "auto")
    for _ in curation.read([CATALOGUE, *folders]):
        pass
    return curation.collection.tools


def write_variants(tools: dict[str, Tool], number: int, seed: int, path: Path) -> None:
    """``number`` variants as a list of functions, a line each; no two alike."""
    with path.open("w", encoding="utf-8") as lines:
        for record in variants(list(tools.values()), number, random.Random(seed)):
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")


def variants(tools: list[Tool], number: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Functions that do what two of ``tools`` of one domain do, where there are two."""
    by_domain: dict[str, list[Tool]] = {}
    for tool in tools:
        by_domain.setdefault(tool.domain, []).append(tool)
    seen: set[tuple[str, str]] = set()
    while len(seen) < number:
        one = rng.choice(tools)
        other = rng.choice(by_domain[one.domain] if rng.random() < 0.8 else tools)
        if one is not other and (one.name, other.name) not in seen:
            seen.add((one.name, other.name))
            yield _both(one, other, own=f"{rng.choice(other.name.split('_'))}_", renames=rng.random() < 0.5)


def _both(one: Tool, other: Tool, own: str, renames: bool) -> dict[str, Any]:
    return {
        "name": f"{one.domain or 'general'}.{one.name}_then_{other.name}",
        "description": f"{one.description.rstrip('.')}, then: {other.description}",
        "parameters": _joined(one.parameters, other.parameters, own if renames else ""),
        "output": _joined(one.output, other.output, own if renames else ""),
    }


def _joined(one: Any, other: Any, prefix: str) -> dict[str, Any]:
    properties = dict(one.get("properties", {}))
    properties |= {prefix + name: schema for name, schema in other.get("properties", {}).items()}
    required = [*one.get("required", ()), *(prefix + name for name in other.get("required", ()))]
    return {"type": "object", "properties": properties, "required": list(dict.fromkeys(required))}
