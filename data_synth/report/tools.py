"""What is known of the tools that a run's rows name: their domains, sources and licences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_synth.tools.tool import Tool

UNKNOWN = "other"


def tools_of_run(folder: Path) -> Mapping[str, Tool]:
    """The tools that the run in ``folder`` could use: those of its ``tools.path``, else the built-in catalogue."""
    from data_synth.tools.catalogue import load_catalogue
    from data_synth.tools.collection import read_tools

    manifest = folder / "manifest.json"
    settings = json.loads(manifest.read_text("utf-8"))["settings"] if manifest.exists() else {}
    path = settings.get("tools.path")
    return read_tools(Path(path)) if path else load_catalogue()


def domains_of(names: Iterable[str], tools: Mapping[str, Tool]) -> dict[str, str]:
    """Tool to its domain, ``other`` where nobody knows."""
    return {name: tools[name].domain or UNKNOWN if name in tools else UNKNOWN for name in sorted(names)}


def sources(names: Iterable[str], tools: Mapping[str, Tool]) -> list[dict[str, Any]]:
    """How many of the tools are from which source, under which licence."""
    found = Counter((tools[name].source, tools[name].licence) for name in names if name in tools)
    return [
        {"source": source, "licence": licence, "num_tools": count}
        for (source, licence), count in sorted(found.items())
    ]
