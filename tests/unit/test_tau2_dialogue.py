"""Dialogues of τ²-bench held here, beside those of its own orchestrator."""

import asyncio
import json
import random
from collections import Counter

import pytest
from tau2_gold import (
    NUM_TASKS,
    REFUSAL,
    GoldAgent,
    benchmark,
    in_slice,
    judgement,
    loaded,
    said,
    scene_of,
    write_judged_tasks,
)

from evaluation.benchmarks import Reply, ToolCall
from evaluation.benchmarks._tau2_dialogue import Limits, hold_dialogue
from evaluation.benchmarks.tau2 import STOPS
from evaluation.client import RequestFailedError
from evaluation.packages import Worker
from recipes.command import InputError


class Lines:
    """A party with given answers; the last one again and again."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.shown = []

    async def speak(self, messages):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        calls = [ToolCall(name, json.dumps(arguments)) for name, arguments in answer.get("calls", [])]
        return Reply(answer.get("text", ""), tool_calls=tuple(calls))


class LinesChat(Lines):
    """The same as both models' answers, with what each was asked."""

    seed = 0

    def __init__(self, agent, user):
        self.sides = {"agent": Lines(agent), "user": Lines(user)}
        self.shown = []

    async def ask(self, messages, *, role="agent", tools=None, stop=None):
        self.shown.append([role, [as_official(message) for message in messages], tools or []])
        return await self.sides[role].speak(messages)


def as_official(message):
    """As ``tau2_official`` writes a message down; OpenAI's shape or ours."""
    calls = []
    for call in message.get("tool_calls", []):
        function = call.get("function", call)
        arguments = function["arguments"]
        calls.append(
            [call["id"], function["name"], json.loads(arguments) if isinstance(arguments, str) else arguments]
        )
    number = message.get("tool_call_id", message.get("id"))
    return [message["role"], message["content"], number, calls]


def random_answers(rng, scene):
    """Answers of an agent and a user: gold actions in disorder, calls that fail, talk, and the user's stop."""
    wrong = [
        ["calculate", {"expression": "2 +"}],
        ["no_such_tool", {}],
        ["calculate", {"expression": "3 * 7"}],
    ]
    own = [
        [action["name"], action["arguments"]]
        for action in scene.gold_actions
        if action["requestor"] == "user"
    ]
    gold = [
        [action["name"], action["arguments"]]
        for action in scene.gold_actions
        if action["requestor"] != "user"
    ]

    def answer(pool):
        if rng.random() < 0.4:
            return {"text": rng.choice(["All right.", "One moment, 1,234.", "Yes."])}
        calls = rng.choices(pool, k=rng.choice([1, 1, 2]))
        return {"calls": calls} | ({"text": "Let me see."} if rng.random() < 0.2 else {})

    user = [answer(own or [wrong[1]]) for _ in range(rng.randrange(1, 5))]
    stop = [{"text": "Bye " + rng.choice(STOPS)}] if rng.random() < 0.8 else []
    return [answer(gold + wrong) for _ in range(rng.randrange(1, 8))] + [{"text": said(scene)}], user + stop


@pytest.mark.parametrize(("subtask", "num_dialogues"), [("retail", 2), ("telecom", 6)])
def test_dialogues_are_those_of_the_official_orchestrator(subtask, num_dialogues):
    compare_with_official(subtask, num_dialogues)


@pytest.mark.slow
@pytest.mark.parametrize(("subtask", "num_dialogues"), [("retail", 100), ("airline", 40), ("telecom", 200)])
def test_many_dialogues_are_those_of_the_official_orchestrator(subtask, num_dialogues):
    endings = compare_with_official(subtask, num_dialogues)
    assert min(endings[ending] for ending in ("user_stop", "max_steps", "too_many_errors")) >= 3, endings


def compare_with_official(subtask, num_dialogues):
    rng, endings = random.Random(7), Counter()
    with Worker("tau2", "tests.unit.tau2_official", timeout_s=120) as official:
        for _ in range(num_dialogues):
            sample_id = rng.choice(loaded(subtask).ids)
            agent, user = random_answers(rng, scene_of(subtask, sample_id))
            limits = Limits(rng.choice([12, 30]), rng.choice([2, 5]))
            theirs = official.call(
                "play",
                domain=subtask,
                task_id=sample_id,
                agent=agent,
                user=user,
                max_steps=limits.max_steps,
                max_errors=limits.max_errors,
            )
            changed = benchmark_with(subtask, limits)
            chat = LinesChat(agent, user)
            ours = asyncio.run(changed.play(sample_id, chat))
            assert [as_official(message) for message in ours["messages"]] == theirs["messages"]
            assert ours["termination_reason"] == theirs["ending"]
            assert chat.shown == theirs["shown"]
            for prediction in (ours, theirs["simulation"]):
                assert changed.score(sample_id, prediction).score == theirs["reward"]
            endings[theirs["ending"]] += 1
    return endings


def benchmark_with(subtask, limits):
    """The loaded one, with models on both sides and other limits."""
    one = loaded(subtask)
    changed = type(one)(one._domains, type(one._options)("endpoint", 0, False, *vars(limits).values(), 120.0))
    assert changed.roles == {"user"}
    return changed


@pytest.mark.parametrize("subtask", NUM_TASKS)
def test_an_agent_that_does_the_gold_wins_against_the_scripted_user(subtask):
    scripted = benchmark(subtask, user="scripted")
    assert scripted.roles == frozenset()
    for sample_id in in_slice(subtask)[:2]:
        scene = scene_of(subtask, sample_id)
        num_lines = sum(bool(text) for name, text in scene.instructions.items() if name != "domain")
        prediction = asyncio.run(scripted.play(sample_id, GoldAgent(scene, num_lines)))
        assert prediction["termination_reason"] == "user_stop"
        again = json.loads(json.dumps(prediction))
        assert scripted.score(sample_id, again).score == 1, scripted.score(sample_id, again)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(" \n"), "an empty message"),
        (Reply("", tool_calls=(ToolCall("calculate", "{"),)), "arguments that are no JSON"),
        (Reply("", tool_calls=(ToolCall("calculate", "[1]"),)), "arguments that are no JSON object"),
    ],
)
def test_a_broken_answer_ends_the_dialogue(answer, error):
    class Broken(Lines):
        async def speak(self, messages):
            return answer

    async def scene(agent, user):
        async with loaded("retail")._domains["retail"].session("1") as session:
            return await hold_dialogue(scene_of("retail", "1"), session, agent, user, Limits(20, 5))

    for sides, ending in (
        ((Broken([]), Lines([{"text": "Hi"}])), "agent_error"),
        ((None, Broken([])), "user_error"),
    ):
        prediction = asyncio.run(scene(*sides))
        assert (prediction["termination_reason"], prediction["error"]) == (ending, error)
        assert loaded("retail").score("1", prediction).reason == f'the dialogue ended by {ending}: "{error}"'


def test_a_session_outlives_the_process():
    domain = loaded("telecom")._domains["telecom"]
    sample_id = loaded("telecom").ids[0]
    call = {"id": "a", "name": "toggle_airplane_mode", "arguments": {}, "requestor": "user"}

    async def scene(is_killed):
        async with domain.session(sample_id) as session:
            answers = []
            for _ in range(3):
                answers += await session.execute([call])
                if is_killed:
                    domain._worker.close()
            return answers

    whole = asyncio.run(scene(False))
    assert whole[0] != whole[1] and whole == asyncio.run(scene(True))


def test_a_process_that_crashes_is_an_error_and_not_the_agents(monkeypatch):
    one = benchmark_with("retail", Limits(20, 5))
    worker = one._domains["retail"]._worker

    class Stopping(LinesChat):
        async def ask(self, messages, **others):
            monkeypatch.setattr(worker, "_module", "no_such")
            worker.close()
            return await super().ask(messages, **others)

    call = {"calls": [["calculate", {"expression": "1 + 1"}]]}
    for _ in range(2):  # in the dialogue, and before it
        with pytest.raises(RequestFailedError, match=r"dialogue lost: .*no_such") as error:
            asyncio.run(one.play("1", Stopping([call], [{"text": "Hi."}])))
        assert error.value.fault == "sample"
    monkeypatch.setattr("evaluation.benchmarks.tau2.package", lambda timeout_s: worker)
    with pytest.raises(InputError, match=r"options\.timeout_s=120\.0: .* doesn't list the tasks"):
        benchmark("retail")


def test_the_judge_is_asked_as_officially(tmp_path):
    class Judge(LinesChat):
        async def ask(self, messages, *, role="agent", tools=None, stop=None):
            if role != "judge":
                return await super().ask(messages, role=role, tools=tools, stop=stop)
            self.shown.append([role, messages, tools])
            return Reply(judgement(True, True))

    asked = benchmark("telecom", str(write_judged_tasks(tmp_path).parent), judge=True)
    assert asked.roles == {"user", "judge"}
    chat = Judge([{"text": REFUSAL[2]["content"]}], [{"text": "Cancel it."}, {"text": "###STOP###"}])
    prediction = asyncio.run(asked.play("x", chat))
    role, messages, tools = chat.shown[-1]
    assert (role, [message["role"] for message in messages], tools) == ("judge", ["system", "user"], None)
    assert "metExpectation" in messages[0]["content"]
    assert "Agent refuses." in messages[1]["content"] and REFUSAL[2]["content"] in messages[1]["content"]
    assert asked.score("x", prediction).score == 1
