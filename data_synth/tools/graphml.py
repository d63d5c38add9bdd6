"""Graphs as GraphML, written node by node: networkx builds the whole tree in memory, and its types hold no lists.

Lists (links, pairs) are JSON text. ``networkx.read_graphml`` reads the files; ``read_graph`` also the lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import networkx as nx

from data_synth.tools.tool import Tool

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="domain" for="node" attr.name="domain" attr.type="string"/>
  <key id="description" for="node" attr.name="description" attr.type="string"/>
  <key id="score" for="edge" attr.name="score" attr.type="double"/>
  <key id="reasons" for="edge" attr.name="reasons" attr.type="string"/>
  <key id="{lists}" for="edge" attr.name="{lists}" attr.type="string"/>
  <graph edgedefault="{direction}">
"""
_TAIL = "  </graph>\n</graphml>\n"


def write_graph(path: Path, graph: nx.Graph, tools: Mapping[str, Tool]) -> None:
    """Write one of ``ToolGraphs``'s graphs; nodes carry domain and description."""
    lists = "links" if graph.is_directed() else "pairs"
    direction = "directed" if graph.is_directed() else "undirected"
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEAD.format(lists=lists, direction=direction))
        for name in graph:
            tool = tools[name]
            file.writelines(
                _element("node", {"id": name}, {"domain": tool.domain, "description": tool.description})
            )
        for source, target, data in graph.edges(data=True):
            reasons = "; ".join(dict.fromkeys(entry["reason"] for entry in data[lists]))
            text = json.dumps(data[lists], ensure_ascii=False)
            values = {"score": repr(data["score"]), "reasons": reasons, lists: text}
            file.writelines(_element("edge", {"source": source, "target": target}, values))
        file.write(_TAIL)


def read_graph(path: Path) -> nx.Graph:
    """What ``write_graph`` wrote, as ``build_graphs`` gave it (beside the nodes' attributes)."""
    graph = nx.read_graphml(path)
    for _, _, data in graph.edges(data=True):
        del data["reasons"]
        for lists in ("links", "pairs"):
            if lists in data:
                data[lists] = [_with_path(entry) for entry in json.loads(data[lists])]
    return graph


def _with_path(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"path": tuple(entry["path"])} if "path" in entry else entry


def _element(tag: str, attributes: Mapping[str, str], values: Mapping[str, str]) -> Iterator[str]:
    yield f"    <{tag}" + "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items()) + ">\n"
    for key, value in values.items():
        yield f'      <data key="{key}">{escape(value)}</data>\n'
    yield f"    </{tag}>\n"
