"""``python -m magic_megatron.rl.envs.make_games split=… num_games=… output_dir=…``; ``docs/alfworld.md`` has the keys.

Game number i depends on seed, split, settings and i alone, except that one that repeats an earlier game is drawn again:
games are therefore accepted in their order, and those that a killed run has written are a prefix of all.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig
from tqdm import tqdm

from data_synth.engine_workers import map_in_processes
from data_synth.output_folder import acquire, check_version, replace_text
from magic_megatron.rl.envs.alfworld import GAME, PLAN, TASK_TYPES, TRAJECTORY
from magic_megatron.rl.envs.alfworld_engine import replay, winning_plan, with_names
from magic_megatron.rl.envs.alfworld_games import RoomSettings, draw, folder_name, game_files
from recipes.command import InputError, run, typed

MANIFEST, FORMAT_VERSION = "manifest.json", 1
DRAWS_PER_ATTEMPT = 500
"""Most draws end before the planner is asked, and cost a thousandth of its time."""


@dataclass(frozen=True)
class MakeGamesConfig:
    """``recipes/make_games.yaml``, composed."""

    num_games: int
    seed: int
    split: Literal["train", "valid_seen", "valid_unseen"]
    output_dir: str
    task_types: list[str] | None
    rooms: RoomSettings
    num_workers: int
    max_attempts: int

    @property
    def tasks(self) -> list[str]:
        return self.task_types or list(TASK_TYPES)


@dataclass(frozen=True)
class Game:
    """A game that can be won, and the try that made it."""

    attempt: int
    folder: str
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Of the problem without its name: equal for games that are the same."""
        problem = json.loads(self.files[GAME])["pddl_problem"].split("\n", 1)[1]
        return hashlib.sha256(problem.encode()).hexdigest()[:16]


def main(config: DictConfig) -> None:
    """Build the games that aren't there yet."""
    settings = typed(MakeGamesConfig, config)
    _check(settings)
    folder = Path(settings.output_dir) / settings.split
    with acquire(folder, ".lock"):
        _same_settings(folder, settings)
        existing = _existing(folder)
        if len(existing) > settings.num_games:
            raise InputError(
                f"num_games={settings.num_games}: {folder} has {len(existing)} already; choose another output_dir"
            )
        build(folder, settings, existing)
    print(
        f"{settings.num_games} games in {folder}; scores on them aren't comparable with the official games'"
    )


def build(folder: Path, settings: MakeGamesConfig, digests: list[str]) -> None:
    """Append the games after the first ``len(digests)``, which are on disk.

    Raises:
        InputError: the settings allow no further game of a task type.
    """
    seen = set(digests)
    indices = range(len(digests), settings.num_games)
    make = partial(make_game, settings)
    games = map_in_processes(make, indices, settings.num_workers, _prepare_worker)
    progress = tqdm(zip(indices, games, strict=True), "games", settings.num_games, initial=len(digests))
    for index, game in progress:
        while game is not None and game.digest in seen:
            game = make_game(settings, index, game.attempt + 1)
        if game is None:
            raise InputError(
                f"rooms: no further game of {settings.tasks[index % len(settings.tasks)]} in"
                f" max_attempts={settings.max_attempts} tries; allow more of the rooms, or fewer num_games"
            )
        seen.add(game.digest)
        _write(folder, game)


def make_game(settings: MakeGamesConfig, index: int, first_attempt: int = 0) -> Game | None:
    """Game number ``index``: the first try that can be won, isn't won at its start, and isn't too long."""
    task_type = settings.tasks[index % len(settings.tasks)]
    num_planned = 0
    for attempt in range(first_attempt, first_attempt + DRAWS_PER_ATTEMPT * settings.max_attempts):
        rng = random.Random(f"{settings.seed}/{settings.split}/{index}/{attempt}")
        drawn = draw(rng, task_type, settings.split, settings.rooms)
        if drawn is None:
            continue
        trial = f"trial_{index:06d}"
        files, trajectory, known = game_files(drawn, rng, f"{settings.split}_{trial}")
        plan = winning_plan(files) if known is None else with_names(files, known)
        if known is not None and not replay(files, plan or []):
            plan = None
        num_planned += 1
        if plan is None or len(plan) > (settings.rooms.max_plan_length or len(plan)):
            if num_planned == settings.max_attempts:
                break
            continue
        written = {
            GAME: files | {"solvable": True, "walkthrough": plan},
            TRAJECTORY: trajectory,
            PLAN: {"built": True, "won_after": len(plan), "actions": plan},
        }
        texts = {
            name: json.dumps(value, indent=None if name == GAME else 1) for name, value in written.items()
        }
        return Game(attempt, f"{folder_name(drawn)}/{trial}", texts)
    return None


def _prepare_worker() -> None:
    """Nothing: each process loads a planner of its own with its first game."""


def _write(folder: Path, game: Game) -> None:
    """All files of a game at once."""
    target = folder / game.folder
    staging = folder / ".new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    for name, text in game.files.items():
        (staging / name).write_text(text, "utf-8")
    target.parent.mkdir(exist_ok=True)
    staging.rename(target)


def _existing(folder: Path) -> list[str]:
    """Digests of games 0, 1, … that are on disk.

    Raises:
        InputError: one between them is missing.
    """
    paths = {path.name: path for path in folder.glob("*/trial_*")}
    digests = []
    for index in count():
        path = paths.pop(f"trial_{index:06d}", None)
        if path is None:
            break
        files = {name: (path / name).read_text("utf-8") for name in (GAME, TRAJECTORY, PLAN)}
        digests.append(Game(0, path.parent.name, files).digest)
    if paths:
        raise InputError(
            f"output_dir={folder.parent}: {min(paths)} is there and an earlier game isn't; choose another folder"
        )
    return digests


def _same_settings(folder: Path, settings: MakeGamesConfig) -> None:
    """Write the manifest, or compare with the one of an earlier run: games of two settings don't mix.

    Raises:
        InputError: the folder holds games of other settings.
    """
    ours: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "built": True,
        "seed": settings.seed,
        "split": settings.split,
        "task_types": settings.tasks,
        "rooms": asdict(settings.rooms),
        "max_attempts": settings.max_attempts,
    }
    path = folder / MANIFEST
    if not path.exists():
        if any(folder.glob("*/*")):
            raise InputError(
                f"output_dir={folder.parent}: {folder.name} holds other files; choose another folder"
            )
        replace_text(path, json.dumps(ours, indent=1))
        return
    theirs = json.loads(path.read_text())
    check_version(folder.parent, f"{folder.name}/{MANIFEST}", theirs.get("format_version"), FORMAT_VERSION)
    for key, value in ours.items():
        if theirs.get(key) != value:
            raise InputError(
                f"{key}={value}: {folder} was built with {theirs.get(key)}; choose another output_dir, or that {key}"
            )


def _check(settings: MakeGamesConfig) -> None:
    for problem in _problems(settings):
        raise problem


def _problems(settings: MakeGamesConfig) -> Iterator[InputError]:
    rooms = settings.rooms
    lowest = {
        "num_games": (settings.num_games, 1),
        "num_workers": (settings.num_workers, 1),
        "max_attempts": (settings.max_attempts, 1),
        "rooms.num_scenes": (rooms.num_scenes, 1),
        "rooms.max_receptacles": (rooms.max_receptacles, 2),
        "rooms.min_objects": (rooms.min_objects, 0),
        "rooms.max_plan_length": (rooms.max_plan_length, 3),
    }
    for key, (number, least) in lowest.items():
        if number is not None and number < least:
            yield InputError(f"{key}={number}: must be at least {least}; try {key}={least}")
    if rooms.max_objects < rooms.min_objects:
        yield InputError(
            f"rooms.max_objects={rooms.max_objects}: below rooms.min_objects={rooms.min_objects}; raise it"
        )
    for task in settings.tasks:
        if task not in TASK_TYPES:
            yield InputError(f"task_types={task}: no such task type; known: {', '.join(TASK_TYPES)}")


if __name__ == "__main__":
    run("make_games", main)
