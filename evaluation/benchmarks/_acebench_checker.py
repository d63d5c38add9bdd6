"""ACEBench's verdict on calls (Chen et al. 2025, arXiv 2501.12851), oddities included.

The rules of the official checker (chenchen0103/ACEBench 56dd66c, MIT):

- As many calls as the gold has, of the same names, in any order; each of the gold's is matched by some call. A gold's
  name may end in ``_1``, ``_2`` … where a function is called several times; what is left without it is compared, also
  of a function that is really called so.
- The gold's function is the first whose name is contained in the gold's. A parameter must be known to it and the gold.
- Texts: the gold's must be contained in the answer's, without `` ,./-_*^``, in small letters. In objects any value,
  written as a text, must be contained. Lists of anything but objects must be equal.
- Numbers and booleans are compared by type alone, and so is every value whose gold has another type than the schema.

Where the official checker raises an exception (a schema without ``required``, an object where the gold has a text),
so does this one: ``right`` says False.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

TYPES: dict[str, type] = {
    "string": str,
    "any": str,
    "integer": int,
    "int": int,
    "number": int,
    "float": float,
    "boolean": bool,
    "dict": dict,
    "object": dict,
    "enum": enumerate,  # the type of no value
    **dict.fromkeys(("array", "tuple", "list", "list(string)", "list(enum)", "objectArray"), list),
}
_WITH_ITEMS = ("array", "tuple", "list(string)", "list(enum)", "object", "objectArray")
_IGNORED = re.compile(r"[ ,./\-_*^]")
_COUNT = re.compile(r"_\d+$")
OFFICIAL_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)


class WrongError(Exception):
    """An answer that isn't the gold; the message says why."""


def right(functions: Sequence[Any], calls: Sequence[Mapping[Any, Any]], golds: Any) -> tuple[bool, str]:
    """Whether ``calls`` are accepted for one of ``golds`` (a gold, or a list of them), and why not (the first's).

    Args:
        functions: the sample's function schemas.
        calls: each a name to its arguments.
        golds: names to arguments.
    """
    reasons = []
    try:
        for gold in golds if isinstance(golds, list) else [golds]:
            try:
                _check_calls(functions, calls, gold)
                return True, "as in the gold"
            except WrongError as error:
                reasons.append(str(error))
    except OFFICIAL_ERRORS as error:
        return False, f"the official checker can't judge it ({type(error).__name__})"
    return False, reasons[0]


def _check_calls(functions: Any, calls: Any, gold: dict[str, Any]) -> None:
    if len(calls) != len(gold):
        raise WrongError(f"{len(calls)} calls, the gold has {len(gold)}")
    wanted = [({_COUNT.sub("", name): arguments}, name) for name, arguments in gold.items()]
    told_names = Counter(name for call in calls for name in call)
    gold_names = Counter(name for one, _ in wanted for name in one)
    for name in told_names | gold_names:
        if told_names[name] != gold_names[name]:
            raise WrongError(f"{str(name)[:60]} called {told_names[name]} times, not {gold_names[name]}")
    for one, full_name in wanted:
        function = next((function for function in functions if function["name"] in full_name), None)
        _check_some(function, calls, one)


def _check_some(function: Any, calls: Any, gold: dict[str, Any]) -> None:
    """Some call of the gold's name is right; WrongError tells of the last of them."""
    wrong = None
    for call in calls:
        if next(iter(call)) == next(iter(gold)):
            try:
                return _check_call(function, call, gold)
            except WrongError as error:
                wrong = error
    assert wrong is not None  # the names have been counted
    raise wrong


def _check_call(function: Any, call: Any, gold: dict[str, Any]) -> None:
    arguments, wanted = next(iter(call.values())), next(iter(gold.values()))
    if arguments == {} or function["parameters"] == {}:
        if arguments == function["parameters"] == {}:
            return
        raise WrongError("no arguments given, or none to give")
    known = function["parameters"]["properties"]
    if wanted == known:
        return
    name = function["name"]
    if wanted == {} or name not in call:
        raise WrongError(f"the function is {name}")
    for parameter in function["parameters"]["required"]:
        if parameter not in call[name]:
            raise WrongError(f"{parameter} is missing")
    for parameter, value in call[name].items():
        if parameter not in known or parameter not in wanted:
            raise WrongError(f"{str(parameter)[:60]} is too much")
        _check_argument(parameter, value, wanted[parameter], known[parameter])


def _check_argument(parameter: str, value: Any, gold: Any, schema: Any) -> None:
    described = schema["type"]
    kind, item_kind = TYPES[described], _item_kind(schema)
    if described == "tuple" and type(value) is tuple:
        value = list(value)
    if described == "float" and type(value) is int:
        value = float(value)
    if not _has_type(value, gold, kind, item_kind):
        raise WrongError(f"{parameter} is a {type(value).__name__}, the schema says {described}")
    if gold != "" and type(gold) is not kind:
        return
    if kind is dict:
        _check_object(parameter, value, gold)
    elif kind is list and item_kind is dict:
        if described == "objectArray" and len(value) == len(gold) and value:
            raise TypeError("the official checker calls itself with an argument too few")
        if len(value) != len(gold):
            raise WrongError(f"{parameter} has {len(value)} elements, the gold's has {len(gold)}")
        for item, gold_item in zip(value, gold, strict=True):
            _check_object(parameter, item, gold_item)
    elif kind is str:
        if _bare(gold) not in _bare(value):
            raise WrongError(f"{parameter} doesn't contain the gold's text")
    elif kind is list and [_bare_text(item) for item in value] != [_bare_text(item) for item in gold]:
        raise WrongError(f"{parameter} isn't the gold's list")


def _item_kind(schema: Any) -> type | None:
    described = schema["type"]
    if described not in _WITH_ITEMS:
        return None
    try:
        item_type = schema["items"]["type"]
    except (KeyError, TypeError):
        item_type = "string" if "string" in described else "enum" if "enum" in described else "dict"
    return TYPES[item_type]


def _has_type(value: Any, gold: Any, kind: type, item_kind: type | None) -> bool:
    """Whether the value has the schema's type or the gold's. The texts "true" and "false" are booleans here."""
    if value == "true" or value == "false":
        value = value == "true"
    told = type(value)
    if told is kind:
        if item_kind is None:
            return True
        return any(
            not isinstance(items, list) or all(_has_type(item, items, item_kind, None) for item in value)
            for items in gold
        )
    return gold != "" and (told is type(gold) or gold == value)


def _check_object(parameter: str, value: Any, gold: Any) -> None:
    if not isinstance(value, dict):
        raise WrongError(f"{parameter} isn't an object all through")
    if len(value) != len(gold.keys()):
        raise WrongError(f"{parameter} has {len(value)} keys where the gold's has {len(gold)}")
    for key, entry in value.items():
        if entry == "true" or entry == "false":
            entry = entry == "true"
        if key not in gold:
            raise WrongError(f"{parameter} has a key that the gold's hasn't")
        if isinstance(gold[key], dict):
            _check_object(parameter, entry, gold[key])
        elif str(_bare_text(gold[key])) not in str(_bare_text(entry)):
            raise WrongError(f"{parameter}: {key} doesn't contain the gold's value")


def _bare_text(value: Any) -> Any:
    return _bare(value) if type(value) is str else value


def _bare(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')
