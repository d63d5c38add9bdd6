"""The picture of which tool's answers fed which tool in the run, as places and lines for an inline SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

MOST_TOOLS, MOST_LINKS = 90, 160
MOST_NAMED = 36
WIDTH, HEIGHT, MARGIN = 1000, 640, 60
NUM_COLOURS = 12
"""Of the page's palette; the domains after the 11 with most tools share the last one."""


@dataclass(frozen=True)
class Node:
    """A tool: where it stands, how large, its colour and whether its name is written."""

    name: str
    domain: str
    count: int
    x: float
    y: float
    radius: float
    colour: int
    named: bool


@dataclass(frozen=True)
class Line:
    """From one tool to another, ``width`` by the number of rows."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    title: str


@dataclass(frozen=True)
class Picture:
    """What the page draws; ``num_tools`` and ``num_links`` are those of the run, drawn or not."""

    nodes: list[Node]
    lines: list[Line]
    legend: list[tuple[str, int]]
    num_tools: int
    num_links: int
    width: int = WIDTH
    height: int = HEIGHT


def draw(called: Counter[str], links: Counter[tuple[str, str]], domains: Mapping[str, str]) -> Picture | None:
    """The pairs that occur most, as far as their tools are few enough; None where nothing is linked.

    Args:
        called: rows that call each tool.
        links: rows in which the second tool needs the first.
        domains: tool to domain.
    """
    if not links:
        return None
    import networkx  # takes a third of a second, for nothing in a run without tools

    graph = networkx.Graph()
    drawn = list[tuple[str, str]]()
    for pair, _ in sorted(links.items(), key=lambda item: (-item[1], item[0])):
        if len(graph.nodes | set(pair)) <= MOST_TOOLS and len(drawn) < MOST_LINKS:
            drawn.append(pair)
            graph.add_edge(*pair)
    shown = sorted(graph.nodes, key=lambda name: (-graph.degree[name], name))
    places = networkx.spring_layout(graph, seed=0, k=4 / len(shown) ** 0.5, iterations=200)
    points = _fit({name: (float(x), float(y)) for name, (x, y) in places.items()})
    colours = _colours({name: domains[name] for name in shown})
    named, most = set(shown[:MOST_NAMED]), max(called[name] for name in shown) or 1
    nodes = [
        Node(
            name=name,
            domain=colours[name][0],
            count=called[name],
            x=points[name][0],
            y=points[name][1],
            radius=round(4 + 9 * (called[name] / most) ** 0.5, 1),
            colour=colours[name][1],
            named=name in named,
        )
        for name in sorted(shown)
    ]
    lines = _lines(Counter({pair: links[pair] for pair in drawn}), points)
    legend = sorted(set(colours.values()), key=_by_colour)
    num_tools = len({name for pair in links for name in pair})
    return Picture(nodes, lines, legend, num_tools, len(links))


def _by_colour(entry: tuple[str, int]) -> tuple[int, str]:
    return entry[1], entry[0]


def _colours(domains: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Tool to the name in the legend and the number of its colour; the largest domains have one of their own."""
    sizes = Counter(domains.values())
    ranked = [name for name, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))]
    own = ranked if len(ranked) <= NUM_COLOURS else ranked[: NUM_COLOURS - 1]
    numbers = {name: (name, number) for number, name in enumerate(own)}
    return {tool: numbers.get(domain, ("others", NUM_COLOURS - 1)) for tool, domain in domains.items()}


def _fit(places: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Stretched to the picture, and rounded, so that the last digits of another machine's sums don't show."""
    spans = []
    for axis, size in ((0, WIDTH), (1, HEIGHT)):
        values = [place[axis] for place in places.values()]
        low, high = min(values), max(values)
        spans.append((low, (size - 2 * MARGIN) / (high - low or 1.0)))
    return {
        name: tuple(round(MARGIN + (place[axis] - spans[axis][0]) * spans[axis][1], 1) for axis in (0, 1))  # type: ignore[misc]
        for name, place in places.items()
    }


def _lines(links: Counter[tuple[str, str]], points: Mapping[str, tuple[float, float]]) -> list[Line]:
    most = max(links.values())
    return [
        Line(
            *points[source],
            *points[target],
            width=round(0.8 + 2.7 * count / most, 2),
            title=f"{source} → {target}: {count}",
        )
        for (source, target), count in sorted(links.items())
    ]
