"""Dialogues of τ²-bench that do what a task's gold does, and a chat in which the agent does so."""

import json
from functools import cache

from evaluation.benchmarks import Reply, Source, ToolCall
from evaluation.benchmarks.tau2 import load
from recipes.command import compose

NUM_TASKS = {"retail": 114, "airline": 50, "telecom": 114}
SLICE = {"retail": ("1", "30"), "airline": ("7",), "telecom": (3, 40, 90)}


@cache
def loaded(subtask):
    return benchmark(subtask)


def scene_of(subtask, sample_id):
    return loaded(subtask)._domains[subtask].scene(sample_id)


def in_slice(subtask):
    ids = loaded(subtask).ids
    return [ids[one] if isinstance(one, int) else one for one in SLICE[subtask]]


READS = ("get_", "find_", "list_", "search_", "calculate", "think", "transfer_", "check_", "run_", "can_")


def options(**changed):
    """The recipe's, with some changed."""
    return dict(compose("score", ["benchmark=tau2"]).options) | changed


def benchmark(subtask, data=None, **changed):
    return load(Source(subtask=subtask, data=data, options=options(**changed)))


def is_write(action):
    return not action["name"].startswith(READS)


def gold_dialogue(scene, left_out=None):
    """Messages without tool results: the gold's actions but one, what has to be said, and the user's stop."""
    messages = [{"role": "assistant", "content": scene.greeting}, {"role": "user", "content": "Hello."}]
    for position, action in enumerate(scene.gold_actions):
        if position != left_out:
            messages.append({"role": action["requestor"], "content": None, "tool_calls": [action]})
    messages.append({"role": "assistant", "content": said(scene)})
    return [*messages, {"role": "user", "content": "Thanks. ###STOP###"}]


def said(scene):
    return "Done. " + " and ".join(scene.gold_information)


class GoldAgent:
    """A chat whose agent does the gold's actions in their order, one a turn, when the scripted user has spoken.

    ``before`` is how many of the user's lines it lets pass. A user's actions are left to the scripted user.
    """

    seed = 0

    def __init__(self, scene, before):
        self._runs = [[]]
        for action in scene.gold_actions:
            if action["requestor"] == "assistant":
                self._runs[-1].append(action)
            elif self._runs[-1] or len(self._runs) == 1:
                self._runs.append([])
        self._before = before
        self._scene = scene
        self.asked = []

    async def ask(self, messages, *, role="agent", tools=None, stop=None):
        self.asked.append((role, messages, tools))
        num_lines = sum(message["role"] == "user" for message in messages)
        run = num_lines - self._before
        if 0 <= run < len(self._runs) and self._runs[run]:
            action = self._runs[run].pop(0)
            return Reply("", tool_calls=(ToolCall(action["name"], json.dumps(action["arguments"])),))
        return Reply(said(self._scene))


def write_judged_tasks(path):
    """A ``tasks.json`` as from v1.0.0 on: its reward depends on assertions in natural language."""
    folder = path / "telecom"
    folder.mkdir()
    criteria = {
        "actions": [],
        "nl_assertions": ["Agent refuses.", "Agent is polite."],
        "reward_basis": ["DB", "NL_ASSERTION"],
    }
    instructions = {"domain": "telecom", "reason_for_call": "Cancel it.", "task_instructions": "Insist."}
    task = {"id": "x", "user_scenario": {"instructions": instructions}, "evaluation_criteria": criteria}
    (folder / "tasks.json").write_text(json.dumps([task]))
    return folder


REFUSAL = [
    {"role": "assistant", "content": "Hi!"},
    {"role": "user", "content": "Cancel it."},
    {"role": "assistant", "content": "I am afraid not."},
    {"role": "user", "content": "###STOP###"},
]


def judgement(*met):
    results = [
        {"expectedOutcome": f"{i}", "reasoning": "-", "metExpectation": one} for i, one in enumerate(met)
    ]
    return json.dumps({"results": results})
