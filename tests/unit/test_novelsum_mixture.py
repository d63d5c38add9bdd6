"""A budget shared out by weight."""

from hypothesis import given
from hypothesis import strategies as st

from data_synth.selection.mixture import share_budget

TASKS = ("a", "b", "c", "d")


@given(
    st.integers(1, 500),
    st.lists(st.floats(0, 10).map(lambda weight: round(weight, 2)), min_size=4, max_size=4),
    st.lists(st.integers(0, 300), min_size=4, max_size=4),
)
def test_shares(budget, weights, available):
    by_task, rows = dict(zip(TASKS, weights, strict=True)), dict(zip(TASKS, available, strict=True))
    given = share_budget(budget, by_task, rows)
    reachable = sum(rows[task] for task in TASKS if by_task[task] > 0)
    assert sum(given.values()) == min(budget, reachable)
    assert all(0 <= given[task] <= rows[task] for task in TASKS)
    assert all(given[task] == 0 for task in TASKS if by_task[task] == 0)
    total = sum(weights)
    for task in TASKS:
        if given[task] < rows[task]:  # who lacks nothing gets at least its part
            assert given[task] >= int(budget * by_task[task] / total - 1e-9) if total else True
    open_tasks = [task for task in TASKS if by_task[task] > 0 and given[task] < rows[task]]
    for one in open_tasks:
        for other in open_tasks:
            assert abs(given[one] * by_task[other] - given[other] * by_task[one]) <= 4 * (
                by_task[one] + by_task[other]
            )


def test_what_a_task_lacks_goes_to_the_others():
    assert share_budget(100, {"a": 1, "b": 1, "c": 2}, {"a": 10, "b": 500, "c": 500}) == {
        "a": 10,
        "b": 30,
        "c": 60,
    }
    assert share_budget(7, {"a": 1, "b": 1}, {"a": 9, "b": 9}) == {"a": 4, "b": 3}
