"""Answers to BFCL's samples: right ones from the possible answers, and mutations of them."""

import json
import random
from collections.abc import Iterator
from typing import Any

Calls = list[tuple[str, dict[str, Any]]]


def right_calls(truth: Any) -> Calls:
    """The first possible value of each argument; optional ones are left out."""
    calls = []
    for call in truth:
        ((name, arguments),) = call.items()
        calls.append((name, {key: pick(values) for key, values in arguments.items() if "" not in values}))
    return calls


def pick(values: Any) -> Any:
    if not isinstance(values, list):  # some objects within others have their values as they are
        return plain(values)
    value = next((value for value in values if value != ""), "")
    if isinstance(value, list):
        return [plain(element) for element in value]
    return plain(value)


def plain(value: Any) -> Any:
    return {key: pick(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def as_text(calls: Calls) -> str:
    return "[" + ", ".join(f"{name}({written(arguments)})" for name, arguments in calls) + "]"


def written(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())


def as_code(calls: Calls) -> str:
    """In the syntax of Java and JavaScript: texts in double quotes unless they look like code."""

    def literal(value: Any) -> str:
        if isinstance(value, str):
            return value if any(mark in value for mark in "([{=>.") or value.isidentifier() else f'"{value}"'
        return json.dumps(value)

    shown = (
        f"{name}({', '.join(f'{key}={literal(value)}' for key, value in arguments.items())})"
        for name, arguments in calls
    )
    return "[" + ", ".join(shown) + "]"


def as_native(calls: Calls) -> list[dict[str, str]]:
    return [{name.replace(".", "_"): json.dumps(arguments)} for name, arguments in calls]


def mutated_calls(calls: Calls, draw: random.Random) -> Iterator[tuple[str, Calls]]:
    """Each kind of mutation once: what it does, and the calls after it."""

    def at(position: int, name: str, arguments: dict[str, Any]) -> Calls:
        return [*calls[:position], (name, arguments), *calls[position + 1 :]]

    yield "reorder calls", calls[::-1]
    yield "double a call", [*calls, calls[0]]
    yield "drop a call", calls[1:]
    position = draw.randrange(len(calls))
    name, arguments = calls[position]
    yield "rename the function", at(position, name + "s", arguments)
    yield "write the name with _", at(position, name.replace(".", "_"), arguments)
    yield "reorder arguments", at(position, name, dict(reversed(arguments.items())))
    yield "add an argument", at(position, name, {**arguments, "extra": 1})
    if not arguments:
        return
    key = draw.choice(list(arguments))
    value = arguments[key]
    rest = {other: arguments[other] for other in arguments if other != key}
    yield "drop an argument", at(position, name, rest)
    yield "rename an argument", at(position, name, {**rest, key + "_": value})
    for kind, changed in changed_values(value):
        yield kind, at(position, name, {**arguments, key: changed})


def changed_values(value: Any) -> Iterator[tuple[str, Any]]:
    yield "retype to text", str(value)
    yield "retype to a list", [value]
    if isinstance(value, bool):
        yield "negate", not value
    elif isinstance(value, int):
        yield "retype to float", float(value)
        yield "add one", value + 1
    elif isinstance(value, float):
        yield "retype to int", int(value)
    elif isinstance(value, str):
        yield "other case and marks", value.upper().replace(" ", " - ") + "."
        yield "another text", value + "x"
    elif isinstance(value, list):
        yield "reorder the list", value[::-1]
        yield "shorten the list", value[:-1]
    elif isinstance(value, dict):
        yield "reorder the object", dict(reversed(value.items()))
        yield "shorten the object", dict(list(value.items())[1:])


def mutated_texts(text: str, draw: random.Random) -> Iterator[tuple[str, str]]:
    cut = draw.randrange(len(text) + 1)
    yield "unbalance: no end", text[:-1]
    yield "unbalance: no end of the call", text[:-2] + "]"
    yield "unbalance: one more bracket", text + "]"
    yield "unbalance: one more parenthesis", text[:-1] + ")]"
    yield "cut", text[:cut]
    yield "no brackets", text[1:-1]
    yield "fenced", f"```\n{text}\n```"
    yield "fenced as python", f"```python\n{text}\n```"
    yield "prose before", f"Sure: {text}"
    yield "space inside", f"[ {text[1:-1]} ]"
    yield "another quote", text.replace("'", '"')
    yield "arithmetic", text.replace("=5", "=2 + 3").replace("=10", "=5 * 2").replace("=1", "=-(-1)")
    yield "plus sign", text.replace("=1", "=+1").replace("=2", "=+2")
    yield "positional", text.replace("=", "", 1)
    yield "tuple", text.replace("[[", "[(").replace("=[", "=(").replace("])", "))")
    yield "javascript's words", text.replace("True", "true").replace("None", "null")
    yield "a call inside", text.replace("=", "=float(x=", 1).replace(")", "))", 1)
    yield "empty", ""
    yield "nothing called", "[]"
