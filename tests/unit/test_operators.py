"""The six operators on plans of the whole catalogue: what each promises, and when it refuses."""

from itertools import pairwise
from random import Random

import pytest
from decomposition_rows import toolbox

from data_synth.operators.add import add, given_kinds
from data_synth.operators.atoms import isolated, parallel, serial
from data_synth.operators.concatenate import Link, concatenate
from data_synth.operators.group import group, shared_parameters
from data_synth.operators.mask import mask
from data_synth.operators.merge import NotApplicable, descendants
from data_synth.operators.plan import Condition, Given, Masked, Output, Plan
from data_synth.operators.schema import schema_at
from data_synth.operators.split import split
from data_synth.operators.transform import outcomes, transform
from data_synth.tasks.decomposition.conditions import draw_condition

BOX = toolbox("split=all")
TOOLS, GRAPHS = BOX.tools, BOX.graphs
NAMES = list(TOOLS)


def every_serial():
    """A serial plan per edge of the dependency graph whose types fit."""
    for source, target, data in GRAPHS.dependency.edges(data=True):
        link = data["links"][0]
        try:
            yield serial(TOOLS[source], TOOLS[target], {link["parameter"]: tuple(link["path"])})
        except NotApplicable:
            continue


def random_pair(rng: Random) -> tuple[str, str]:
    first, second = rng.sample(NAMES, 2)
    return first, second


def is_chain(plan: Plan) -> bool:
    """Every step but the first takes data from the one before it, and from no other."""
    return {(e.source, e.target) for e in plan.edges()} == {(n, n + 1) for n in range(1, len(plan.steps))}


def chains(rng: Random, count: int):
    """Plans made by Concatenate alone, of two to four steps."""
    made = 0
    while made < count:
        plan = isolated(TOOLS[rng.choice(NAMES)])
        for _ in range(rng.randint(1, 3)):
            last = plan.steps[-1]
            near = list(GRAPHS.dependency.successors(last.tool))
            if not near:
                break
            name = rng.choice(near)
            link = GRAPHS.dependency.edges[last.tool, name]["links"][0]
            try:
                plan = concatenate(
                    plan,
                    isolated(TOOLS[name]),
                    Link(last.id, tuple(link["path"]), 1, link["parameter"]),
                    TOOLS,
                )
            except NotApplicable:
                break
        if len(plan.steps) > 1:
            made += 1
            yield plan


def test_atoms_are_plans_of_one_or_two_tools():
    for tool in TOOLS.values():
        plan = isolated(tool, [name for name in tool.properties if name not in tool.required])
        assert plan.check(TOOLS) is None
        assert not plan.edges() and plan.operators == ()
    count = 0
    for plan in every_serial():
        assert plan.check(TOOLS) is None
        assert [(e.source, e.target, e.kind) for e in plan.edges()] == [(1, 2, "data")]
        count += 1
    assert count > 100


def test_parallel_atoms_share_no_edge_and_no_slot():
    count = 0
    for a, b in GRAPHS.sharing.edges:
        if GRAPHS.dependency.has_edge(a, b) or GRAPHS.dependency.has_edge(b, a):
            continue
        mine, yours, _ = next(shared_parameters(a, b, GRAPHS))
        try:
            plan = parallel(TOOLS[a], TOOLS[b], {mine: yours})
        except NotApplicable:
            continue
        assert plan.check(TOOLS) is None
        assert not plan.edges() and plan.operators == ()
        assert plan.steps[0].arguments[mine].slot != plan.steps[1].arguments[yours].slot
        count += 1
    assert count > 50


def test_shared_parameters_are_named_for_the_tools_asked_about():
    for a, b in GRAPHS.sharing.edges:
        forth = {(mine, yours) for mine, yours, _ in shared_parameters(a, b, GRAPHS)}
        back = {(yours, mine) for mine, yours, _ in shared_parameters(b, a, GRAPHS)}
        assert forth == back
        assert all(mine in TOOLS[a].properties and yours in TOOLS[b].properties for mine, yours in forth)


def test_concatenate_gives_a_chain_by_data_edges():
    for plan in chains(Random(1), 200):
        assert plan.check(TOOLS) is None
        assert is_chain(plan)
        assert all(edge.kind == "data" for edge in plan.edges())
        assert plan.operators == ("concatenate",) * (len(plan.steps) - 1)


def test_concatenating_chains_gives_a_chain():
    rng, found = Random(2), 0
    parts = list(chains(rng, 150))
    for first in parts:
        for second in parts:
            pair = first.steps[-1].tool, second.steps[0].tool
            if not GRAPHS.dependency.has_edge(*pair):
                continue
            link = GRAPHS.dependency.edges[pair]["links"][0]
            joint = Link(len(first.steps), tuple(link["path"]), 1, link["parameter"])
            try:
                plan = concatenate(first, second, joint, TOOLS)
            except NotApplicable:
                continue
            assert plan.check(TOOLS) is None and is_chain(plan)
            assert isinstance(plan.step(len(first.steps) + 1).arguments[link["parameter"]], Output)
            found += 1
    assert found > 20


def test_concatenate_refuses_what_is_no_chain():
    plan = next(p for p in every_serial())
    other = isolated(next(t for t in TOOLS.values() if t.name not in {s.tool for s in plan.steps}))
    with pytest.raises(NotApplicable, match="dependents"):
        concatenate(plan, other, Link(1, ("x",), 1, "x"), TOOLS)
    with pytest.raises(NotApplicable, match="no steps"):
        concatenate(plan, other, Link(3, ("x",), 1, "x"), TOOLS)
    with pytest.raises(NotApplicable, match="answers nothing"):
        concatenate(plan, other, Link(2, ("no_such_field",), 1, "x"), TOOLS)
    with pytest.raises(NotApplicable, match="in both"):
        concatenate(plan, plan, Link(2, ("x",), 1, "x"), TOOLS)


def test_add_never_links():
    rng, refused = Random(3), 0
    for _ in range(2000):
        first, second = (isolated(TOOLS[name]) for name in random_pair(rng))
        try:
            plan = add(first, second, TOOLS, GRAPHS)
        except NotApplicable:
            refused += 1
            continue
        assert plan.check(TOOLS) is None
        assert not plan.edges()
        slots = [{a.slot for a in step.arguments.values()} for step in plan.steps]
        assert not slots[0] & slots[1]
        assert not given_kinds(first, TOOLS) & given_kinds(second, TOOLS)
        a, b = (step.tool for step in plan.steps)
        assert not GRAPHS.dependency.has_edge(a, b) and not GRAPHS.dependency.has_edge(b, a)
    assert 0 < refused < 2000


def test_group_shares_arguments():
    count = 0
    for a, b in GRAPHS.sharing.edges:
        first, second = isolated(TOOLS[a]), isolated(TOOLS[b])
        try:
            plan = group(first, second, TOOLS, GRAPHS)
        except NotApplicable:
            continue
        assert plan.check(TOOLS) is None and not plan.edges()
        slots = [{x.slot for x in step.arguments.values()} for step in plan.steps]
        assert slots[0] & slots[1]
        assert len(plan.slots()) < len(first.slots()) + len(second.slots())
        known = {(mine, yours) for mine, yours, _ in shared_parameters(a, b, GRAPHS)}
        for mine, x in plan.steps[0].arguments.items():
            for yours, y in plan.steps[1].arguments.items():
                assert x.slot != y.slot or (mine, yours) in known
        count += 1
    assert count > 100


def test_group_refuses_strangers():
    rng, refused = Random(4), 0
    for _ in range(300):
        a, b = random_pair(rng)
        if not GRAPHS.sharing.has_edge(a, b):
            with pytest.raises(NotApplicable, match="no parameter is shared"):
                group(isolated(TOOLS[a]), isolated(TOOLS[b]), TOOLS, GRAPHS)
            refused += 1
    assert refused


def test_mask_leaves_a_question_to_ask():
    for plan in [*every_serial()][::5]:
        for slot in plan.slots():
            masked = mask(plan, slot, TOOLS)
            assert masked.check(TOOLS) is None
            assert set(masked.masked()) == {slot}
            assert slot not in masked.slots() and slot not in masked.turns[0].slots
            assert any(
                isinstance(x, Masked) and x.slot == slot and name in TOOLS[step.tool].required
                for step in masked.steps
                for name, x in step.arguments.items()
            )
            with pytest.raises(NotApplicable, match="doesn't say"):
                mask(masked, slot, TOOLS)


def test_mask_refuses_what_no_call_requires():
    count = 0
    for tool in TOOLS.values():
        optional = [name for name in tool.properties if name not in tool.required]
        plan = isolated(tool, optional)
        for name in optional:
            with pytest.raises(NotApplicable, match="no call requires"):
                mask(plan, name, TOOLS)
            count += 1
    assert count > 50


def test_transform_reaches_both_branches():
    rng, count = Random(5), 0
    for _ in range(1500):
        first, second = random_pair(rng)
        third = rng.choice(NAMES)
        try:
            plan = add(isolated(TOOLS[first]), isolated(TOOLS[second]), TOOLS, GRAPHS)
            plan = add(plan, isolated(TOOLS[third]), TOOLS, GRAPHS)
            condition = draw_condition(plan.step(1), TOOLS[first], rng)
            changed = transform(plan, condition, [2], [3], TOOLS)
        except NotApplicable:
            continue
        assert changed.check(TOOLS) is None
        assert changed.step(2).when == (condition,) and changed.step(3).when == (condition.negated(),)
        schema = schema_at(TOOLS[first].output, condition.path)
        assert outcomes(schema, condition) == {True, False}
        answers = [BOX_ANSWERS(schema, Random(seed)) for seed in range(40)]
        held = {condition.holds(answer) for answer in answers}
        assert all(condition.holds(a) != condition.negated().holds(a) for a in answers)
        assert held  # sampling need not meet both, the schema's witnesses do
        assert [(e.source, e.target, e.kind) for e in changed.edges()] == [
            (1, 2, "condition"),
            (1, 3, "condition"),
        ]
        count += 1
    assert count > 100


def BOX_ANSWERS(schema, rng):  # noqa: N802
    if schema.get("type") == "array":
        return rng.choice([[], [{}]])
    from data_synth.simulator.values import sample_value

    return sample_value(schema, rng)


def test_transform_takes_along_what_depends_on_a_branch():
    count = 0
    for chain in chains(Random(6), 200):
        if len(chain.steps) < 3:
            continue
        try:
            condition = draw_condition(chain.step(1), TOOLS[chain.step(1).tool], Random(0))
            changed = transform(chain, condition, [2], [], TOOLS)
        except NotApplicable:
            continue
        for step in changed.steps[1:]:
            assert condition in step.when
        count += 1
    assert count > 10


@pytest.mark.parametrize(
    ("schema", "condition", "expected"),
    [
        ({"type": "boolean"}, Condition(1, ("x",), "==", True), {True, False}),
        ({"type": "string", "enum": ["a"]}, Condition(1, ("x",), "==", "a"), {True}),
        ({"type": "string", "enum": ["a", "b"]}, Condition(1, ("x",), "==", "c"), {False}),
        ({"type": "integer", "minimum": 0}, Condition(1, ("x",), "<", 0), {False}),
        ({"type": "integer", "minimum": 0}, Condition(1, ("x",), "<=", 0), {True, False}),
        ({"type": "number", "maximum": 5}, Condition(1, ("x",), "<=", 5), {True}),
        ({"type": "number", "exclusiveMaximum": 5}, Condition(1, ("x",), ">=", 5), {False}),
        ({"type": "array"}, Condition(1, ("x",), "not_empty"), {True, False}),
        ({"type": "array", "minItems": 1}, Condition(1, ("x",), "is_empty"), {False}),
        ({"type": "array", "maxItems": 0}, Condition(1, ("x",), "is_empty"), {True}),
        ({"type": "string"}, Condition(1, ("x",), "==", "a"), set()),
    ],
)
def test_outcomes_follow_the_schema(schema, condition, expected):
    assert outcomes(schema, condition) == expected


def test_split_keeps_the_union_of_constraints():
    rng, count = Random(7), 0
    for plan in [*every_serial()][::3] + list(chains(rng, 100)):
        number = rng.randint(2, len(plan.steps))
        later = {step.id for step in plan.steps[number - 1 :]}
        changed = split(plan, later, (), TOOLS)
        assert changed.check(TOOLS) is None
        assert changed.slots() == plan.slots() and changed.edges() == plan.edges()
        assert [len(turn.steps) for turn in changed.turns] == [number - 1, len(later)]
        said = set[str]()
        for turn in changed.turns:
            said |= turn.slots
            for step in changed.steps:
                if step.id in turn.steps:
                    assert {x.slot for x in step.arguments.values() if isinstance(x, Given)} <= said
        count += 1
    assert count > 100


def test_split_moves_an_optional_value_alone():
    count = 0
    for tool in TOOLS.values():
        optional = [name for name in tool.properties if name not in tool.required]
        plan = isolated(tool, optional)
        for name in optional:
            changed = split(plan, (), [name], TOOLS)
            assert changed.check(TOOLS) is None
            assert [turn.slots for turn in changed.turns] == [
                frozenset(plan.slots()) - {name},
                frozenset({name}),
            ]
            count += 1
        for name in tool.required:
            with pytest.raises(NotApplicable, match="can't be called without"):
                split(plan, (), [name], TOOLS)
    assert count > 50


def test_split_refuses_what_a_remaining_step_needs():
    for plan in chains(Random(8), 30):
        with pytest.raises(NotApplicable, match="needs a step that moves"):
            split(plan, {1}, (), TOOLS)
        with pytest.raises(NotApplicable, match="empty"):
            split(plan, {step.id for step in plan.steps}, (), TOOLS)


def test_operators_compose_in_any_order_that_they_admit():
    """Random programs of operators: each result is a sound plan, with the operators in the order of application."""
    rng, seen = Random(9), set()
    for _ in range(400):
        plan, applied = isolated(TOOLS[rng.choice(NAMES)]), []
        for _ in range(6):
            operator = rng.choice(["add", "group", "concatenate", "mask", "transform", "split"])
            try:
                plan = apply(operator, plan, rng)
            except NotApplicable:
                continue
            applied.append(operator)
            assert plan.check(TOOLS) is None
            assert list(plan.operators) == applied
            turn_of = {number: k for k, turn in enumerate(plan.turns) for number in turn.steps}
            assert all(turn_of[e.source] <= turn_of[e.target] for e in plan.edges())
            for step in plan.steps:
                for condition in step.when:
                    assert all(condition in plan.step(n).when for n in descendants_by_data(plan, step.id))
        seen.update(pairwise(applied))
    assert len(seen) >= 30  # of 36 ordered pairs


def descendants_by_data(plan: Plan, number: int) -> set[int]:
    """Steps that need the step's data, directly or not; naive."""
    found = {number}
    for edge in plan.edges():
        if edge.kind == "data" and edge.source in found:
            found.add(edge.target)
    assert found <= descendants(plan, [number])
    return found - {number}


def apply(operator: str, plan: Plan, rng: Random) -> Plan:
    slots, step = list(plan.slots()), rng.choice(plan.steps)
    match operator:
        case "add":
            return add(plan, isolated(TOOLS[rng.choice(NAMES)]), TOOLS, GRAPHS)
        case "group":
            near = list(GRAPHS.sharing.neighbors(step.tool))
            return group(plan, isolated(TOOLS[rng.choice(near or NAMES)]), TOOLS, GRAPHS)
        case "concatenate":
            near = list(GRAPHS.dependency.successors(step.tool))
            if not near:
                raise NotApplicable("nothing follows")
            name = rng.choice(near)
            link = GRAPHS.dependency.edges[step.tool, name]["links"][0]
            joint = Link(step.id, tuple(link["path"]), 1, link["parameter"])
            return concatenate(plan, isolated(TOOLS[name]), joint, TOOLS)
        case "mask":
            return mask(plan, rng.choice(slots) if slots else "", TOOLS)
        case "transform":
            condition = draw_condition(step, TOOLS[step.tool], rng)
            return transform(plan, condition, [rng.choice(plan.steps).id], [], TOOLS)
        case _:
            last = sorted(plan.turns[-1].steps)
            return split(plan, last[rng.randint(0, len(last)) :], (), TOOLS)
