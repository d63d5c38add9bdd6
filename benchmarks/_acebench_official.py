"""ACEBench's own evaluator over given answers, in the environment that it needs: two ways to call it.

``_acebench_official.py judge OFFICIAL TODO DONE`` gives one answer at a time to the functions of ``eval_main.py`` and
writes what each returns; only the Excel sheet that they would write every time is left out. TODO and DONE hold a line
of JSON for each category of a language.

``_acebench_official.py figures OFFICIAL LANGUAGE RUN …`` runs ``eval_main.py`` as it is, on ``result_all`` and
``data_all`` of the current folder, and writes what stands in its sheets to ``figures.json``.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

MODEL = "answers"


def main() -> None:
    way, official, *rest = sys.argv[1:]
    sys.path[0] = official  # in place of this folder, whose modules have names of their own
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")  # of doubtful escapes in answers
    if way == "judge":
        judge(*map(Path, rest))
    else:
        figures(Path(official), *rest)


def judge(todo: Path, done: Path) -> None:
    """A line of TODO: ``language``, ``category``, ``samples`` (question, gold), ``answers`` (sample, parsed, answer).

    A line of DONE: for each answer its score, its process (null but for agents) and the exception if one was raised.
    """
    import eval_main

    eval_main.convert_result_to_excel = lambda *_: None
    with (
        todo.open(encoding="utf-8") as lines,
        done.open("w", encoding="utf-8") as written,
        tempfile.TemporaryDirectory() as folder,
    ):
        os.chdir(folder)
        for line in lines:
            part = json.loads(line)
            scores = Path("score_all", f"score_{part['language']}")
            (scores / MODEL).mkdir(parents=True, exist_ok=True)
            eval_main.OUTPUT_PATH = f"./{scores}/"
            eval_main.language = part["language"]
            verdicts = [
                _verdict(eval_main, part["category"], part["samples"][index], parsed, answer)
                for index, parsed, answer in part["answers"]
            ]
            print(json.dumps(verdicts), file=written)


def _verdict(official: Any, category: str, sample: list[Any], parsed: bool, answer: Any) -> list[Any]:
    question, gold = sample
    try:
        if parsed:
            truths = gold["ground_truth"]
            told = [
                official.normal_checker(question["function"], answer, truth, question["question"], category)
                for truth in (truths if isinstance(truths, list) else [truths])
            ]
            return [int(any(one["valid"] for one in told)), None, None]
        given = {"id": question["id"], **(answer if category.startswith("agent") else {"result": answer})}
        arguments = [given], [question], [gold], category, MODEL
        if category.startswith("agent"):
            return [*official.agent_eval(*arguments), None]
        evaluate = (
            official.special_eval
            if category.startswith("special")
            else official.normal_multi_turn_eval
            if "multi_turn" in category
            else official.normal_single_turn_eval
        )
        return [evaluate(*arguments, {}), None, None]
    except Exception as error:  # ends the official evaluator
        return [0, None, f"{type(error).__name__}: {error}"[:200]]


def figures(official: Path, language: str, *runs: str) -> None:
    """``figures.json``: ``figures`` (of each run those of result.xlsx, in its order) and ``prompts`` by id."""
    import pandas as pd

    arguments = ["--language", language, "--category", "test_all", "--model", *runs]
    sys.argv = ["eval_main.py", *arguments]
    runpy.run_path(str(official / "eval_main.py"), run_name="__main__")
    table = pd.read_excel(Path("score_all", f"score_{language}", "result.xlsx"))
    prompts: dict[str, str] = {}
    for sheet in Path("..", "result_excel", language, runs[0]).glob("*.xlsx"):
        shown = pd.read_excel(sheet, dtype=str, keep_default_na=False)
        prompts |= dict(zip(shown["id"], shown["prompt"], strict=True))
    told = {"figures": {row[0]: row[1:] for row in table.to_numpy().tolist()}, "prompts": prompts}
    Path("figures.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
