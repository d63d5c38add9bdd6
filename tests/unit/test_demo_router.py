"""The intent router: plans read or refused, sub-tasks in order, answers put together."""

import json

import pytest
from demo_server import DemoServer, calls, says, status
from hypothesis import given
from hypothesis import strategies as st
from test_demo_agent import SUM, client, joined
from test_demo_travel import ROWS, TRIPS

from evaluation.client import RequestFailedError
from evaluation.demo.agent import Agent, Loop
from evaluation.demo.calculator import CALCULATOR
from evaluation.demo.events import Event
from evaluation.demo.router import Member, Router, Routing, SubTask, read_plan
from evaluation.demo.toolbox import Toolbox
from evaluation.demo.travel import TravelAgent
from recipes.command import InputError

LOOP = Loop(4, 4, 2000)


def route(answers, *questions):
    found, history = [], []
    with DemoServer(answers) as server:
        asker = client(server)
        team = {
            "tools": Member(Agent(asker, "TOOLS", Toolbox([CALCULATOR], 100), "native", LOOP), "computes"),
            "travel": Member(TravelAgent(asker, TRIPS, "native", LOOP), "plans trips"),
        }
        router = Router(asker, team, Routing(max_attempts=2, max_tasks=3), LOOP)
        for question in questions:
            history.append({"role": "user", "content": question})
            found.append(joined(router.reply(history)))
    return found, server.bodies, history


def plan(*tasks):
    return json.dumps({"tasks": [{"agent": agent, "task": task} for agent, task in tasks]})


def test_a_request_is_split_done_in_order_and_put_together():
    answers = [
        says(
            f"```json\n{plan(('travel', 'Plan trip 1.'), ('tools', 'What is 1 + 1?'))}\n```",
            reasoning="two things",
        ),
        calls(("read_trip", '{"trip": 1}')),
        says(ROWS[0]["gold"]["answer"]),
        calls(SUM),
        says("It is 2."),
        says("Trip planned, and 2."),
        says(plan()),
        says("You are welcome."),
    ]
    (first, second), bodies, history = route(answers, "Plan trip 1 and add 1 and 1.", "Thanks!")
    assert [(event.kind, event.name, event.agent) for event in first] == [
        ("thinking", "", ""),
        ("task", "travel", ""),
        ("call", "read_trip", "travel"),
        ("result", "read_trip", "travel"),
        ("text", "", "travel"),
        ("verdict", "constraints", "travel"),
        ("verdict", "NaturalPlan", "travel"),
        ("task", "tools", ""),
        ("call", "calculator", "tools"),
        ("result", "calculator", "tools"),
        ("text", "", "tools"),
        ("text", "", ""),
    ]
    assert "- tools: computes\n- travel: plans trips" in bodies[0]["messages"][0]["content"]
    assert not any("tools" in body for body in (bodies[0], bodies[5]))
    second_task = bodies[3]["messages"]
    assert second_task[0]["content"] == "TOOLS" and second_task[1]["content"].startswith(
        "What is 1 + 1?\n\n# Known so far"
    )
    asked = bodies[5]["messages"][-1]["content"]
    assert asked.startswith("Plan trip 1 and add 1 and 1.\n\n# Results of the agents")
    assert (
        "Check of constraints: right: every constraint of the trip holds" in asked
        and "Result: It is 2." in asked
    )
    assert [event.kind for event in second] == ["text"]
    assert [message["content"] for message in history] == [
        "Plan trip 1 and add 1 and 1.", "Trip planned, and 2.", "Thanks!", "You are welcome.",
    ]  # fmt: skip


def test_a_plan_that_cannot_be_used_is_mended_or_given_up():
    answers = [says(plan(("cook", "Bake."))), says(plan(("tools", "Add."))), says("2"), says("It is 2.")]
    (events,), bodies, _ = route(answers, "1 + 1?")
    assert events[0].text == "the plan can't be used: no agent 'cook'; there are tools, travel"
    assert "no agent 'cook'" in bodies[1]["messages"][-1]["content"] and events[-1].text == "It is 2."
    (events,), bodies, _ = route([says("no"), says("never"), says("Hello!")], "Hi")
    assert events[1].text.endswith("answering without agents") and events[2] == Event("text", "Hello!")
    assert [m["content"] for m in bodies[2]["messages"][1:]] == ["Hi"]


def test_an_agent_without_an_answer_is_said_to_the_writer():
    answers = [says(plan(("tools", "Add."))), *[calls(SUM)] * 4, says("It failed.")]
    (events,), bodies, _ = route(answers, "1 + 1?")
    assert [e.text for e in events if e.kind == "notice"] == ["stopped after 4 turns (loop.max_turns)"]
    assert "Result: (no answer)" in bodies[-1]["messages"][-1]["content"]


def test_an_endpoint_that_fails_ends_the_question():
    with pytest.raises(RequestFailedError, match="HTTP 500"):
        route([says(plan(("tools", "Add."))), status(500)], "1 + 1?")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no JSON object"),
        ("{", "no JSON that can be read"),
        ("{" * 100_000, "no JSON that can be read"),
        ('{"a":' * 100_000, "no JSON that can be read"),
        ("{}", "tasks: Field required"),
        ('{"tasks": 3}', "tasks: "),
        ('{"tasks": [{"agent": "tools"}]}', "tasks.0.task: Field required"),
        (plan(("tools", " ")), "is empty"),
        (plan(*[("tools", "x")] * 4), "4 sub-tasks; at most 3"),
    ],
)
def test_plans_that_cannot_be_used(text, wrong):
    assert wrong in read_plan(text, ["tools"], 3)


@given(st.text(alphabet='{}[]":,taskgen \n', max_size=80))
def test_no_plan_raises(text):
    assert isinstance(read_plan(text, ["tools"], 3), str | list)


def test_the_first_object_counts():
    text = f"Here: {plan(('tools', 'x'))} and {{more}}"
    assert read_plan(text, ["tools"], 3) == [SubTask(agent="tools", task="x")]


def test_limits_below_one_are_refused():
    with pytest.raises(InputError, match=r"router\.max_tasks=0"):
        Routing(1, 0)
