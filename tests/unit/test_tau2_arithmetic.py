"""Arithmetic that is parsed gives what Python's ``eval`` gives."""

import time
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluation._worker.tau2_arithmetic import evaluate

NUMBERS = st.one_of(
    st.integers(0, 300).map(str),
    st.decimals(0, 99, places=2).map(str),
    st.sampled_from(["0", "010", ".5", "1."]),
)


def grow(inner):
    signs = st.sampled_from(["+", "-", "*", "/", "//", " - "])
    return st.one_of(
        st.tuples(inner, signs, inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        st.tuples(inner, st.integers(-3, 3)).map(lambda pair: f"({pair[0]})**{pair[1]}"),
    )


EXPRESSIONS = st.recursive(NUMBERS, grow, max_leaves=8)
JUNK = st.text("0123456789+-/(). ", max_size=12)


def outcome(function, expression):
    """As τ²-bench's ``calculate`` returns it, or the exception's type."""
    try:
        return str(round(float(function(expression)), 2))
    except (SyntaxError, TypeError, ArithmeticError, ValueError) as error:
        return type(error).__name__


def python(expression):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(expression, {"__builtins__": None}, {})


@given(EXPRESSIONS | JUNK)
@example("2(3)")
@example("()")
@example(" (1 + 2) * 3")
@example("1//0")
@example("0.1**-400")
@example("(-8)**0.5")
@example("10**400/10**399")
def test_the_value_is_python_s(expression):
    assert outcome(evaluate, expression) == outcome(python, expression)


@pytest.mark.parametrize("expression", ["9**9**9", "(9**99)**(9**99)", "-2**999999999", "((9**9)**9**9)*0"])
def test_a_power_beyond_all_floats_is_refused_at_once(expression):
    start = time.perf_counter()
    assert outcome(evaluate, expression) == "OverflowError"
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("expression", ["(" * 5000, "-" * 100_000 + "1", "+".join("1" * 50_000), "1" * 5000])
def test_endless_expressions_end_in_an_exception(expression):
    with pytest.raises((SyntaxError, RecursionError, MemoryError)):
        evaluate(expression)
