"""ALFWorld as a benchmark: real games in processes of their own, played by a scripted chat and scored again."""

import asyncio
import json
from dataclasses import replace

import psutil
import pytest
from alfworld_chat import GAMES, Scripted, needs_games, options, plan
from commands import run_module
from fragile_environment import install

from evaluation.benchmarks import Judged, Reply, Source, Verdict, load
from evaluation.benchmarks._alfworld_prompts import official_action, whole_answer
from evaluation.client import RequestFailedError
from recipes.command import InputError

LOOK = "valid_seen/look_at_obj_in_light-Bowl-None-DeskLamp-316/trial_T20190908_230702_962704"


@pytest.fixture(scope="module")
def benchmark():
    return load("alfworld", Source("seen", str(GAMES), options=options()))


@needs_games
def test_a_plan_that_is_played_wins_and_scores_1_when_it_is_replayed(benchmark, training):
    chats = {sample_id: Scripted(plan(sample_id)) for sample_id in benchmark.ids[3:5]}

    async def play_all():
        return await asyncio.gather(*(benchmark.play(sample_id, chat) for sample_id, chat in chats.items()))

    predictions = dict(zip(chats, asyncio.run(play_all()), strict=True))
    for sample_id, turns in predictions.items():
        assert [turn["action"] for turn in turns] == plan(sample_id)
        assert all(turn["action"] in turn["text"] for turn in turns)
        verdict = benchmark.score(sample_id, turns)
        assert verdict.score == 1 and verdict.details["num_steps"] == len(turns)
        assert verdict.details["built"] is True
        assert training.score(sample_id, json.loads(json.dumps(turns))) == verdict
        assert benchmark.group(sample_id) == f"{verdict.details['task_type']} (built)"
        first, *_, last = chats[sample_id].prompts
        assert "Your task is to:" in first and f"'{turns[0]['action']}'" in first
        assert f"already taken {len(turns) - 1} step(s)" in last
        assert "recent 2 observ" in last and f"Action {len(turns) - 1}: '{turns[-2]['action']}']" in last


@needs_games
def test_a_step_that_is_left_out_loses_and_what_follows_the_win_does_not_count(benchmark):
    actions = plan(LOOK)
    for number in range(len(actions)):
        assert benchmark.score(LOOK, actions[:number] + actions[number + 1 :]).score == 0
    won = benchmark.score(LOOK, ["fly", None, *actions, "look"])
    assert won.score == 1 and won.details["num_invalid"] == 2
    late = benchmark.score(LOOK, ["look"] * 48 + actions)
    assert late.score == 0 and late.details["num_steps"] == 50


@needs_games
def test_any_json_is_scored(benchmark):
    for prediction in (None, "look", 3, True, {}, {"action": "look"}):
        assert benchmark.score(LOOK, prediction) == replace(
            benchmark.score(LOOK, 1.5), reason="no list of actions"
        )
    verdict = benchmark.score(
        LOOK, [None, 1, [], {}, {"action": 7}, {"action": "\ud800"}, "LOOK", "x" * 10**6]
    )
    assert verdict.score == 0 and verdict.details["num_invalid"] == verdict.details["num_steps"] == 8


@pytest.fixture(scope="module")
def training(benchmark):
    """The same games with the prompts of the project's RL."""
    return load("alfworld", Source(None, str(GAMES), options=options(prompt="environment", max_steps=10)))


@pytest.fixture(scope="module")
def fragile(tmp_path_factory):
    """A benchmark of another environment, found by its entry point in the processes alone."""
    folder = tmp_path_factory.mktemp("fragile")
    (folder / "valid_seen").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", install(folder / "site"))
        named = {"environment": "fragile", "prompt": "environment", "step_timeout_s": 4.0}
        yield load("alfworld", Source("seen", str(folder), options=options(**named)))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("crash", "game lost: its process crashed (status 3)"),
        ("hang", "game lost: its process didn't answer for 4 s"),
        ("raise", "game lost: RuntimeError: as it was told"),
    ],
)
def test_a_game_that_is_lost_is_its_samples_error_and_no_other_games(fragile, event, told):
    async def play_all():
        games = [["count", event], *[["count", "look", "count"]] * 3]
        chats = [Scripted(actions, ["{}"]) for actions in games]
        plays = (fragile.play(sample_id, chat) for sample_id, chat in zip(fragile.ids, chats, strict=True))
        return await asyncio.gather(*plays, return_exceptions=True)

    lost, *others = asyncio.run(play_all())
    assert isinstance(lost, RequestFailedError) and lost.fault == "sample" and str(lost) == told
    for sample_id, turns in zip(fragile.ids[1:], others, strict=True):
        assert fragile.score(sample_id, turns).reason == "won: 3 steps, 1 of them invalid"
    if event == "hang":
        return
    verdict = fragile.score(fragile.ids[0], ["count", event])
    assert verdict.score == 0 and verdict.details["lost"] is True and verdict.reason == told
    assert fragile.metrics([Judged(fragile.ids[0], verdict)]) == {"share_lost": 1.0}
    assert fragile.score(fragile.ids[0], ["count", "count"]).score == 1


def test_a_process_that_is_killed_from_outside_loses_its_game(fragile):
    class Killing(Scripted):
        async def ask(self, messages, **others):
            for child in psutil.Process().children():
                if "fragile" in child.environ().get("PYTHONPATH", ""):
                    child.kill()
            return await super().ask(messages, **others)

    with pytest.raises(RequestFailedError, match=r"game lost: its process crashed \(status -9\)"):
        asyncio.run(fragile.play(fragile.ids[0], Killing(["count", "count"], ["{}"])))


def test_an_environment_that_is_not_there_or_not_importable(fragile, tmp_path):
    (tmp_path / "valid_seen").mkdir()
    for name, message in (
        ("chess", "no installed package"),
        ("broken", "can't be imported .No module named"),
    ):
        with pytest.raises(InputError, match=rf"^options\.environment={name}: {message}"):
            load("alfworld", Source("seen", str(tmp_path), options=options(environment=name)))


@needs_games
def test_the_environments_own_prompt_wants_its_own_format(training):
    chat = Scripted(
        ["look", *plan(LOOK)], ["<action>{}</action>", *["<think>t</think><action>{}</action>"] * 9]
    )
    turns = asyncio.run(training.play(LOOK, chat))
    assert [turn["action"] for turn in turns] == [None, *plan(LOOK)]
    assert chat.prompts[0].startswith("You are a robot in a house.")
    assert "You did: nothing" in chat.prompts[1]
    assert training.score(LOOK, turns).reason == "won: 4 steps, 1 of them invalid"


def test_metrics_over_trials(fragile):
    a, b = fragile.ids[:2]

    def judged(sample_id, score, num_steps, trial=0):
        return Judged(sample_id, Verdict(score, "", {"num_steps": num_steps, "built": False}), trial)

    trials = [judged(a, 1, 5), judged(a, 0, 50, 1), judged(b, 1, 7), judged(b, 1, 6, 1)]
    assert fragile.metrics(trials) == {"success": 0.75, "success_best": 1.0, "mean_steps": 17.0}
    assert fragile.metrics([trials[0], trials[2]]) == {"success": 1.0, "mean_steps": 6.0}
    assert fragile.metrics([Judged(a, Verdict(0.0, "no text"))]) == {"success": 0.0}
    cut = [judged(a, 0, 5), judged(b, 1, 5), judged(b, 1, 5, 1)]
    assert fragile.metrics(cut)["success_best"] == 0.5, "the second trial lacks a game"


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        ("<think>a</think><action> Go To desk 1 </action>", "go to desk 1"),
        ("<action>look</action><action>inventory</action>", "look"),
        ("</action><action>look", ""),
        ("I would rather look around the room now", "rather look around the room now"[-30:]),
        ("", ""),
    ],
)
def test_answers_are_read_as_verl_agent_reads_them(answer, action):
    assert official_action(answer) == action


def test_a_thought_that_the_endpoint_took_out_counts_as_there():
    assert whole_answer(Reply("<action>a</action>", "b <action>")) == "<think></think><action>a</action>"
    assert (
        whole_answer(Reply("<think>c</think><action>a</action>", "b")) == "<think>c</think><action>a</action>"
    )
    assert whole_answer(Reply("<action>a</action>")) == "<action>a</action>"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subtask": "test"}, r"^subtask=test: alfworld has seen and unseen"),
        ({"data": None}, r"^data=null: alfworld needs its games"),
        ({"data": "/nowhere"}, r"^data=/nowhere: has no folder valid_seen"),
        ({"options": {}}, r"^options\.environment: Field required"),
        ({"options": options(num_processes=0)}, r"^options\.num_processes=0: must be above 0"),
        ({"options": options(prompt="mine")}, r"^options\.prompt: Input should be"),
    ],
)
def test_bad_input_is_told_in_a_line(changes, message):
    with pytest.raises(InputError, match=message):
        load("alfworld", replace(Source("seen", str(GAMES), options=options()), **changes))


def test_a_folder_that_the_environment_refuses_is_told_by_its_key(fragile, tmp_path):
    (tmp_path / "valid_unseen").mkdir()
    with pytest.raises(InputError, match=rf"^data={tmp_path}: no game in valid_unseen"):
        load("alfworld", Source(None, str(tmp_path), options=options(environment="fragile")))


@needs_games
def test_the_command_scores_predictions_and_leaves_no_process(tmp_path):
    lines = [{"id": LOOK, "prediction": plan(LOOK)}, {"id": LOOK, "prediction": plan(LOOK)[1:]}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run_module(
        "evaluation.score",
        "benchmark=alfworld",
        f"data={GAMES}",
        f"predictions={tmp_path / 'p.jsonl'}",
        f"output_dir={tmp_path / 'out'}",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [each["score"] for each in results["per_sample"]] == [1, 0]
    assert results["metrics"]["success"] == 0.5 and results["metrics"]["share_built"] == 1
    assert results["groups"][0]["group"] == "look_at_obj_in_light (built)"


@needs_games
@pytest.mark.slow
def test_every_built_games_plan_wins(benchmark):
    verdicts = [Judged(sample_id, benchmark.score(sample_id, plan(sample_id))) for sample_id in benchmark.ids]
    assert len(verdicts) >= 19
    assert benchmark.metrics(verdicts)["success"] == 1
