"""A benchmark of dialogues between three roles, and a process that plays it: killed and started again by its tests."""

import asyncio
import sys
from pathlib import Path

from evaluation.benchmarks import Verdict
from evaluation.chat import Chats
from evaluation.client import ChatClient, Endpoint, Generation, Price
from evaluation.journal import Journal
from evaluation.runner import Run
from recipes.command import hold_folder

NUM_TURNS = 3
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


class Talk:
    """The agent and the user take turns; the judge has the last word. Every answer goes into what is asked next."""

    ids = ("ann", "bo", "cleo", "dan")

    def __init__(self, topic):
        self.topic = topic

    async def play(self, sample_id, chat):
        messages = [{"role": "user", "content": f"{self.topic} {sample_id} {chat.seed}"}]
        for _ in range(NUM_TURNS):
            reply = await chat.ask(messages, tools=[TOOL])
            messages.append({"role": "assistant", "content": reply.text})
            swapped = [{"role": "user", "content": " | ".join(m["content"] for m in messages)}]
            messages.append({"role": "user", "content": (await chat.ask(swapped, role="user")).text})
        last = await chat.ask([{"role": "user", "content": str(len(messages))}], role="judge", stop=["."])
        return [*(message["content"] for message in messages), last.text]

    def score(self, sample_id, prediction):
        return Verdict(float(len(prediction) == 2 * NUM_TURNS + 2), "counted")


def endpoint(url, concurrency=2):
    return Endpoint(url, "m", None, concurrency, 20.0, 2, 0.01, 1.0, 4, None, Price(None, None))


def play(out, url, topic, num_trials, seed=5):
    """What the runner does, over this benchmark."""
    benchmark = Talk(topic)
    with hold_folder("output_dir", out):
        journal = Journal(out, {"topic": "same"}, "auto", num_trials)
        clients = {
            role: ChatClient(endpoint(url), Generation(16, 0.0, 1.0)) for role in ("agent", "user", "judge")
        }
        run = Run(benchmark, Chats(clients, journal, seed), 3, dict.fromkeys(clients, 4))
        tasks = [(sample_id, trial) for sample_id in benchmark.ids for trial in range(num_trials)]
        left = [task for task in tasks if task not in journal.predictions]
        asyncio.run(run.play_all(left, len(tasks) - len(left)))
        return journal.finish(tasks), run.errors, {role: journal.totals(role) for role in clients}


if __name__ == "__main__":
    play(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
