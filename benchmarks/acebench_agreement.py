"""ACEBench's verdicts and figures: ours against the official evaluator's, on the same answers.

Answers are the data's golds and seeded changes of them, in English and Chinese: a call dropped, a function or an
argument renamed, an argument dropped, retyped, changed or written as another piece of Python, calls and arguments
reordered, brackets unbalanced, a text cut or mistyped, nothing at all, and more (``_acebench_changes.py``). Special
samples and the states and commands that agents leave behind are changed likewise. The official code is imported from
the checkout as it is, in a process and an environment of its own (``evaluation/locks/acebench.lock``; the first call
installs it): the functions of ``eval_main.py`` give their verdict on each answer, and ``eval_main.py`` as a command its
figures and prompts on whole runs. Where it raises an exception, which ends it, ours says 0, and whole runs have no
answer there.

The official decoder hands arithmetic in answers to Python's ``eval``. Here it gets nothing but the answers made from
golds; never give it what a model wrote.

    git clone https://github.com/chenchen0103/ACEBench && git -C ACEBench checkout 56dd66c
    python benchmarks/acebench_agreement.py --official ACEBench [--data DATA_ALL] [--rounds N] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from _acebench_answers import Part, answered
from _result import entry

from evaluation.benchmarks import Judged, Source, Verdict
from evaluation.benchmarks.acebench import CATEGORIES, FAMILIES, AceBench, load
from evaluation.packages import interpreter

COMMIT = "56dd66c"
LANGUAGES = ("en", "zh")
WORKER = Path(__file__).with_name("_acebench_official.py")
NUM_RUNS = 5
# The figures of result.xlsx in the order of its cells (its headings have object_short and object_deep swapped).
FIGURES = (
    *("normal_atom_bool", "normal_atom_enum", "normal_atom_number", "normal_atom_list"),
    *("normal_atom_object_deep", "normal_atom_object_short", "atom"),
    *("normal_single_turn_single_function", "normal_single_turn_parallel_function", "single_turn"),
    *("normal_multi_turn_user_switch", "normal_multi_turn_user_adjust", "multi_turn"),
    *("normal_similar_api", "normal_preference", "normal"),
    *("special_incomplete", "special_error_param", "special_irrelevant", "special"),
    *("agent_multi_turn", "agent_multi_turn_process", "agent_multi_step", "agent_multi_step_process"),
    "agent",
    "overall",
)


@dataclass(frozen=True)
class Official:
    """The official evaluator's verdict; ``raised`` is the exception in place of one."""

    score: float
    process: float | None
    raised: str | None

    def agrees(self, ours: Verdict) -> bool:
        if self.process is not None and round(ours.details["process"], 3) != self.process:
            return False
        return self.score == ours.score


def main() -> None:
    """Compare, print what differs, and end with a line of JSON; the exit status is 1 where anything differs."""
    arguments = _arguments()
    official, data = arguments.official, str(arguments.data)
    print(f"official: commit {_commit(official)}; seed {arguments.seed}", flush=True)
    benchmarks = {name: load(Source(None, data, language=name)) for name in arguments.language}
    parts = [
        answered(arguments.data, language, category, arguments.rounds, arguments.seed)
        for language in benchmarks
        for category in CATEGORIES
    ]
    with tempfile.TemporaryDirectory() as folder:
        verdicts = _official_verdicts(official, parts, Path(folder))
        compared = {"verdicts": _compare_verdicts(benchmarks, parts, verdicts)}
        for language, benchmark in benchmarks.items():
            here = [row for row in zip(parts, verdicts, strict=True) if row[0].language == language]
            runs = [_run(here, Random(f"{arguments.seed} run {number}")) for number in range(NUM_RUNS)]
            told = _official_figures(official, arguments.data, language, runs, Path(folder))
            for name, counts in _compare_figures(language, benchmark, runs, told).items():
                before = compared.get(name, (0, 0))
                compared[name] = before[0] + counts[0], before[1] + counts[1]
    print("; ".join(f"{name}: {a} of {b} agree" for name, (a, b) in compared.items()))
    entries = [
        entry(f"acebench_{name}", a / b, 1.0, "higher", a, b, name) for name, (a, b) in compared.items()
    ]
    print(json.dumps(entries))
    sys.exit(any(a != b for a, b in compared.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--official", type=Path, required=True, help="a checkout of chenchen0103/ACEBench")
    parser.add_argument("--data", type=Path, help="the folder data_all (default: the checkout's)")
    parser.add_argument("--language", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument("--rounds", type=int, default=3, help="how often each change is made of each gold")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.official = arguments.official.resolve()
    arguments.data = (arguments.data or arguments.official / "data_all").resolve()
    for name, path, wanted in (
        ("official", arguments.official, "eval_main.py"),
        ("data", arguments.data, "data_en/possible_answer"),
    ):
        if not (path / wanted).exists():
            sys.exit(f"error: --{name}={path}: no {wanted} in it; clone chenchen0103/ACEBench")
    return arguments


def _commit(official: Path) -> str:
    """Of the checkout, and that which ours follows where it is another."""
    command = ["git", "--git-dir", str(official / ".git"), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True).stdout[:7] or "unknown"
    return found if found == COMMIT else f"{found}, where ours follows {COMMIT}"


def _official_verdicts(official: Path, parts: Sequence[Part], folder: Path) -> list[list[Official]]:
    todo, done = folder / "todo.jsonl", folder / "done.jsonl"
    with todo.open("w", encoding="utf-8") as file:
        for part in parts:
            line = {
                "language": part.language,
                "category": part.category,
                "samples": part.samples,
                "answers": [(answer.index, answer.parsed, answer.value) for answer in part.answers],
            }
            print(json.dumps(line), file=file)
    _call_official("judge", official, str(todo), str(done), folder=folder)
    with done.open(encoding="utf-8") as file:
        return [[Official(*verdict) for verdict in json.loads(line)] for line in file]


def _call_official(way: str, official: Path, *arguments: str, folder: Path) -> None:
    command = [str(interpreter("acebench")), "-s", str(WORKER), way, str(official), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: the official evaluator ended with status {done.returncode}:\n{done.stderr[-2000:]}")


def _compare_verdicts(
    benchmarks: dict[str, AceBench], parts: Sequence[Part], verdicts: Sequence[Sequence[Official]]
) -> tuple[int, int]:
    """Print a line for each category, then each difference. How many verdicts agree, of how many."""
    differing, seconds = [], 0.0
    made, accepted = Counter[str](), Counter[str]()
    print("right and raised: by the official evaluator")
    print(f"{'category':41}{'rows':>5}{'answers':>9}{'right':>7}{'raised':>7}{'agree':>8}")
    for part, theirs in zip(parts, verdicts, strict=True):
        starts = time.perf_counter()
        ours = [benchmarks[part.language].score(part.id(answer), answer.value) for answer in part.answers]
        seconds += time.perf_counter() - starts
        wrong = [row for row in zip(part.answers, ours, theirs, strict=True) if not row[2].agrees(row[1])]
        differing += [(part, *row) for row in wrong]
        made.update(answer.change for answer in part.answers)
        accepted.update(
            answer.change for answer, told in zip(part.answers, theirs, strict=True) if told.score == 1
        )
        right, raised = sum(one.score == 1 for one in theirs), sum(one.raised is not None for one in theirs)
        print(
            f"{part.language} {part.category:38}{len(part.samples):5}{len(part.answers):9}{right:7}{raised:7}"
            f"{len(part.answers) - len(wrong):8}"
        )
    for part, answer, mine, official in differing:
        print(
            f"DIFFERENT {part.language} {part.id(answer)} ({answer.change}): ours {mine.score} {dict(mine.details)} "
            f"({mine.reason}), official {official.score} {official.process} ({official.raised}): "
            f"{json.dumps(answer.value, ensure_ascii=False)[:1000]}"
        )
    print("right by change:", ", ".join(f"{name} {accepted[name]} of {made[name]}" for name in made))
    num = made.total()
    print(f"ours took {seconds:.1f} s for {num} answers", flush=True)
    return num - len(differing), num


type Run = dict[str, list[tuple[str, Any]]]
"""Of each category an answer (id, value) to every sample."""


def _run(parts: Sequence[tuple[Part, Sequence[Official]]], rng: Random) -> Run:
    """For half of the samples the gold, for the others any answer; none where the official evaluator would raise."""
    run: Run = {}
    for part, verdicts in parts:
        some: dict[int, list[Any]] = {}
        for answer, verdict in zip(part.answers, verdicts, strict=True):
            if verdict.raised is None and not answer.parsed:
                some.setdefault(answer.index, []).append(answer.value)
        none = {"result": [], "process": []} if part.category in FAMILIES["agent"] else ""
        run[part.category] = [
            (
                question["id"],
                rng.choice((given[0], rng.choice(given))) if (given := some.get(index)) else none,
            )
            for index, (question, _) in enumerate(part.samples)
        ]
    return run


def _official_figures(
    official: Path, data: Path, language: str, runs: Sequence[Run], folder: Path
) -> dict[str, Any]:
    """``figures`` and ``prompts`` as the official command leaves them; the runs are called ``run_0``, ``run_1`` …"""
    here = folder / language
    here.mkdir()
    (here / "data_all").symlink_to(data)
    names = [f"run_{number}" for number in range(len(runs))]
    for name, run in zip(names, runs, strict=True):
        results = here / "result_all" / f"result_{language}" / name
        results.mkdir(parents=True)
        for category, answers in run.items():
            lines = [
                json.dumps({"id": one, **(value if isinstance(value, dict) else {"result": value})})
                for one, value in answers
            ]
            (results / f"data_{category}_result.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _call_official("figures", official, language, *names, folder=here)
    told: dict[str, Any] = json.loads((here / "figures.json").read_text(encoding="utf-8"))
    return told


def _compare_figures(
    language: str, benchmark: AceBench, runs: Sequence[Run], official: dict[str, Any]
) -> dict[str, tuple[int, int]]:
    """Of figures and prompts how many are the same, and how many there are; the others are printed."""
    differing = []
    for number, run in enumerate(runs):
        judged = [
            Judged(one, benchmark.score(one, value)) for answers in run.values() for one, value in answers
        ]
        ours, theirs = benchmark.metrics(judged), official["figures"][f"run_{number}"]
        assert len(ours) == len(theirs) == len(FIGURES)
        differing += [
            f"{language} run {number}, {name}: ours {ours[name]}, official {value}"
            for name, value in zip(FIGURES, theirs, strict=True)
            if abs(ours[name] - value) > 1e-9
        ]
    num_figures, num_different = len(runs) * len(FIGURES), len(differing)
    asked = [one for one in benchmark.ids if not one.startswith("agent")]
    for one in asked:
        prompt = "\n".join(message["content"] for message in benchmark.prompt(one))
        if prompt != official["prompts"].get(one):
            differing.append(f"{language} prompt of {one}")
    print(*(f"DIFFERENT {line}" for line in differing), sep="\n", end="\n" if differing else "")
    different_prompts = len(differing) - num_different
    return {
        "figures": (num_figures - num_different, num_figures),
        "prompts": (len(asked) - different_prompts, len(asked)),
    }


if __name__ == "__main__":
    main()
