"""Procedural logic orchestration, Eq. 7: ``Node 1:N1 2:N2. Edge:(E1),(E2)``, scored as WorfBench does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, model_validator

from evaluation.worfbench import Graph, chain_f1, graph_f1, topological_orders
from magic_megatron.rl.rewards.base import Parts, RewardSettings, register
from magic_megatron.rl.rewards.formats import graph, workflow


class ProceduralTruth(BaseModel):
    """A workflow without cycles."""

    nodes: list[str] = Field(min_length=1)
    edges: list[tuple[str, str]]

    @model_validator(mode="after")
    def _is_workflow(self) -> ProceduralTruth:
        try:
            gold = graph(self.nodes, self.edges)
        except KeyError as error:
            raise ValueError(f"an edge names {error}, which is no node") from None
        next(topological_orders(gold))
        return self


@register("procedural", part="flow", ground_truth=ProceduralTruth)
def reward(response: str, ground_truth: Mapping[str, Any], settings: RewardSettings) -> Parts:
    """``flow`` is ½·chain F1 + ½·graph F1; where it is less than 1 the reason gives both."""
    found, flow = workflow(response), settings.config.flow
    if found is None:
        return Parts({"format": 0.0, "flow": 0.0}, "not Node: 1: … 2: … Edge: (START,1) (1,2) (2,END)")
    if len(found.nodes) - 2 > flow.max_nodes:
        return Parts(
            {"format": 1.0, "flow": 0.0}, f"{len(found.nodes) - 2} nodes, more than {flow.max_nodes}"
        )
    gold = graph(ground_truth["nodes"], [(a, b) for a, b in ground_truth["edges"]])
    similarity = _similarity(found, gold, settings)
    node = settings.config.thresholds.node
    chain = chain_f1(found, gold, similarity, flow.mode, node)
    shape = graph_f1(found, gold, similarity, flow.mode, node)
    value = flow.chain * chain + flow.graph * shape
    reason = "ok" if chain == shape == 1.0 else f"chain F1 {chain:.2f}, graph F1 {shape:.2f}"
    return Parts({"format": 1.0, "flow": min(value, 1.0)}, reason)


def _similarity(found: Graph, gold: Graph, settings: RewardSettings) -> np.ndarray:
    """Cosines of all nodes; START is like START alone, and END like END."""
    matrix = np.zeros((len(found.nodes), len(gold.nodes)))
    matrix[0, 0] = matrix[-1, -1] = 1.0
    matrix[1:-1, 1:-1] = settings.embeddings.cosine_matrix(found.nodes[1:-1], gold.nodes[1:-1])
    return matrix
