"""``python -m data_synth.magic_eval output_dir=D``: public sets in place of the paper's MagicEval (section 6.2).

The paper's sets come from its users' logs and aren't published. Ours are rows of ``task=decomposition`` (for
MagicEval-Plan) and ``task=tool_augmented`` (for MagicEval-Tool) over the tools of the split ``test``, which rows of
the split ``train`` never show. A file holds each tool's schema once a language, and a row a line: the dialogue, what
tools it shows, and what is wanted of each of its assistant's messages.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from data_synth.__main__ import main as generate
from recipes.command import InputError, compose, make_folder, run, typed

TASKS = {"magic_eval_plan": "decomposition", "magic_eval_tool": "tool_augmented"}
SCENARIOS = ("general", "dependency", "condition", "context_inheritance")
TEST_SHARE = 0.1
"""That of ``recipes/synth.yaml``: with another one, training could see these tools."""

type Row = dict[str, Any]


@dataclass(frozen=True)
class MagicEvalConfig:
    """``recipes/magic_eval.yaml``."""

    output_dir: str
    num_rows: int
    seed: int
    num_workers: int


def main(config: DictConfig) -> None:
    """Write both sets and print their SHA-256."""
    settings = typed(MagicEvalConfig, config)
    if settings.num_rows < 1:
        raise InputError(f"num_rows={settings.num_rows}: must be at least 1; try num_rows=240")
    output_dir = Path(settings.output_dir)
    make_folder("output_dir", output_dir)
    GlobalHydra.instance().clear()  # this command's recipe is composed, data_synth's is next
    for name, task in TASKS.items():
        generate(compose("synth", _overrides(settings, task, output_dir / task)))
        with (output_dir / task / "data.jsonl").open(encoding="utf-8") as lines:
            content = frozen(name, map(json.loads, lines))
        (output_dir / f"{name}.json").write_bytes(content)
        print(f"{hashlib.sha256(content).hexdigest()}  {output_dir / name}.json")


def _overrides(settings: MagicEvalConfig, task: str, folder: Path) -> list[str]:
    return [
        f"task={task}",
        "llm=scripted",
        "split=test",
        f"test_share={TEST_SHARE}",
        "validation_share=0.0",
        "language=both",
        f"num_samples={settings.num_rows}",
        f"seed={settings.seed}",
        f"num_workers={settings.num_workers}",
        f"output_dir={folder}",
    ]


def frozen(name: str, rows: Iterable[Row]) -> bytes:
    """The file of a set: the same rows give the same bytes."""
    tools: dict[str, dict[str, Any]] = {}
    numbers: Counter[tuple[str, str]] = Counter()
    lines = []
    for row in rows:
        language, scenario = row["meta"]["language"], row["subtask"]
        number = numbers[scenario, language]
        numbers[scenario, language] += 1
        known = tools.setdefault(language, {})
        for tool in row["tools"]:
            function = tool["function"]
            assert known.setdefault(function["name"], function) == function, (
                "a tool has one schema a language"
            )
        lines.append(
            {
                "id": f"{scenario}/{language}/{number:03}",
                "scenario": scenario,
                "language": language,
                "instance": row["meta"]["instance"],
                "tools": [tool["function"]["name"] for tool in row["tools"]],
                "messages": row["messages"],
                "wanted": [_wanted(name, turn) for turn in row["gold"]["turns"]],
            }
        )
    ordered = {language: dict(sorted(known.items())) for language, known in sorted(tools.items())}
    head = f'{{"name": {_text(name)},\n"tools": {_text(ordered)},\n"rows": [\n'
    return (head + ",\n".join(map(_text, lines)) + "\n]}\n").encode()


def _wanted(name: str, turn: dict[str, Any]) -> list[Any]:
    """What an assistant's message should hold: the steps of a plan, or calls."""
    wanted: list[Any] = turn["plan"] if name == "magic_eval_plan" else turn["calls"]
    return wanted


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    run("magic_eval", main)
