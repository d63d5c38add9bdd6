"""An environment that crashes, hangs and fails on request, installed under an entry point of its own."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

from recipes.command import InputError

LANDMARKS = ("count", "crash", "hang", "raise")


class Fragile:
    """Won by counting to 2."""

    def __init__(self, settings):
        self.settings = settings

    @classmethod
    def instances(cls, settings, split):
        if split != "valid_seen":
            raise InputError(f"env.games={settings.games}: no game in {split}")
        return [{"id": f"{split}/{number}"} for number in range(4)]

    @classmethod
    def messages(cls, observation, past, history_length):
        return [{"role": "user", "content": f"{observation.text} after {len(past)}"}]

    @classmethod
    def parse(cls, answer):
        return answer.removeprefix("<think></think>") or None

    def reset(self, instance):
        self.count = self.num_steps = 0
        return self.observe()

    def step(self, action):
        self.num_steps += 1
        match action:
            case "crash":
                os._exit(3)
            case "hang":
                time.sleep(1000)
            case "raise":
                raise RuntimeError("as it was told")
        self.count += action == "count"
        won = self.count == 2
        done = won or self.num_steps == self.settings.max_steps
        return SimpleNamespace(observation=self.observe(), done=done, won=won, valid=action in LANDMARKS)

    def observe(self):
        return SimpleNamespace(text=f"You are at {self.count}.", goal="count to 2", admissible=LANDMARKS)


def install(folder: Path) -> str:
    """A ``PYTHONPATH`` under which processes find the environment ``fragile``."""
    record = folder / "fragile-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(
        "[magic.environments]\nfragile = fragile_environment:Fragile\nbroken = no_such_package:Broken\n"
    )
    return os.pathsep.join(map(str, [folder, Path(__file__).parent]))
