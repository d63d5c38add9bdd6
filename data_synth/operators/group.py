"""Group: plans over the same parameters share their values, said once (section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from data_synth.operators.merge import NotApplicable, side_by_side
from data_synth.operators.plan import Given, Plan, Step
from data_synth.operators.schema import is_reusable, parameter_schema, same_space
from data_synth.tools.graphs import ToolGraphs
from data_synth.tools.tool import Tool


def group(first: Plan, second: Plan, tools: Mapping[str, Tool], graphs: ToolGraphs) -> Plan:
    """Both plans side by side; parameters that the sharing graph pairs have one slot.

    Raises:
        NotApplicable: no pair of the user's arguments is shared, or a tool is in both.
    """
    if both := {s.tool for s in first.steps} & {s.tool for s in second.steps}:
        raise NotApplicable(f"{min(both)} is in both")
    shared: dict[str, str] = {}
    pairs = (pair for a in first.steps for b in second.steps for pair in shared_slots(a, b, tools, graphs))
    for _score, slot, other in sorted(pairs, key=lambda pair: -pair[0]):
        if other not in shared and slot not in shared.values():
            shared[other] = slot
    if not shared:
        raise NotApplicable("no parameter is shared")
    return side_by_side(first, second, "group", shared)


def shared_slots(
    a: Step, b: Step, tools: Mapping[str, Tool], graphs: ToolGraphs
) -> Iterator[tuple[float, str, str]]:
    """(score, slot of ``a``, slot of ``b``) of each pair that the sharing graph knows and one value can serve."""
    for name, other, score in shared_parameters(a.tool, b.tool, graphs):
        mine, yours = a.arguments.get(name), b.arguments.get(other)
        if not isinstance(mine, Given) or not isinstance(yours, Given):
            continue
        schema, theirs = parameter_schema(tools[a.tool], name), parameter_schema(tools[b.tool], other)
        needed = name in tools[a.tool].required and other in tools[b.tool].required
        if same_space(schema, theirs) and is_reusable(name, schema) and (needed or name == other):
            yield score, mine.slot, yours.slot


def shared_parameters(a: str, b: str, graphs: ToolGraphs) -> Iterator[tuple[str, str, float]]:
    """(parameter of ``a``, parameter of ``b``, score) of the edge between two tools, if there is one.

    The graph is undirected: an edge's pairs are written for its ends in the collection's order.
    """
    if not graphs.sharing.has_edge(a, b):
        return
    first = next(name for name in graphs.sharing.nodes if name in (a, b))
    for pair in graphs.sharing.edges[a, b]["pairs"]:
        ends = (pair["a"], pair["b"]) if a == first else (pair["b"], pair["a"])
        yield (*ends, float(pair["score"]))
