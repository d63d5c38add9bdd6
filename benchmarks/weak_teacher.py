"""Gives a share of rows the answer of a weaker teacher, for docs/experiments.md: what GRPO is to unlearn.

    python benchmarks/weak_teacher.py D/calendar D/decomposition D/procedural --share 0.6 --output W

Each D is a folder that data_synth wrote. Of the rows drawn, a calendar's answer is moved by one slot, and plans and
workflows lose their last step, where they have two or more. ``W/<name of D>/data.jsonl`` has the rows for
``data_synth.export``; their gold stays as it was, so ``data_synth.verify`` rejects the changed ones.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TIMES = re.compile(r"(\d+):(\d\d) - (\d+):(\d\d)$")


def move_by_a_slot(answer: str, gold: dict[str, Any]) -> str:
    """The meeting a slot later, or earlier where the day ends."""
    times = _TIMES.search(answer)
    if times is None:
        raise ValueError(f"an answer without a time: {answer!r}")
    hour, minute, end_hour, end_minute = map(int, times.groups())
    begin, end = 60 * hour + minute, 60 * end_hour + end_minute
    slot, (opens, closes) = gold["instance"]["slot_minutes"], gold["instance"]["work_hours"]
    shift = slot if end + slot <= closes else -slot
    if begin + shift < opens:
        return answer
    return f"{answer[: times.start()]}{_clock(begin + shift)} - {_clock(end + shift)}"


def leave_out_last_step(answer: str, gold: dict[str, Any]) -> str:
    """A plan and its reply without the last step."""
    steps = gold["turns"][0]["plan"]
    if len(steps) < 2:
        return answer
    plan = " ".join(f"Step{number}.{step}" for number, step in enumerate(steps[:-1], 1))
    return f"<Plan>{plan}</Plan>" + re.sub(
        r", then [^,]*</Reply>$", ".</Reply>", answer[answer.index("<Reply>") :]
    )


def leave_out_last_node(answer: str, gold: dict[str, Any]) -> str:
    """A workflow without its last node: what led to it leads to the end."""
    nodes, last = gold["nodes"][:-1], str(len(gold["nodes"]))
    if not nodes:
        return answer
    edges = [(source, target) for source, target in gold["edges"] if source != last]
    edges = [(source, "END" if target == last else target) for source, target in edges]
    lines = ["Node:", *(f"{number}: {node}" for number, node in enumerate(nodes, 1))]
    return "\n".join(
        [*lines, "Edge: " + " ".join(f"({source},{target})" for source, target in dict.fromkeys(edges))]
    )


SLIPS: dict[tuple[str, str], Callable[[str, dict[str, Any]], str]] = {
    ("scheduling", "calendar"): move_by_a_slot,
    ("decomposition", "general"): leave_out_last_step,
    ("procedural", "qa"): leave_out_last_node,
}


def weaken(source: Path, target: Path, share: float, seed: int) -> tuple[int, int]:
    """Writes ``source``'s rows to ``target``; how many there are and how many answers differ."""
    rng = random.Random(f"{seed}/{source.parent.name}")
    num_rows = num_changed = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open(encoding="utf-8") as rows, target.open("w", encoding="utf-8") as out:
        for line in rows:
            row = json.loads(line)
            if (row["task"], row["subtask"]) not in SLIPS:
                raise SystemExit(
                    f"{source}: {row['id']}: a {row['task']}/{row['subtask']}; known: {sorted(SLIPS)}"
                )
            if rng.random() < share:
                answer = row["messages"][-1]["content"]
                row["messages"][-1]["content"] = SLIPS[row["task"], row["subtask"]](answer, row["gold"])
                num_changed += row["messages"][-1]["content"] != answer
            num_rows += 1
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return num_rows, num_changed


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02d}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="D")
    parser.add_argument("--share", type=float, default=0.6, help="of rows that are drawn (default: 0.6)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, metavar="W")
    args = parser.parse_args()
    for folder in args.folders:
        target = args.output / folder.name / "data.jsonl"
        num_rows, num_changed = weaken(folder / "data.jsonl", target, args.share, args.seed)
        print(f"{target}: {num_changed:,} of {num_rows:,} answers changed")


if __name__ == "__main__":
    main()
