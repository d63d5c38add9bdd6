"""``graphs.html``: both graphs as one page without outside assets, to look at, to search, with a reason per edge."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from data_synth.tools.graphs import ToolGraphs
from data_synth.tools.tool import Tool

type Place = tuple[float, float]

_SPACING = 26.0
"""Between neighbouring tools; the page scales it."""
_GAP = 46.0
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_MAX_DESCRIPTION = 400


def write_picture(path: Path, tools: Mapping[str, Tool], graphs: ToolGraphs, max_tools: int) -> None:
    """Write the page; of more than ``max_tools`` tools it shows those with most edges, and says so."""
    shown = _best_linked(graphs, max_tools)
    number = {name: place for place, name in enumerate(shown)}
    domains = _by_domain(shown, tools)
    places = _layout(domains)
    domain_numbers = {name: place for place, names in enumerate(domains.values()) for name in names}
    data = {
        "domains": [[domain or "no domain", *places[domain]] for domain in domains],
        "tools": [_tool(tools[name], domain_numbers[name], places, domains) for name in shown],
        "links": _edges(graphs.dependency, number, "links"),
        "pairs": _edges(graphs.sharing, number, "pairs"),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    source = resources.files("data_synth.tools").joinpath("picture.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)
    counts = {
        "num_tools": len(tools),
        "num_shown": len(shown),
        "num_domains": len(domains),
        "num_links": graphs.dependency.number_of_edges(),
        "num_pairs": graphs.sharing.number_of_edges(),
    }
    path.write_text(page.render(data=text, **counts) + "\n", encoding="utf-8")


def _best_linked(graphs: ToolGraphs, max_tools: int) -> list[str]:
    """In the collection's order."""
    names = list(graphs.dependency)
    degrees = {name: graphs.dependency.degree(name) + graphs.sharing.degree(name) for name in names}
    best = set(sorted(names, key=lambda name: -degrees[name])[:max_tools])
    return [name for name in names if name in best]


def _by_domain(shown: list[str], tools: Mapping[str, Tool]) -> dict[str, list[str]]:
    """The largest domain first."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in shown:
        found[tools[name].domain].append(name)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _layout(domains: Mapping[str, list[str]]) -> dict[str, tuple[float, float, float]]:
    """Centre and radius of each domain's disc: along a spiral, each at the first place that is free."""
    placed: dict[str, tuple[float, float, float]] = {}
    for domain, names in domains.items():
        radius = _SPACING * math.sqrt(len(names)) + _GAP / 2
        turn = 0.0
        while True:
            x, y = 9 * turn * math.cos(turn) * 1.1, 9 * turn * math.sin(turn)
            if all(math.hypot(x - a, y - b) >= radius + r + _GAP / 2 for a, b, r in placed.values()):
                break
            turn += 0.05
        placed[domain] = (round(x, 1), round(y, 1), round(radius, 1))
    return placed


def _place_in_disc(centre: tuple[float, float, float], number: int) -> Place:
    """The ``number``-th seed of a sunflower."""
    distance, angle = _SPACING * math.sqrt(number + 0.5) * 0.92, number * _GOLDEN_ANGLE
    return round(centre[0] + distance * math.cos(angle), 1), round(centre[1] + distance * math.sin(angle), 1)


def _tool(
    tool: Tool,
    domain: int,
    places: Mapping[str, tuple[float, float, float]],
    domains: Mapping[str, list[str]],
) -> list[Any]:
    """``[name, domain, x, y, description, parameters, output fields]``; required parameters have a star."""
    x, y = _place_in_disc(places[tool.domain], domains[tool.domain].index(tool.name))
    asked = [f"{name}*" if name in tool.required else name for name in tool.properties]
    given = list(tool.output.get("properties", {}))
    return [tool.name, domain, x, y, tool.description[:_MAX_DESCRIPTION], ", ".join(asked), ", ".join(given)]


def _edges(graph: Any, number: Mapping[str, int], lists: str) -> list[list[Any]]:
    """``[source, target, score, [[from, to, reason, score], …]]`` of the edges between tools that are shown."""
    edges = []
    for source, target, data in graph.edges(data=True):
        if source in number and target in number:
            reasons = [
                [
                    ".".join(map(str, entry["path"])) if lists == "links" else entry["a"],
                    entry["parameter"] if lists == "links" else entry["b"],
                    entry["reason"],
                    entry["score"],
                ]
                for entry in data[lists]
            ]
            edges.append([number[source], number[target], data["score"], reasons])
    return edges
