"""ALFWorld on games that this file builds: the real engine and planner, the same steps as TextWorld's own."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest
import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
from commands import must_run, run_module
from rl_environments import env_config
from textworld.envs import PddlEnv

from magic_megatron.rl.envs import demonstrate, make_games
from magic_megatron.rl.envs.alfworld import GAME, PLAN, TASK_TYPES, TRAJECTORY, Alfworld
from magic_megatron.rl.envs.alfworld_engine import make_engine, replay
from magic_megatron.rl.envs.alfworld_games import RoomSettings, draw
from magic_megatron.rl.envs.alfworld_rooms import scenes
from recipes.command import InputError, compose

SMALL = RoomSettings(
    num_scenes=2, max_receptacles=5, min_objects=1, max_objects=3, closed_receptacles=False, max_plan_length=8
)
EASY = ("rooms=small", "rooms.max_receptacles=4", "task_types=[pick_and_place_simple,look_at_obj_in_light]")


def settings(folder: Path, num_games: int = 6, split: str = "train") -> make_games.MakeGamesConfig:
    return make_games.MakeGamesConfig(
        num_games=num_games,
        seed=1,
        split=split,
        output_dir=str(folder),
        task_types=None,
        rooms=SMALL,
        num_workers=1,
        max_attempts=20,
    )


@pytest.fixture(scope="module")
def games(tmp_path_factory) -> Path:
    """A game of each task type."""
    folder = tmp_path_factory.mktemp("games")
    (folder / "train").mkdir()
    make_games.build(folder / "train", settings(folder), [])
    return folder


@pytest.fixture(scope="module")
def instances(games):
    return Alfworld.instances(env_config("alfworld", games=str(games)), "train")


def test_a_game_of_each_task_type_is_built_and_labelled(instances):
    assert {instance["task_type"] for instance in instances} == set(TASK_TYPES)
    assert all(instance["built"] and instance["environment"] == "alfworld" for instance in instances)
    assert instances == json.loads(json.dumps(instances))


def test_plans_win_for_the_reward_and_an_invalid_action_costs(instances):
    game = Alfworld(env_config("alfworld"))
    for instance in instances:
        plan = Alfworld.plan(instance)
        assert len(plan) <= 8
        observation = game.reset(instance)
        assert observation.goal and "Your task" not in observation.text
        assert observation.text.startswith("You are in the middle of a room.")
        assert "help" not in observation.admissible
        assert game.step("fly to the moon").reward == -0.1
        transitions = [game.step(action) for action in plan]
        assert [each.reward for each in transitions] == [0.0] * (len(plan) - 1) + [10.0]
        assert transitions[-1].won and transitions[-1].done


def test_the_remembering_engine_takes_textworlds_steps_with_games_interleaved(instances):
    paths = [instance["game"] for instance in instances[:2]]
    ours = [make_engine() for _ in paths]
    theirs = [AlfredDemangler(PddlEnv(textworld.EnvInfos(admissible_commands=True, won=True))) for _ in paths]
    states = []
    for path, mine, plain in zip(paths, ours, theirs, strict=True):
        for engine in (mine, plain):
            engine.load(path)
        states.append((mine.reset(), plain.reset()))
    rng = random.Random(0)
    for _ in range(8):
        for number, (mine, plain) in enumerate(zip(ours, theirs, strict=True)):
            left, right = states[number]
            assert left.feedback == right.feedback
            assert left["admissible_commands"] == right["admissible_commands"]
            assert left["won"] == right["won"]
            action = rng.choice(left["admissible_commands"])
            states[number] = (mine.step(action)[0], plain.step(action)[0])


def test_a_replay_that_stops_early_or_goes_on_does_not_count(instances):
    instance = instances[0]
    plan = Alfworld.plan(instance)
    assert replay(instance["game"], plan)
    assert not replay(instance["game"], plan[:-1])
    assert not replay(instance["game"], [*plan, "look"])
    assert not replay(instance["game"], [])


def test_a_game_without_a_plan_beside_it_is_official_and_planned_on_demand(instances, tmp_path):
    source = Path(instances[0]["game"]).parent
    target = tmp_path / "valid_seen" / "task" / "trial"
    shutil.copytree(source, target)
    (target / PLAN).unlink()
    (instance,) = Alfworld.instances(env_config("alfworld", games=str(tmp_path)), "valid_seen")
    assert not instance["built"]
    assert replay(instance["game"], Alfworld.plan(instance))
    game = json.loads((target / GAME).read_text())
    (target / GAME).write_text(json.dumps(game | {"solvable": False}))
    with pytest.raises(InputError, match="no game of these task types in valid_seen"):
        Alfworld.instances(env_config("alfworld", games=str(tmp_path)), "valid_seen")


def test_a_killed_build_goes_on_to_the_same_games(games, tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    make_games.build(folder, settings(tmp_path, num_games=2), [])
    make_games.build(folder, settings(tmp_path, num_games=4), make_games._existing(folder))
    built = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("trial_*/*")}
    assert len(built) == 12
    assert all((games / path).read_bytes() == content for path, content in built.items())


def test_seen_and_trained_tasks_share_rooms_and_no_structure_unseen_has_other_rooms():
    drawn = {split: [] for split in ("train", "valid_seen", "valid_unseen")}
    for split, found in drawn.items():
        for number in range(400):
            made = draw(random.Random(f"{split}{number}"), TASK_TYPES[number % 6], split, SMALL)
            found += [made] if made else []
    rooms = {split: {each.scene.number for each in found} for split, found in drawn.items()}
    structures = {split: {each.structure for each in found} for split, found in drawn.items()}
    assert rooms["valid_seen"] <= rooms["train"]
    assert not rooms["train"] & rooms["valid_unseen"]
    assert structures["valid_seen"]
    assert not structures["train"] & structures["valid_seen"]
    assert all(not set(scenes(task, True)) & set(scenes(task, False)) for task in TASK_TYPES)


def test_demonstrations_of_a_game(instances):
    made = list(demonstrate.rows(Alfworld(env_config("alfworld")), instances[0]))
    assert [row["gold"]["action"] for row in made] == Alfworld.plan(instances[0])
    assert {row["subtask"] for row in made} == {instances[0]["task_type"]}
    assert made[0]["meta"]["instance"]["built"] is True


def test_two_processes_build_what_one_does_and_demonstrations_export(tmp_path, capsys):
    overrides = [*EASY, "seed=5", "num_games=2"]
    for name, num_workers in (("one", 1), ("two", 2)):
        make_games.main(
            compose("make_games", [*overrides, f"num_workers={num_workers}", f"output_dir={tmp_path / name}"])
        )
    assert "aren't comparable" in capsys.readouterr().out
    built = {name: sorted((tmp_path / name).rglob("trial_*/*")) for name in ("one", "two")}
    assert {path.name for path in built["one"]} == {GAME, TRAJECTORY, PLAN}
    assert [path.relative_to(tmp_path / "one") for path in built["one"]] == [
        path.relative_to(tmp_path / "two") for path in built["two"]
    ]
    assert all(left.read_bytes() == right.read_bytes() for left, right in zip(*built.values(), strict=True))
    with pytest.raises(InputError, match=r"^rooms=.*was built with"):
        make_games.main(
            compose("make_games", [*overrides, "rooms.max_objects=2", f"output_dir={tmp_path / 'one'}"])
        )
    with pytest.raises(InputError, match=r"^num_games=1: .* has 2 already"):
        make_games.main(compose("make_games", [*overrides, "num_games=1", f"output_dir={tmp_path / 'one'}"]))
    of_games = ["rl/env@env=alfworld", f"env.games={tmp_path / 'one'}", "num_episodes=2"]
    demonstrate.main(compose("demonstrate", [*of_games, f"output_dir={tmp_path / 'rows'}"]))
    data = tmp_path / "rows" / "data.jsonl"
    must_run("data_synth.export", f"input={data}", f"output_dir={tmp_path / 'export'}")
    manifest = json.loads((tmp_path / "export" / "train_manifest.json").read_text())
    assert manifest["num_rows"] == len(data.read_text().splitlines()) >= 6
    assert manifest["num_rejected"] == 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("num_games=0", "num_games=0: must be at least 1"),
        ("task_types=[fly]", "task_types=fly: no such task type"),
        ("split=test", "split=test"),
        ("rooms.max_objects=0", "rooms.max_objects=0: below rooms.min_objects"),
        ("rooms.max_receptacles=1", "rooms.max_receptacles=1: must be at least 2"),
    ],
)
def test_bad_input_is_told_in_a_line(argument, message, tmp_path):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        make_games.main(compose("make_games", ["rooms=small", argument, f"output_dir={tmp_path / 'new'}"]))
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_is_missing():
    done = run_module("magic_megatron.rl.envs.make_games", "num_games=1")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: output_dir: missing; give it as output_dir=VALUE"


@pytest.mark.parametrize(
    ("games", "message"),
    [(None, r"env\.games=null: missing"), ("/nowhere", r"env\.games=/nowhere: has no folder valid_seen")],
)
def test_missing_games_are_refused(games, message):
    with pytest.raises(InputError, match=message):
        Alfworld.instances(env_config("alfworld", games=games), "valid_seen")


def test_a_gap_among_the_games_is_refused(games, tmp_path):
    shutil.copytree(games / "train", tmp_path / "train")
    shutil.rmtree(next((tmp_path / "train").glob("*/trial_000002")))
    with pytest.raises(InputError, match="trial_000003 is there and an earlier game isn't"):
        make_games._existing(tmp_path / "train")
