"""Throw predictions at every benchmark's ``score``: none may raise, leave [0, 1] or take over a second.

    python tests/fuzz/fuzz_evaluation.py [--inputs 1000000] [--seed 0] [--benchmarks natural_plan worfbench …]

Predictions are gold answers changed as text or as JSON, joined fragments of the formats, and values of other kinds. A
benchmark whose data or package isn't there is left out and named, and so is ALFWorld, whose verdicts replay games. The
embeddings of WorfBench are hashed words instead of a model's; those that ask a process of their own (BFCL-v3, τ²-Bench)
get one input in a thousand. Ends with a line of JSON; the first input that fails is printed and raises.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz_rewards import joined, mutated
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/unit")]

from evaluation import benchmarks  # noqa: E402
from evaluation.benchmarks import Benchmark, Source  # noqa: E402
from recipes.command import InputError, compose  # noqa: E402

SHARED = Path(os.environ.get("MAGIC_SHARED", ROOT.parent / "shared")) / "data"
SLOW = ("bfcl_v3", "tau2")
SLOW_SHARE = 0.001
LIMIT_S = {"bfcl_v3": 60.0, "tau2": 120.0}
"""CPU seconds of this process for one verdict; 1 where nothing is said."""
WORKFLOW = "Node:\n1: boil water\n2: add tea\n3: wait\nEdge: (START,1) (1,2) (START,3) (2,END) (3,END)"
CALL = '<tool_call>\n{"name": "find", "arguments": {"place": "Oslo", "days": 3}}\n</tool_call>'
TEXTS = [
    "[find(place='Oslo', days=3)]",
    CALL,
    "Step1. look\nStep2. go",
    "Missing necessary parameters (days)",
    "",
]
VALUES: list[Any] = [
    [{"find": {"place": "Oslo", "days": 3}}],
    [[CALL], [CALL, "done"]],
    {"process": ["[find(place='Oslo')]"], "result": [{"Phone": {"on": True}}]},
    {"plan": "Step1. look", "judge": "yes"},
    {
        "termination_reason": "user_stop",
        "messages": [{"role": "assistant", "content": "hi", "tool_calls": []}],
    },
    ["go to desk 1", "look"],
]


class HashedWords:
    """Cosines of bags of hashed words; learns nothing, so that memory stays where it is."""

    def learn(self, texts: object) -> None:
        """Nothing."""

    def cosines(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """Of all pairs, [left, right]."""
        a, b = (np.stack([self._vector(text) for text in texts]) for texts in (left, right))
        return a @ b.T

    def _vector(self, text: str) -> NDArray[np.float64]:
        vector = np.full(16, 0.1)
        for word in text.split()[:20]:
            vector[zlib.crc32(word.encode(errors="replace")) % 16] += 1
        return vector / np.linalg.norm(vector)


class Target:
    """One benchmark, and gold answers to change, by id where they are known."""

    def __init__(self, name: str, benchmark: Benchmark, golds: Sequence[tuple[str, Any]]) -> None:
        self.name, self.benchmark, self.golds = name, benchmark, golds
        self.num_inputs = 0
        self.num_right = 0
        self.slowest_s = 0.0

    def __call__(self, sample_id: str, prediction: Any) -> None:
        """Raises on any fault."""
        starts = time.process_time()
        try:
            verdict = self.benchmark.score(sample_id, prediction)
            seconds = time.process_time() - starts
            scores = verdict.score.values() if isinstance(verdict.score, Mapping) else [verdict.score]
            assert verdict.reason and all(0.0 <= score <= 1.0 for score in scores), verdict
            json.dumps([dict(verdict.details), verdict.reason])
            assert seconds < LIMIT_S.get(self.name.split()[0], 1.0), f"{seconds:.1f} s"
        except BaseException:
            print(f"{self.name} {sample_id}: {prediction!r:.3000}", file=sys.stderr)
            raise
        self.num_inputs += 1
        self.num_right += all(score == 1.0 for score in scores)
        self.slowest_s = max(self.slowest_s, seconds)


def prediction_for(target: Target, rng: Random) -> tuple[str, Any]:
    """An id, and a gold answer changed (mostly), or anything else."""
    sample_id, gold = rng.choice(target.golds)
    kind = rng.randrange(10)
    if kind == 0:
        return sample_id, joined(rng)
    if kind == 1:
        sample_id, gold = rng.choice(target.golds)[0], rng.choice([*TEXTS, *VALUES])
    if kind == 2:
        return sample_id, odd_value(rng, gold)
    if isinstance(gold, str):
        return sample_id, mutated(gold, rng.randrange(2**60))
    return sample_id, changed_value(gold, rng)


def changed_value(value: Any, rng: Random) -> Any:
    """A JSON value with one leaf or branch changed, or its text changed where that is JSON still."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: changed_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        if rng.random() < 0.1:
            return value[:place] + value[place + 1 :] + value[place:][: rng.randrange(2)]
        return [*value[:place], changed_value(value[place], rng), *value[place + 1 :]]
    if isinstance(value, str) and rng.random() < 0.9:
        return mutated(value, rng.randrange(2**60))
    return odd_value(rng, value)


def odd_value(rng: Random, value: Any) -> Any:
    """Something of another kind."""
    deep: Any = value
    for _ in range(rng.choice([1, 3, 200])):
        deep = [deep] if rng.random() < 0.5 else {rng.choice(["a", "messages", "result", "name"]): deep}
    return rng.choice(
        [0, -1, 10**400, 1.5, float("inf"), float("nan"), True, "", [], {}, deep, [value] * 30, "\ud800"]
    )


def natural_plan(subtask: str) -> Callable[[Path], Target]:
    """The three subtasks, a puzzle each."""

    def make(folder: Path) -> Target:
        from test_natural_plan import RULES

        fields, *_, answer = RULES[subtask]
        path = folder / f"{subtask}.json"
        path.write_text(json.dumps({"a": fields}))
        return Target(
            f"natural_plan {subtask}", _load("natural_plan", f"subtask={subtask}", data=path), [("a", answer)]
        )

    return make


def worfbench(mode: str) -> Callable[[Path], Target]:
    """Real rows of all sets where they are, else one of our own."""

    def make(folder: Path) -> Target:
        data = SHARED / "worfbench/gold_traj"
        if not data.is_dir():
            data = folder / "gold_traj"
            (data / "own").mkdir(parents=True, exist_ok=True)
            turns = [{"role": "user", "content": text} for text in ("s", "u", WORKFLOW)]
            (data / "own/graph_eval.json").write_text(json.dumps([{"conversations": turns}]))
        benchmark: Any = _load(
            "worfbench", f"mode={mode}", "embedding=minilm", "options.cache=null", data=data
        )
        benchmark._embedder = HashedWords()
        rows = {f.parent.name: json.loads(f.read_text()) for f in data.glob("*/graph_eval.json")}
        golds = [
            (f"{name}/{i}", row["conversations"][-1]["content"])
            for name, some in rows.items()
            for i, row in enumerate(some)
        ]
        return Target(f"worfbench {mode}", benchmark, golds)

    return make


def acebench(language: str) -> Callable[[Path], Target]:
    """Each row's own gold, as calls and as text."""

    def make(_: Path) -> Target:
        data = SHARED / "acebench/data_all"
        benchmark = _load("acebench", f"language={language}", data=data)
        golds: list[tuple[str, Any]] = []
        for file in sorted(data.glob(f"data_{language}/possible_answer/*.json")):
            for line in file.read_text().splitlines():
                row = json.loads(line)
                gold = row["ground_truth"]
                text = "[" + ", ".join(_called(gold)) + "]" if isinstance(gold, dict) else json.dumps(gold)
                golds += [
                    (row["id"], text),
                    (row["id"], gold),
                    (row["id"], {"process": [text], "result": gold}),
                ]
        known = set(benchmark.ids)
        golds = [gold for gold in golds if gold[0] in known] or [(i, TEXTS[0]) for i in known]
        return Target(f"acebench {language}", benchmark, golds)

    return make


def _called(calls: dict[str, Any]) -> list[str]:
    return [
        f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        for name, arguments in calls.items()
        if isinstance(arguments, dict)
    ]


def other(name: str) -> Callable[[Path], Target]:
    """One whose golds aren't at hand: answers in the usual formats."""

    def make(_: Path) -> Target:
        benchmark = _load(name, *(["embedding=null"] if name == "magic_eval_plan" else []))
        ids = Random(0).sample(list(benchmark.ids), min(300, len(benchmark.ids)))
        return Target(name, benchmark, [(i, gold) for i in ids for gold in (*TEXTS, *VALUES)])

    return make


def _load(name: str, *overrides: str, data: Path | None = None) -> Benchmark:
    """The benchmark by its recipe."""
    config: Any = compose("score", [f"benchmark={name}", *overrides])
    return benchmarks.load(
        name,
        Source(
            config.subtask,
            str(data) if data else None,
            language=config.language,
            mode=config.mode,
            embedding=config.embedding,
            options={key: config.options[key] for key in config.options},
        ),
    )


MAKERS: dict[str, list[Callable[[Path], Target]]] = {
    "natural_plan": [natural_plan(subtask) for subtask in ("calendar", "meeting", "trip")],
    "worfbench": [worfbench(mode) for mode in ("official", "fixed")],
    "acebench": [acebench(language) for language in ("en", "zh")],
    **{name: [other(name)] for name in ("magic_eval_tool", "magic_eval_plan", *SLOW)},
}


def main() -> None:
    """Fuzz and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--benchmarks", nargs="*", choices=list(MAKERS), default=list(MAKERS))
    arguments = parser.parse_args()
    targets, left_out = [], ["alfworld"]
    folder = Path(tempfile.mkdtemp())
    for name in arguments.benchmarks:
        for make in MAKERS[name]:
            try:
                targets.append(make(folder))
            except InputError as error:
                left_out.append(f"{name}: {error}")
    rng = Random(arguments.seed)
    weights = [SLOW_SHARE if target.name in SLOW else 1.0 for target in targets]
    for number in range(arguments.inputs):
        (target,) = rng.choices(targets, weights)
        target(*prediction_for(target, rng))
        if number % 100_000 == 99_999:
            print(f"{number + 1:,} inputs", file=sys.stderr, flush=True)
    figures = {
        target.name: {
            "inputs": target.num_inputs,
            "right": target.num_right,
            "slowest_s": round(target.slowest_s, 3),
        }
        for target in targets
    }
    result = {"inputs": arguments.inputs, "benchmarks": figures, "left_out": left_out, "failures": 0}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
