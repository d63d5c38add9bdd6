"""ACEBench's samples with answers to them: their golds, and seeded changes of those."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from _acebench_changes import CALLS
from _acebench_other_changes import SCENES, SPECIAL, words
from acebench_golds import calls, write


@dataclass(frozen=True)
class Answer:
    """``change``: how it was made. ``index``: of its sample in its category."""

    change: str
    index: int
    value: Any

    @property
    def parsed(self) -> bool:
        return self.change == "gold, parsed"


@dataclass(frozen=True)
class Part:
    """A category in one language: questions and golds as they stand in the files, and answers."""

    language: str
    category: str
    samples: list[tuple[dict[str, Any], dict[str, Any]]]
    answers: list[Answer]

    def id(self, answer: Answer) -> str:
        name: str = self.samples[answer.index][0]["id"]
        return name


def answered(data: Path, language: str, category: str, num_rounds: int, seed: int) -> Part:
    folder, name = data / f"data_{language}", f"data_{category}.json"
    questions, golds = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (folder / name, folder / "possible_answer" / name)
    )
    samples = list(zip(questions, golds, strict=True))
    answers = [
        Answer(change, index, _copied(value))  # as it comes out of JSON: the official side gets it so too
        for index, (_, gold) in enumerate(samples)
        for change, value in _answers(category, gold, num_rounds, f"{seed} {language} {category} {index}")
    ]
    return Part(language, category, samples, answers)


def _answers(category: str, gold: dict[str, Any], num_rounds: int, seed: str) -> Iterator[tuple[str, Any]]:
    """(how it was made, answer) of a sample; the first is its gold."""
    truth = gold["ground_truth"]
    if category.startswith("agent"):
        milestones = gold["mile_stone"]
        commands = milestones[-1] if isinstance(milestones[0], list) else milestones
        scene = {"result": truth, "process": commands}
        yield "gold", scene
        for name, change, rng in _draws(SCENES, num_rounds, seed):
            yield name, change(_copied(scene), rng)
    elif category.startswith("special"):
        told = words(category, truth)
        yield "gold", told
        for name, change, rng in _draws(SPECIAL, num_rounds, seed):
            yield name, change(told, rng)
    else:
        for place, one in enumerate(truth if isinstance(truth, list) else [truth]):
            yield "gold", write(calls(one))
            yield "gold, parsed", [{name: given} for name, given in calls(one)]
            for name, change, rng in _draws(CALLS, num_rounds, f"{seed} {place}"):
                yield name, change(calls(_copied(one)), rng)


def _draws(named: dict[str, Any], num_rounds: int, seed: str) -> Iterator[tuple[str, Any, Random]]:
    for name, change in named.items():
        for number in range(num_rounds):
            yield name, change, Random(f"{seed} {name} {number}")


def _copied[T](gold: T) -> T:
    """As it comes out of JSON, for a change to spoil."""
    value: T = json.loads(json.dumps(gold))
    return value
