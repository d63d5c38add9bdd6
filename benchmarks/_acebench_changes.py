"""What makes the calls of ACEBench's golds wrong, or only other: each change draws where and how it is made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/unit"))
from acebench_golds import Calls, write

SPELLINGS = (
    r"""
2+3*4; 2**3-1; 7//2; -(1+2); +5; ~5; not True; --5; 1/0; 'a'+'b'; 'ab'*2; [1]+[2]; 10**400; 0x1F; 1_000; 1e3; 007
...; None; 1j; b'x'; 'x' 'y'; f'x'; '\d'; 'true'; 'false'; {1, 2}; {**{}}; (); (1,); 1 if True else 2; 1 < 2
word; a.b; a[0]; a['b']; a[1:2]; f(); f(1); f(x=1); a.f(x=g(y=2)); [f()]; lambda: 1; [*a]; [x for x in y]; (x := 1)
""".strip()
    .replace("\n", "; ")
    .split("; ")
)


class _Spelt(str):
    """Python text that stands in a call as it is."""

    def __repr__(self) -> str:
        return str(self)


def drop_call(told: Calls, rng: Random) -> str:
    if told:
        told.pop(rng.randrange(len(told)))
    return write(told)


def repeat_call(told: Calls, rng: Random) -> str:
    return write([*told, rng.choice(told)] if told else told)


def rename_function(told: Calls, rng: Random) -> str:
    place = rng.randrange(len(told))
    name, given = told[place]
    others = [f"{name}_1", f"{name}s", f"api.{name}", name.swapcase(), name[:-1], rng.choice(told)[0]]
    told[place] = rng.choice(others), given
    return write(told)


def reorder(told: Calls, rng: Random) -> str:
    """Calls and arguments in another order."""
    return write([(name, _shuffled(given, rng)) for name, given in rng.sample(told, len(told))])


def drop_argument(told: Calls, rng: Random) -> str:
    return _with_argument(told, rng, lambda given, key: given.pop(key))


def add_argument(told: Calls, rng: Random) -> str:
    return _with_argument(told, rng, lambda given, key: given.update({f"{key}_too": given[key]}))


def rename_argument(told: Calls, rng: Random) -> str:
    name = rng.choice((str.upper, str.capitalize, lambda key: f"{key}s", lambda key: key[1:] or "x"))
    return _with_argument(told, rng, lambda given, key: given.update({name(key): given.pop(key)}))


def retype_argument(told: Calls, rng: Random) -> str:
    return _with_argument(told, rng, lambda given, key: given.update({key: retyped(given[key], rng)}))


def change_argument(told: Calls, rng: Random) -> str:
    """The same type, another value, also within lists and objects."""
    return _with_argument(told, rng, lambda given, key: given.update({key: changed(given[key], rng)}))


def spell_argument(told: Calls, rng: Random) -> str:
    """Something of Python that isn't a plain value."""
    return _with_argument(told, rng, lambda given, key: given.update({key: _Spelt(rng.choice(SPELLINGS))}))


def swap_arguments(told: Calls, rng: Random) -> str:
    """A call has another's value, or another argument's."""

    def swap(given: dict[str, Any], key: str) -> None:
        given[key] = rng.choice([value for _, other in told for value in other.values()])

    return _with_argument(told, rng, swap)


def unname_argument(told: Calls, rng: Random) -> str:
    """By its position."""
    given = rng.choice(told)[1]
    text = write(told)
    return text.replace(f"{next(iter(given))}=", "", 1) if given else text


def surround(told: Calls, rng: Random) -> str:
    before = rng.choice(("Certainly: ", "[note] ", "] [", "<think>[a]</think>\n", "```python\n", "calls = "))
    return before + write(told) + rng.choice(("", " [done]", "]", "\n```", "."))


def unbalance(told: Calls, rng: Random) -> str:
    """A bracket or quote is missing or there is one too many."""
    text = write(told)
    places = [place for place, letter in enumerate(text) if letter in "[](){}'\""]
    place = rng.choice((rng.choice(places), 0, len(text) - 1))
    return text[:place] + rng.choice(("", text[place] * 2, "[", "]")) + text[place + 1 :]


def space(told: Calls, rng: Random) -> str:
    """More white space, between and within values."""
    text = write(told)
    places = [place for place, letter in enumerate(text) if letter in " ,(=["]
    for place in sorted(rng.sample(places, min(3, len(places))), reverse=True):
        text = text[: place + 1] + rng.choice(("  ", "\n", "\t", "\u3000", "\u00a0")) + text[place + 1 :]
    return text


def cut(text: str, rng: Random) -> str:
    return text[: rng.randrange(len(text))]


def mistype(text: str, rng: Random) -> str:
    """One letter is gone, twice there, or another."""
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(("", text[place] * 2, rng.choice("ae1 ,'\"="))) + text[place + 1 :]


def empty(_: Any, rng: Random) -> str:
    return rng.choice(
        ("", " ", "\n", "[]", "()", "{}", "[ ]", "[[]]", "None", "[None]", "no call", "[[", "][")
    )


def _with_argument(told: Calls, rng: Random, change: Callable[[dict[str, Any], str], Any]) -> str:
    """The calls with an argument of one of them changed; none has any: an argument more."""
    some = [place for place, (_, given) in enumerate(told) if given]
    if not some:
        return write([(name, {"more": 1}) for name, _ in told])
    place = rng.choice(some)
    name, given = told[place]
    told[place] = name, dict(given)
    change(told[place][1], rng.choice(list(given)))
    return write(told)


def _shuffled(given: dict[str, Any], rng: Random) -> dict[str, Any]:
    return {key: given[key] for key in rng.sample(list(given), len(given))}


def retyped(value: Any, rng: Random) -> Any:
    others = [str(value), [value], (value,), {"value": value}, None, 1, 0.5, True, "true"]
    if isinstance(value, int | float):
        others += [int(value), float(value)]
    if isinstance(value, list | tuple):
        others += [tuple(value), *value[:1], {str(place): item for place, item in enumerate(value)}]
    if isinstance(value, dict):
        others += [[value], list(value), list(value.values())]
    return rng.choice([other for other in others if type(other) is not type(value)])


def changed(value: Any, rng: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, -value, value * 2))
    if isinstance(value, str):
        bare = value.replace(" ", "").replace("-", "/")
        others = (value + " too", f"about {value}", value[:-1], value[1:], value.upper(), bare, "", "true")
        return rng.choice(others)
    if not value:
        return value
    if isinstance(value, dict):
        key = rng.choice(list(value))
        rest = {other: item for other, item in value.items() if other != key}
        deeper = {**value, key: rng.choice((changed, retyped))(value[key], rng)}
        return rng.choice(
            (rest, {**value, f"{key}s": value[key]}, {**rest, f"{key}s": value[key]}, deeper, deeper)
        )
    items = list(value)
    place = rng.randrange(len(items))
    deeper_items = [*items[:place], rng.choice((changed, retyped))(items[place], rng), *items[place + 1 :]]
    return rng.choice((items[::-1], items[:place] + items[place + 1 :], [*items, items[place]], deeper_items))


def _text(change: Callable[[str, Random], str]) -> Callable[[Calls, Random], str]:
    return lambda told, rng: change(write(told), rng)


CALLS: dict[str, Callable[[Calls, Random], str]] = {
    **{
        change.__name__: change
        for change in (
            *(drop_call, repeat_call, rename_function, reorder),
            *(drop_argument, add_argument, rename_argument, retype_argument, change_argument),
            *(spell_argument, swap_arguments, unname_argument, surround, unbalance, space, empty),
        )
    },
    "cut": _text(cut),
    "mistype": _text(mistype),
}
