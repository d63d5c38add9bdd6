"""ACEBench's own golds, as answers right and wrong."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks.acebench import FAMILIES

SHARED = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared"))
DATA = SHARED / "data" / "acebench" / "data_all"
needs_acebench = pytest.mark.skipif(not DATA.is_dir(), reason=f"no ACEBench data in {DATA}")

type Gold = dict[str, dict[str, Any]]
type Calls = list[tuple[str, dict[str, Any]]]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(language: str, category: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(question, answer) of a category."""
    folder, name = DATA / f"data_{language}", f"data_{category}.json"
    return list(zip(lines(folder / name), lines(folder / "possible_answer" / name), strict=True))


def golds(language: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], Gold]]:
    """(category, question, answer, gold) of every gold that is calls, alternatives among them."""
    for category in FAMILIES["normal"]:
        for question, answer in rows(language, category):
            truth = answer["ground_truth"]
            for gold in truth if isinstance(truth, list) else [truth]:
                yield category, question, answer, gold


def calls(gold: Gold) -> Calls:
    return [(re.sub(r"_\d+$", "", name), dict(arguments)) for name, arguments in gold.items()]


def write(told: Calls) -> str:
    written = (
        f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})" for name, given in told
    )
    return f"[{', '.join(written)}]"


def drop(gold: Gold) -> str:
    """The last argument of the last call is missing."""
    told = calls(gold)
    if told and told[-1][1]:
        told[-1][1].popitem()
    return write(told)


def rename(gold: Gold) -> str:
    """The first argument has another name."""
    told = calls(gold)
    name, given = told[0]
    return write(
        [(name, {f"{key}s" if i == 0 else key: given[key] for i, key in enumerate(given)}), *told[1:]]
    )


def retype(gold: Gold) -> str:
    """The first argument is a text, or a list where it was one."""
    told = calls(gold)
    name, given = told[0]
    changed = {
        key: [value] if isinstance(value, str) else str(value) for key, value in list(given.items())[:1]
    }
    return write([(name, given | changed), *told[1:]])


def reorder(gold: Gold) -> str:
    """Calls and arguments the other way round."""
    return write([(name, dict(reversed(given.items()))) for name, given in reversed(calls(gold))])


def unbalance(gold: Gold) -> str:
    """The last bracket is missing."""
    return write(calls(gold))[:-1]


def embellish(gold: Gold) -> str:
    """Texts are in capitals and have a full stop."""
    told = [
        (
            name,
            {key: f"{value.upper()}." if isinstance(value, str) else value for key, value in given.items()},
        )
        for name, given in calls(gold)
    ]
    return f"Certainly: {write(told)} [done]"


def reckon(gold: Gold) -> str:
    """Numbers are sums."""
    return re.sub(r"=(\d+)\b(?![.\d'])", r"=0+\1*1", write(calls(gold)))


MUTATIONS: dict[str, Callable[[Gold], str]] = {
    "none": lambda gold: write(calls(gold)),
    **{change.__name__: change for change in (drop, rename, retype, reorder, unbalance, embellish, reckon)},
}
