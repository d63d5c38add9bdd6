"""What can be worked out is worked out: conversions, dates, bills. An API that gets sums wrong teaches nonsense.

A formula belongs to the names of the arguments that it needs and of the field that it gives, so it serves any tool of
that shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

type Formula = Callable[[Mapping[str, Any]], Any]

EURO = {
    **{"EUR": 1.0, "USD": 1.08, "GBP": 0.85, "JPY": 163.0, "CNY": 7.8, "CHF": 0.95, "SEK": 11.3, "NOK": 11.6},
    **{
        "DKK": 7.46,
        "PLN": 4.3,
        "CZK": 25.1,
        "HUF": 393.0,
        "CAD": 1.48,
        "AUD": 1.64,
        "NZD": 1.79,
        "SGD": 1.45,
    },
    **{
        "HKD": 8.4,
        "KRW": 1480.0,
        "INR": 90.0,
        "THB": 39.0,
        "BRL": 5.9,
        "MXN": 19.5,
        "ZAR": 20.0,
        "TRY": 35.0,
    },
}
"""Units of each currency to the euro: one market for all dialogues; ours."""
METRES = {"metres": 1.0, "kilometres": 1000.0, "feet": 0.3048, "miles": 1609.344, "inches": 0.0254}
GRAMS = {"grams": 1.0, "kilograms": 1000.0, "pounds": 453.59237, "ounces": 28.349523125}
MORTGAGE_RATE = 0.035
"""A year; ours."""


class NotDefinedError(ValueError):
    """The arguments have no result."""


def compute(arguments: Mapping[str, Any], field: str) -> Any:
    """The value of ``field``; None where no formula gives it.

    Raises:
        NotDefinedError: there is one, but not for these arguments.
    """
    for (gives, needs), formula in _FORMULAS.items():
        if gives == field and needs <= arguments.keys():
            try:
                return formula(arguments)
            except (KeyError, ValueError, ZeroDivisionError):
                raise NotDefinedError(f"no {field.replace('_', ' ')} for these arguments") from None
    return None


def _rate(given: Mapping[str, Any]) -> float:
    return EURO[given["to_currency"]] / EURO[given["from_currency"]]


def _converted(amount: str, source: str, target: str, units: Mapping[str, float]) -> Formula:
    return lambda given: _short(given[amount] * units[given[source]] / units[given[target]])


def _degrees(given: Mapping[str, Any]) -> float:
    """From degrees Celsius; to them from Fahrenheit."""
    celsius = given["degrees"]
    return {
        "fahrenheit": _short(celsius * 9 / 5 + 32),
        "kelvin": _short(celsius + 273.15),
        "celsius": _short((celsius - 32) * 5 / 9),
    }[given["temperature_unit"]]


def _days(given: Mapping[str, Any]) -> int:
    return abs((date.fromisoformat(given["to_date"]) - date.fromisoformat(given["from_date"])).days)


def _annuity(given: Mapping[str, Any]) -> float:
    rate, months = MORTGAGE_RATE / 12, given["loan_years"] * 12
    return _short(given["home_price"] * rate / (1 - (1 + rate) ** -months))


def _short(value: float) -> float:
    """Two decimals, more where they would leave nothing."""
    return round(value, 2) if abs(value) >= 0.1 or value == 0 else float(f"{value:.3g}")


_FORMULAS: dict[tuple[str, frozenset[str]], Formula] = {
    ("exchange_rate", frozenset({"from_currency", "to_currency"})): lambda given: float(
        f"{_rate(given):.5g}"
    ),
    ("converted_amount", frozenset({"amount", "from_currency", "to_currency"})): lambda given: _short(
        given["amount"] * float(f"{_rate(given):.5g}")
    ),
    ("result", frozenset({"length", "from_length_unit", "to_length_unit"})): _converted(
        "length", "from_length_unit", "to_length_unit", METRES
    ),
    ("result", frozenset({"weight", "from_weight_unit", "to_weight_unit"})): _converted(
        "weight", "from_weight_unit", "to_weight_unit", GRAMS
    ),
    ("result", frozenset({"degrees", "temperature_unit"})): _degrees,
    ("result", frozenset({"amount", "tax_percent"})): lambda given: _short(
        given["amount"] * given["tax_percent"] / 100
    ),
    ("num_days", frozenset({"from_date", "to_date"})): _days,
    ("share", frozenset({"bill_amount", "guests"})): lambda given: _short(
        given["bill_amount"] * (1 + given.get("tip_percent", 0) / 100) / given["guests"]
    ),
    ("bmi", frozenset({"weight_kg", "height_cm"})): lambda given: round(
        given["weight_kg"] / (given["height_cm"] / 100) ** 2, 1
    ),
    ("monthly_payment", frozenset({"home_price", "loan_years"})): _annuity,
}
