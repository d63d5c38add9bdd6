"""The two graphs that plans are drawn from (section 3.1): tool dependency and parameter sharing.

``a → b`` of the dependency graph says that an output of ``a`` fills a required parameter of ``b``; ``a — b`` of the
sharing graph that both can be given the same values. Every edge says how sure it is, and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from data_synth.tools.dependency import Embed, Features, dependency_links
from data_synth.tools.dependency_match import SCORE_UNIT
from data_synth.tools.settings import GraphSettings
from data_synth.tools.sharing import shared_parameters
from data_synth.tools.tool import Tool


@dataclass(frozen=True)
class ToolGraphs:
    """Both graphs, over the names of all tools in the collection's order.

    Attributes:
        dependency: edge attributes ``score`` (its best link's, 0 to 1) and ``links``, best first: ``parameter`` of
            the target, ``path`` in the source's output (0 stands for any index of a list), ``score``, ``reason``.
        sharing: edge attributes ``score`` (0 to 1) and ``pairs``, best first: ``a`` and ``b`` (the parameter of the
            edge's first and second tool in the collection's order), ``score``, ``reason``.
    """

    dependency: nx.DiGraph
    sharing: nx.Graph


def build_graphs(
    tools: Mapping[str, Tool], embed: Embed | None = None, settings: GraphSettings | None = None
) -> ToolGraphs:
    """The graphs of a collection; the same tools in the same order give the same graphs in the same order.

    Args:
        tools: name to tool.
        embed: texts to vectors, for links by meaning as well (``embedding.open_embedder``).
        settings: the recipe's where left out.
    """
    settings = settings or GraphSettings.default()
    features = Features.of(tools, with_text=embed is not None)
    return ToolGraphs(_dependency(features, settings, embed), _sharing(features, settings))


def _dependency(features: Features, settings: GraphSettings, embed: Embed | None) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(features.names)
    for link in dependency_links(features, settings, embed):
        source, target = features.names[link.producer], features.names[link.consumer]
        if not graph.has_edge(source, target):
            graph.add_edge(source, target, score=link.score / SCORE_UNIT, links=[])
        graph.edges[source, target]["links"].append(
            {
                "parameter": link.parameter,
                "path": link.path,
                "score": link.score / SCORE_UNIT,
                "reason": link.reason,
            }
        )
    return graph


def _sharing(features: Features, settings: GraphSettings) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(features.names)
    for sharing in shared_parameters(features, settings):
        pairs = [
            {"a": a, "b": b, "score": score / SCORE_UNIT, "reason": reason}
            for a, b, score, reason in sharing.pairs
        ]
        names = features.names[sharing.one], features.names[sharing.other]
        graph.add_edge(*names, score=sharing.score / SCORE_UNIT, pairs=pairs)
    return graph
