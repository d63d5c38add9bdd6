"""The frozen sets, their golden answers, and a chat that gives them."""

import json
from typing import Any

from omegaconf import OmegaConf

import recipes
from evaluation.benchmarks import Reply, ToolCall
from evaluation.benchmarks._magic_eval_set import FOLDER

FROZEN = {
    name: json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    for name in ("magic_eval_plan", "magic_eval_tool")
}
ROWS = {name: {row["id"]: row for row in frozen["rows"]} for name, frozen in FROZEN.items()}


def options(name: str, **changes: Any) -> dict[str, Any]:
    recipe: Any = OmegaConf.to_container(
        OmegaConf.load(f"{recipes.__path__[0]}/benchmark/{name}.yaml"), resolve=True
    )
    return recipe["options"] | changes


def gold(name: str, sample_id: str) -> list[str]:
    """The assistant's messages."""
    return [turn["content"] for turn in ROWS[name][sample_id]["messages"] if turn["role"] == "assistant"]


class Scripted:
    """Gives one reply after another and keeps what it was asked."""

    seed = 0

    def __init__(self, replies):
        self.replies = [Reply(reply) if isinstance(reply, str) else reply for reply in replies]
        self.asked: list[dict[str, Any]] = []

    async def ask(self, messages, *, role="agent", tools=None, stop=None):
        self.asked.append({"messages": list(messages), "role": role, "tools": tools})
        return self.replies[len(self.asked) - 1]


def native(calls: list[dict[str, Any]]) -> Reply:
    """A reply with native calls."""
    return Reply(
        "", tool_calls=tuple(ToolCall(call["name"], json.dumps(call["arguments"])) for call in calls)
    )
