"""Atomic plans: one tool, or two that an edge of a graph joins (section 3.1).

Values are left out (None): they are filled in once the whole plan stands, for its slots alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from data_synth.operators.merge import NotApplicable, side_by_side
from data_synth.operators.plan import Argument, Given, Output, Plan, Step, single_turn
from data_synth.operators.schema import Path, fits, parameter_schema, same_space, schema_at
from data_synth.tools.tool import Tool


def isolated(tool: Tool, optional: Iterable[str] = ()) -> Plan:
    """One step; the user gives every required parameter and the named optional ones."""
    wanted = {*tool.required, *optional}
    arguments: dict[str, Argument] = {name: Given(None, name) for name in tool.properties if name in wanted}
    return single_turn((Step(1, tool.name, arguments),))


def serial(
    source: Tool,
    target: Tool,
    links: Mapping[str, Path],
    optional: Mapping[str, Iterable[str]] | None = None,
) -> Plan:
    """Two steps, an edge of the dependency graph: the answer of ``source`` gives parameters of ``target``.

    Args:
        links: parameter of ``target`` to the path in ``source``'s answer.
        optional: tool name to the optional parameters that the user gives.

    Raises:
        NotApplicable: a link names no parameter or no output, or their types differ.
    """
    wanted = optional or {}
    first = isolated(source, wanted.get(source.name, ()))
    second = isolated(target, wanted.get(target.name, ()))
    if not links:
        raise NotApplicable("no link")
    arguments = dict(second.steps[0].arguments)
    for name, path in links.items():
        check_link(source, path, target, name)
        arguments[name] = Output(1, path)
    taken = dict(first.steps[0].arguments)
    renamed: dict[str, Argument] = {}
    for name, argument in arguments.items():
        if isinstance(argument, Given):
            argument = Given(None, f"{name}_2" if name in taken else name)
        renamed[name] = argument
    return single_turn((first.steps[0], Step(2, target.name, renamed)))


def parallel(
    a: Tool, b: Tool, pairs: Mapping[str, str], optional: Mapping[str, Iterable[str]] | None = None
) -> Plan:
    """Two independent steps, an edge of the sharing graph: their shared parameters have one value.

    The user says the value twice, in two slots; it is the operator Group that says it once.

    Args:
        pairs: parameter of ``a`` to that of ``b`` with the same value.
        optional: tool name to the optional parameters that the user gives.

    Raises:
        NotApplicable: a pair names no parameter, or one value can't serve both.
    """
    wanted = optional or {}
    for name, other in pairs.items():
        if name not in a.properties or other not in b.properties:
            raise NotApplicable(f"{a.name}.{name} or {b.name}.{other} is no parameter")
        if not same_space(parameter_schema(a, name), parameter_schema(b, other)):
            raise NotApplicable(f"{a.name}.{name} and {b.name}.{other} take different values")
    first = isolated(a, {*wanted.get(a.name, ()), *pairs})
    second = isolated(b, {*wanted.get(b.name, ()), *pairs.values()})
    both = side_by_side(first, second, "add")
    return single_turn(tuple(Step(s.id, s.tool, s.arguments) for s in both.steps))


def check_link(source: Tool, path: Path, target: Tool, parameter: str) -> None:
    """Raise NotApplicable unless what stands at ``path`` of ``source``'s answer can be ``parameter``."""
    found = schema_at(source.output, path)
    if found is None:
        raise NotApplicable(f"{source.name} answers nothing at {path}")
    if parameter not in target.properties:
        raise NotApplicable(f"{target.name} has no parameter {parameter}")
    if not fits(found, parameter_schema(target, parameter)):
        raise NotApplicable(f"{source.name}{list(path)} doesn't fit {target.name}.{parameter}")
