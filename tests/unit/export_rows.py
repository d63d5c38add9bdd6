"""Small data rows of every kind of message, for the tests of the writers and of the packed dataset."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from data_synth.export import main
from recipes.command import compose

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_slot",
            "description": "查找空闲时间 <when> & where",
            "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
        },
    }
]
NAMES = ("Michelle", "Steven", "Jerry", "Billy", "Anna", "Laura")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def scheduling_row(number: int) -> dict[str, Any]:
    """A calendar, meeting or trip row, in English or Chinese, shaped as data_synth writes them."""
    chance = random.Random(number)
    subtask = ("calendar", "meeting", "trip")[number % 3]
    start = chance.randrange(9, 17)
    day, name = chance.choice(DAYS), chance.choice(NAMES)
    question = {
        "calendar": f"Schedule a meeting for {name} on {day}, one hour between 9:00 and 17:00.\nSOLUTION:",
        "meeting": f"You arrive at 9:00AM. {name} will be there from {start % 12 + 1}:15PM to 5:45PM.",
        "trip": f"请安排 {chance.randrange(5, 9)} 天的行程,{name} 周五 {start}:30 到达。",
    }[subtask]
    answer = f"Here is the proposed time: {day}, {start}:00 - {start + 1}:00 "
    return row(number, [user(question), assistant(answer)], subtask=subtask, answer=answer)


def row(
    number: int,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    subtask: str = "calendar",
    answer: str = "",
) -> dict[str, Any]:
    return {
        "id": f"{subtask}-{number:05d}",
        "task": "scheduling",
        "subtask": subtask,
        "messages": messages,
        "tools": tools or [],
        "gold": {"subtask": subtask, "instance": {"number": number}, "answer": answer, "natural_plan": {}},
        "meta": {"seed": 0, "operators": [], "language": "en"},
    }


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str | None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def tool(content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content}


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def conversations() -> list[list[dict[str, Any]]]:
    """One conversation for every way in which a turn can begin, end, or meet another."""
    plan = "Here is the proposed time: Monday, 14:30 - 15:00 "
    calls = [call("find_slot", '{"day": "周一"}'), call("find_slot", {"day": "Tuesday"})]
    return [
        [user("When?"), assistant(plan)],
        [user("When?"), assistant(plan, reasoning_content="Monday is free.\n十四点半可以。")],
        [user("When?"), assistant("<think>\nall busy\n</think>\n\n<answer>9:00</answer>")],
        [{"role": "system", "content": "You plan."}, user("什么时候?"), assistant("周一 9:00,不见不散。")],
        [user("a"), assistant("one"), user("b"), assistant("two"), user("c"), assistant("three\n")],
        [user("a"), assistant("\n\none", reasoning_content="kept from no one"), user("b"), assistant("two")],
        [
            user("day?"),
            assistant(None, tool_calls=calls),
            tool("[9:00]"),
            tool("[]"),
            assistant("9:00 it is"),
        ],
        [
            user("day?"),
            assistant("Let me look.", reasoning_content="need the tool", tool_calls=calls[:1]),
            tool("<tool_response> in a tool's own text"),
            assistant("Found it: 10:15AM", reasoning_content="done"),
        ],
        [user("say nothing"), assistant("")],
        [user("speak first?"), assistant(" leading space"), user("x"), assistant("\n\nleading newline")],
    ]


def dialogue_row(number: int) -> dict[str, Any]:
    """A conversation of several questions, tools and reasoning, in the answer format of one of the tools' tasks."""
    chance = random.Random(f"dialogue/{number}")
    task = ("decomposition", "tool_augmented", "long_horizon")[number % 3]
    messages = [{"role": "system", "content": chance.choice(["You plan.", "你负责规划。\n一步一步来。"])}]
    golds = list[dict[str, Any]]()
    for question in range(chance.randrange(1, 4)):
        messages.append(
            user(f"Question {question} of {chance.choice(NAMES)}: {chance.choice(DAYS)} <b>?</b>")
        )
        for step in range(1 if task == "decomposition" else chance.randrange(1, 4)):
            if step:
                messages.append(
                    tool(json.dumps({"slots": ["9:00", "14:30"][:step], "day": chance.choice(DAYS)}))
                )
            name, arguments = ("reply", {"content": "done"}) if step == 2 else ("find_slot", {"day": "周一"})
            text, gold = _answer(task, f"Thought {question}.{step}:\n空闲?", name, arguments)
            messages.append(assistant(text))
            golds.append(gold)
    made = row(number, messages, TOOLS if task == "long_horizon" else [], subtask="general")
    operators = chance.sample(["concatenate", "mask", "split"], 2)
    plan = {
        "steps": [
            {"id": 1, "tool": "find_slot", "arguments": {}},
            {"id": 2, "tool": "book_slot", "arguments": {}},
        ],
        "edges": [[1, 2, "data"]],
        "turns": [{"steps": [1, 2], "slots": []}],
    }
    meta = {"seed": 0, "operators": operators, "language": "en", "split": "train", "generator": f"{task} 1"}
    return made | {
        "id": f"{task}-{number:05d}",
        "task": task,
        "gold": {"turns": golds, "plan": plan},
        "meta": meta | {"instance": f"{number:064x}", "certificate": {}, "model": "scripted"},
    }


def _answer(task: str, thought: str, name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An assistant message and its gold."""
    call = {"name": name, "arguments": arguments}
    said = json.dumps(call, ensure_ascii=False)
    match task:
        case "decomposition":
            steps = [{"tool": name, "arguments": arguments, "depends_on": [], "when": []}]
            gold = {"plan": ["find a slot"], "reply": "done", "steps": steps}
            return "<Plan>Step1.find a slot</Plan><Reply>done</Reply>", gold
        case "tool_augmented":
            return f"<think>{thought}</think><action>ToolList:[{said}]</action>", {"calls": [call]}
    return f"<think>{thought}</think><tool_call>{said}</tool_call>", {"call": call}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in rows)
    path.write_text(text, encoding="utf-8")
    return path


def example_rows(num_scheduling: int = 60) -> list[dict[str, Any]]:
    """Scheduling rows, and one row for each of ``conversations``."""
    talks = [
        row(90_000 + i, messages, TOOLS if i >= 6 else None) for i, messages in enumerate(conversations())
    ]
    return [scheduling_row(i) for i in range(num_scheduling)] + talks


def export(folder: Path, rows: list[dict[str, Any]], *overrides: str) -> Path:
    """What ``python -m data_synth.export`` makes of ``rows``, in ``folder/out``."""
    path = write_rows(folder / "data.jsonl", rows)
    main(compose("export", [f"input={path}", f"output_dir={folder / 'out'}", "vocab_size=512", *overrides]))
    return folder / "out"
