"""Atomic plans from the graphs: isolated, parallel and serial ones around a tool (section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from data_synth.operators.atoms import isolated, parallel, serial
from data_synth.operators.group import shared_parameters
from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Plan
from data_synth.operators.schema import is_plain, is_reusable
from data_synth.tasks.decomposition.sense import contradiction, link_weight
from data_synth.tasks.decomposition.settings import ComposeSettings
from data_synth.tasks.toolbox import Toolbox
from data_synth.tools.tool import Tool

NUM_TRIES = 12
"""Neighbours of a tool that are tried."""


class AtomDrawer:
    """The draws of one plan's atoms.

    Methods raise NotApplicable where these draws made none; other random numbers may make one.
    """

    def __init__(self, toolbox: Toolbox, settings: ComposeSettings, rng: Random) -> None:
        self.tools, self.graphs = toolbox.tools, toolbox.graphs
        self.settings, self.rng = settings, rng

    def atom(self, tool: Tool) -> Plan:
        """Of any kind."""
        if self.rng.random() >= self.settings.pair_share:
            return self.isolated(tool)
        make = self.serial if self.rng.random() < 0.5 else self.independent
        try:
            return make(tool)
        except NotApplicable:
            return self.isolated(tool)

    def isolated(self, tool: Tool) -> Plan:
        """One step."""
        return isolated(tool, self._optional(tool))

    def independent(self, tool: Tool) -> Plan:
        """Isolated or parallel."""
        if self.rng.random() < self.settings.pair_share:
            for name in self._shuffle(self.graphs.sharing.neighbors(tool.name)):
                other = self.tools[name]
                if self._depend(tool.name, name):
                    continue
                pairs: dict[str, str] = {}
                for mine, yours, _ in shared_parameters(tool.name, name, self.graphs):
                    needed = mine in tool.required and yours in other.required
                    if needed and yours not in pairs.values() and is_reusable(mine, tool.properties[mine]):
                        pairs.setdefault(mine, yours)
                if not pairs:
                    continue
                try:
                    wanted = {t.name: self._optional(t) for t in (tool, other)}
                    return self.sound(parallel(tool, other, pairs, wanted))
                except NotApplicable:
                    continue
        return self.isolated(tool)

    def serial(self, tool: Tool) -> Plan:
        """An edge of the dependency graph at ``tool``; at the first of its neighbours if it has none itself."""
        pairs = [(tool.name, name) for name in self.graphs.dependency.successors(tool.name)]
        pairs += [(name, tool.name) for name in self.graphs.dependency.predecessors(tool.name)]
        for source, target in self.weighted(pairs)[:NUM_TRIES]:
            link = self.link(source, target)
            wanted = {name: self._optional(self.tools[name]) for name in (source, target)}
            best = {link["parameter"]: tuple(link["path"])}
            try:
                return serial(self.tools[source], self.tools[target], best, wanted)
            except NotApplicable:
                continue
        raise NotApplicable(f"no dependency at {tool.name}")

    def link(self, source: str, target: str) -> Mapping[str, Any]:
        """The best link of an edge."""
        best: Mapping[str, Any] = self.graphs.dependency.edges[source, target]["links"][0]
        return best

    def weighted(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Edges in an order drawn by how sensible they are; those that aren't are left out."""
        keyed = []
        for source, target in pairs:
            parameter = self.link(source, target)["parameter"]
            weight = link_weight(self.tools[source], self.tools[target], parameter, self.graphs)
            if weight:
                keyed.append((self.rng.random() ** (1 / weight), source, target))
        return [(source, target) for _, source, target in sorted(keyed, reverse=True)]

    def sound(self, plan: Plan) -> Plan:
        """The plan, or NotApplicable for one that contradicts itself."""
        if wrong := contradiction(plan, self.tools, self.graphs):
            raise NotApplicable(wrong)
        return plan

    def _depend(self, a: str, b: str) -> bool:
        return self.graphs.dependency.has_edge(a, b) or self.graphs.dependency.has_edge(b, a)

    def _optional(self, tool: Tool) -> list[str]:
        plain = [
            name for name, schema in tool.properties.items() if name not in tool.required and is_plain(schema)
        ]
        return [name for name in plain if self.rng.random() < self.settings.optional_share]

    def _shuffle[Item](self, items: Iterable[Item]) -> list[Item]:
        order = list(items)
        self.rng.shuffle(order)
        return order
