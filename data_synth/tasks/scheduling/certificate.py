"""The second proof: OR-tools CP-SAT models of the puzzles, built without our enumerators.

Each function returns the number of solutions (or optima), counted to 2, and the objective: what ``solve`` of
the subtask claims. They run with one worker and no time limit, and are therefore reproducible.
"""

from __future__ import annotations

import itertools
from typing import Any

from ortools.sat.python import cp_model

from data_synth.tasks.scheduling.calendar import Calendar
from data_synth.tasks.scheduling.meeting import Meeting
from data_synth.tasks.scheduling.puzzle import Solved
from data_synth.tasks.scheduling.recipe import DAY_STARTS, LAST_WINDOW_ENDS
from data_synth.tasks.scheduling.trip import Trip


def prove(puzzle: Any) -> tuple[int, dict[str, int]]:
    """(number of solutions up to 2, objective by name) of a puzzle, by CP-SAT."""
    if isinstance(puzzle, Calendar):
        return _prove_calendar(puzzle)
    if isinstance(puzzle, Meeting):
        return _prove_meeting(puzzle)
    assert isinstance(puzzle, Trip)
    return _prove_trip(puzzle)


def confirm(puzzle: Any, solved: Solved) -> None:
    """Raise RuntimeError where CP-SAT and our enumerator disagree: one of the two is wrong."""
    proved = prove(puzzle)
    if proved != (solved.num_solutions, solved.objective):
        raise RuntimeError(f"CP-SAT proves {proved}, {solved.solver} {solved}, for {puzzle}")


class _Counter(cp_model.CpSolverSolutionCallback):
    """Counts distinct values of some variables, to 2."""

    def __init__(self, variables: list[cp_model.IntVar]) -> None:
        super().__init__()
        self._variables = variables
        self.found: set[tuple[int, ...]] = set()

    def on_solution_callback(self) -> None:
        """Called by the solver."""
        self.found.add(tuple(self.value(variable) for variable in self._variables))
        if len(self.found) >= 2:
            self.stop_search()


def _solver() -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    return solver


def _count(model: cp_model.CpModel, variables: list[cp_model.IntVar]) -> int:
    solver, counter = _solver(), _Counter(variables)
    solver.parameters.enumerate_all_solutions = True
    solver.solve(model, counter)
    return len(counter.found)


def _prove_calendar(puzzle: Calendar) -> tuple[int, dict[str, int]]:
    """One interval on a time line of all days, disjoint from every busy one."""
    problem, slots = puzzle.problem, puzzle.problem.num_slots
    model = cp_model.CpModel()
    latest = slots - problem.length
    days = [[day * slots, day * slots + latest] for day in range(len(problem.days))]
    start = model.new_int_var_from_domain(cp_model.Domain.from_intervals(days), "start")
    meeting = model.new_fixed_size_interval_var(start, problem.length, "meeting")
    taken = list(puzzle.busy)
    for p in puzzle.preferences:
        taken.append(tuple(p.blocks(slots) if day == p.day else 0 for day in range(len(days))))
    for calendar in taken:
        busy = [
            model.new_fixed_size_interval_var(day * slots + slot, 1, "busy")
            for day, mask in enumerate(calendar)
            for slot in range(slots)
            if mask >> slot & 1
        ]
        model.add_no_overlap([meeting, *busy])
    if not puzzle.earliest:
        return _count(model, [start]), {}
    model.minimize(start)
    solver = _solver()
    if solver.solve(model) != cp_model.OPTIMAL:
        return 0, {}
    return 1, {"start_slot": solver.value(start)}


class _MeetingModel:
    """A circuit over the start (node 0) and the friends; a friend who is left out loops on itself."""

    def __init__(self, puzzle: Meeting) -> None:
        self.model = model = cp_model.CpModel()
        num = len(puzzle.friends)
        travel = puzzle.problem.travel
        self.skipped = [model.new_bool_var(f"skip{j}") for j in range(num)]
        self.ends = model.new_int_var(DAY_STARTS, LAST_WINDOW_ENDS, "ends")
        starts = [model.new_int_var(0, LAST_WINDOW_ENDS, f"start{j}") for j in range(num)]
        self.hops: list[cp_model.IntVar] = []
        arcs: list[Any] = [(j + 1, j + 1, self.skipped[j]) for j in range(num)]
        arcs.append((0, 0, model.new_bool_var("nobody")))
        for j, friend in enumerate(puzzle.friends):
            met = self.skipped[j].negated()
            model.add(starts[j] >= friend.opens).only_enforce_if(met)
            model.add(starts[j] + friend.minutes <= friend.closes).only_enforce_if(met)
            model.add(self.ends >= starts[j] + friend.minutes).only_enforce_if(met)
            first, last = self._hop(f"first{j}"), model.new_bool_var(f"last{j}")
            model.add(starts[j] >= DAY_STARTS + travel[0][j + 1]).only_enforce_if(first)
            arcs += [(0, j + 1, first), (j + 1, 0, last)]
        for i, j in itertools.permutations(range(num), 2):
            hop = self._hop(f"{i}to{j}")
            leaves = starts[i] + puzzle.friends[i].minutes + travel[i + 1][j + 1]
            model.add(starts[j] >= leaves).only_enforce_if(hop)
            arcs.append((i + 1, j + 1, hop))
        model.add_circuit(arcs)

    def _hop(self, name: str) -> cp_model.IntVar:
        self.hops.append(self.model.new_bool_var(name))
        return self.hops[-1]

    def forbid(self, variables: list[cp_model.IntVar], values: list[int]) -> None:
        """At least one of the variables must take another value."""
        self.model.add_bool_or(
            [v.negated() if value else v for v, value in zip(variables, values, strict=True)]
        )


def _prove_meeting(puzzle: Meeting) -> tuple[int, dict[str, int]]:
    """The most friends; that no other set (or order) reaches them; then the earliest end."""
    built, solver = _MeetingModel(puzzle), _solver()
    model, num = built.model, len(puzzle.friends)
    met = num - sum(built.skipped)
    model.maximize(met)
    solver.solve(model)
    most = round(solver.objective_value)
    if most == 0 or (puzzle.meet_all and most < num):
        return 0, {}
    skipped = [solver.value(v) for v in built.skipped]
    hops = [solver.value(v) for v in built.hops]

    other = _MeetingModel(puzzle)
    other.model.add(sum(other.skipped) == num - most)
    if puzzle.unique_order:
        other.forbid(other.hops, hops)
    else:
        other.forbid(other.skipped, skipped)
    if _solver().solve(other.model) != cp_model.INFEASIBLE:
        return 2, {"num_met": most}

    model.clear_objective()
    model.add(met == most)
    model.minimize(built.ends)
    solver.solve(model)
    return 1, {"num_met": most, "ends": round(solver.objective_value)}


def _prove_trip(puzzle: Trip) -> tuple[int, dict[str, int]]:
    """A Hamiltonian path as a circuit through an extra node, with the first day of every stay."""
    model, num = cp_model.CpModel(), len(puzzle.legs)
    stays, total = puzzle.problem.stays, puzzle.problem.total_days
    days = [model.new_int_var(1, total, f"day{city}") for city in range(num)]
    arcs: list[Any] = []
    for city in range(num):
        first, last = model.new_bool_var(f"first{city}"), model.new_bool_var(f"last{city}")
        model.add(days[city] == 1).only_enforce_if(first)
        model.add(days[city] + stays[city] - 1 == total).only_enforce_if(last)
        arcs += [(num, city, first), (city, num, last)]
    for a, b in itertools.permutations(range(num), 2):
        if puzzle.legs[a] >> b & 1:
            hop = model.new_bool_var(f"{a}to{b}")
            model.add(days[b] == days[a] + stays[a] - 1).only_enforce_if(hop)
            arcs.append((a, b, hop))
    model.add_circuit(arcs)
    for event in puzzle.events:
        model.add(days[event.city] <= event.first_day)
        model.add(days[event.city] + stays[event.city] - 1 >= event.last_day)
    return _count(model, days), {}
