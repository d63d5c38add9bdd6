"""The paper's verification of a workflow graph (section 3.4, DAG Verification): four rules, each with its reason."""

from __future__ import annotations

from collections.abc import Callable

import networkx

from data_synth.tasks.procedural.dag import END, START, graph, topological_order
from data_synth.tasks.procedural.workflow import GoldPlan, Workflow

type Rule = Callable[[GoldPlan, Workflow], bool]


def missing_gold_action(gold: GoldPlan, workflow: Workflow) -> bool:
    """An action or tool of the gold plan is done by no node, or isn't offered."""
    done = {name for node in workflow.nodes for name in node.actions}
    offered = {candidate.name for candidate in workflow.candidates}
    return any(name not in done or name not in offered for name in gold.actions())


def cyclic(gold: GoldPlan, workflow: Workflow) -> bool:
    """The edges contain a cycle."""
    return topological_order(len(workflow.nodes), workflow.edges) is None


def order_deviates(gold: GoldPlan, workflow: Workflow) -> bool:
    """The sequence derived from the graph isn't the gold one."""
    order = topological_order(len(workflow.nodes), workflow.edges)
    if order is None:
        return False  # ``cyclic`` says so
    return [workflow.nodes[number - 1].text for number in order] != [node.text for node in gold.nodes]


def start_end_not_unique(gold: GoldPlan, workflow: Workflow) -> bool:
    """START isn't the only node that nothing leads into, or END not the only one that leads nowhere."""
    directed = graph(len(workflow.nodes), workflow.edges)
    sources = [name for name, degree in directed.in_degree() if degree == 0]
    sinks = [name for name, degree in directed.out_degree() if degree == 0]
    if sources != [START] or sinks != [END]:
        return True
    reached = networkx.descendants(directed, START)
    return len(reached) != len(directed) - 1


RULES: tuple[Rule, ...] = (missing_gold_action, cyclic, order_deviates, start_end_not_unique)
"""In the order in which they are asked."""


def broken(gold: GoldPlan, workflow: Workflow) -> str | None:
    """Name of the first rule that the workflow breaks; None if it may be kept."""
    return next((rule.__name__ for rule in RULES if rule(gold, workflow)), None)
