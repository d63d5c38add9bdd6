"""The state machine, on its own: no model, no words, no simulator; plans and answers at random."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_synth.operators.plan import Condition, Given, Masked, Output, Plan, Step, Turn
from data_synth.tasks.tool_augmented.machine import TRANSITIONS, Event, Machine, Phase, TransitionError

AGENT = {Event.STANDARD, Event.BRANCH, Event.CLARIFICATION, Event.TERMINATION}


@st.composite
def plans(draw):
    """Up to seven steps with arguments of every kind, conditions on earlier steps, one to three turns."""
    number = draw(st.integers(1, 7))
    steps = []
    for identifier in range(1, number + 1):
        arguments = {}
        for name in draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3)):
            kinds = ["given", "masked"] + (["output"] if identifier > 1 else [])
            slot = f"{name}{draw(st.integers(0, 3))}"
            match draw(st.sampled_from(kinds)):
                case "given":
                    arguments[name] = Given(1, f"g{slot}")
                case "masked":
                    arguments[name] = Masked(2, f"m{slot}")
                case _:
                    arguments[name] = Output(draw(st.integers(1, identifier - 1)), ("x",))
        when = []
        if identifier > 1 and draw(st.booleans()):
            condition = Condition(draw(st.integers(1, identifier - 1)), ("x",), "==", True)
            when.append(condition if draw(st.booleans()) else condition.negated())
        steps.append(Step(identifier, "tool", arguments, tuple(when)))
    return Plan(tuple(steps), draw(turns_of(steps)))


@st.composite
def turns_of(draw, steps):
    """The steps in order, cut into turns; each slot is said in the first turn that needs it, or earlier."""
    cuts = sorted(draw(st.sets(st.integers(1, len(steps)), max_size=2)) | {len(steps)})
    turns, said, start = [], set(), 0
    for cut in cuts:
        ids = frozenset(step.id for step in steps[start:cut])
        slots = {
            a.slot for s in steps[start:cut] for a in s.arguments.values() if isinstance(a, Given)
        } - said
        said |= slots
        turns.append(Turn(ids, frozenset(slots)))
        start = cut
    return tuple(turns)


def drive(plan: Plan, truth) -> tuple[list[tuple[Event, tuple[int, ...], tuple[str, ...]]], Machine]:
    """A whole run: what the agent did, and the last state. ``truth(step)`` is the answer's value."""
    machine, done = Machine(plan), []
    for turn in plan.turns:
        machine = machine.request(turn.steps, turn.slots)
        for _ in range(4 * len(plan.steps) + 4):
            assert machine.phase is Phase.DECIDING
            decision = machine.decide()
            assert decision.event in AGENT and machine.decide() == decision
            done.append((decision.event, decision.steps, decision.slots))
            machine = machine.apply(decision)
            if decision.steps:
                for number in decision.steps:
                    machine.arguments(number)
                machine = machine.observe({number: {"x": truth(number)} for number in decision.steps})
            elif decision.slots:
                machine = machine.request((), decision.slots)
            else:
                break
        else:
            pytest.fail("the run doesn't end")
    return done, machine.leave()


@settings(max_examples=300, deadline=None)
@given(plans(), st.lists(st.booleans(), min_size=7, max_size=7))
def test_every_run_ends_and_each_reachable_step_is_run_once(plan, truths):
    done, machine = drive(plan, lambda number: truths[number - 1])
    run = [number for _, steps, _ in done for number in steps]
    reachable = set()
    for step in plan.steps:  # written from the definition: conditions met, and all that it needs was run
        met = all(
            c.step in reachable and ((truths[c.step - 1] is True) == (c.comparison == "=="))
            for c in step.when
        )
        if met and all(source in reachable for source, _ in step.sources()):
            reachable.add(step.id)
    assert sorted(run) == sorted(reachable)
    assert machine.phase is Phase.ENDED
    assert machine.skipped == {step.id for step in plan.steps} - reachable
    assert [event for event, _, _ in done].count(Event.TERMINATION) == len(plan.turns)


@settings(max_examples=200, deadline=None)
@given(plans(), st.lists(st.booleans(), min_size=7, max_size=7))
def test_masked_values_are_asked_before_use_and_once(plan, truths):
    done, _ = drive(plan, lambda number: truths[number - 1])
    asked: list[str] = []
    for _, steps, slots in done:
        asked += slots
        for number in steps:
            used = {a.slot for a in plan.step(number).arguments.values() if isinstance(a, Masked)}
            assert used <= set(asked)
    assert len(asked) == len(set(asked))
    run = [number for _, steps, _ in done for number in steps]
    needed = {a.slot for n in run for a in plan.step(n).arguments.values() if isinstance(a, Masked)}
    assert needed <= set(asked)


@settings(max_examples=200, deadline=None)
@given(plans(), st.lists(st.booleans(), min_size=7, max_size=7))
def test_a_list_of_calls_is_a_level_and_branches_are_named(plan, truths):
    done, _ = drive(plan, lambda number: truths[number - 1])
    before: set[int] = set()
    for event, steps, _ in done:
        for number in steps:
            assert {source for source, _ in plan.step(number).sources()} <= before
        if steps:
            assert steps == tuple(sorted(steps))
            assert (event is Event.BRANCH) == any(plan.step(number).when for number in steps)
        before |= set(steps)


def test_the_table_has_no_dead_end_and_no_other_way():
    reached, frontier = {Phase.WAITING}, [Phase.WAITING]
    while frontier:
        phase = frontier.pop()
        for (source, _), target in TRANSITIONS.items():
            if source is phase and target not in reached:
                reached.add(target)
                frontier.append(target)
    assert reached == set(Phase)
    assert not any(source is Phase.ENDED for source, _ in TRANSITIONS)
    assert {event for source, event in TRANSITIONS if source is Phase.DECIDING} == AGENT


def test_events_out_of_turn_are_refused():
    plan = Plan((Step(1, "tool", {}),), (Turn(frozenset({1}), frozenset()),))
    machine = Machine(plan)
    for refused in (machine.decide, lambda: machine.observe({}), lambda: machine.leave().leave()):
        with pytest.raises(TransitionError):
            refused()
    asked = machine.request({1}, ())
    called = asked.apply(asked.decide())
    for refused in (
        asked.leave,
        lambda: asked.request((), ()),
        called.decide,
        lambda: called.observe({2: {}}),
    ):
        with pytest.raises(TransitionError):
            refused()
