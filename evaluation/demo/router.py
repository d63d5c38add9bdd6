"""The intent router: split a request into sub-tasks, have agents do them in order, put their answers together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, ValidationError

from evaluation.benchmarks import Message
from evaluation.demo.agent import Agent, Loop
from evaluation.demo.events import Answering, Event, Events
from evaluation.demo.stream import StreamClient
from evaluation.demo.toolbox import Toolbox
from recipes.command import InputError

PLAN = """You are the router of a team of agents. Split the user's request into sub-tasks, each for one agent, in the \
order in which they are to be done.

Agents:
{agents}

Answer with nothing but JSON of this form:
{{"tasks": [{{"agent": "NAME", "task": "what it is to do"}}]}}

An agent sees only its own sub-task and the results of those before it, not this chat: write the sub-task out in full. \
Use as few sub-tasks as possible, at most {most}. If no agent is needed, give an empty list."""

ANSWER = """You answer the user's request. If a team of agents has worked on it, their results follow the request: \
use them, put them together into one answer, say so if one of them failed or was found wrong, and add no facts of your \
own."""


@dataclass(frozen=True)
class Routing:
    """``router`` of ``recipes/demo.yaml``."""

    max_attempts: int
    max_tasks: int

    def __post_init__(self) -> None:
        for key in ("max_attempts", "max_tasks"):
            if getattr(self, key) < 1:
                raise InputError(f"router.{key}={getattr(self, key)}: too small; give 1 or more")


class SubTask(BaseModel):
    """One piece of the plan."""

    agent: str
    task: str


class Plan(BaseModel):
    """What the router's model answers."""

    tasks: list[SubTask]


@dataclass(frozen=True)
class Member:
    """An agent of the team, and what the router is told of it."""

    agent: Answering
    purpose: str


@dataclass(frozen=True)
class _Result:
    """What a member made of its sub-task, with the verdicts on it."""

    sub_task: SubTask
    text: str

    @property
    def shown(self) -> str:
        """For the agents and the answer that come after."""
        return f"Sub-task of the agent {self.sub_task.agent}: {self.sub_task.task}\nResult: {self.text}"


class Router:
    """Keeps the user's chat; every sub-task is a chat of its own."""

    def __init__(
        self, client: StreamClient, team: Mapping[str, Member], routing: Routing, loop: Loop
    ) -> None:
        self._team = team
        self._routing = routing
        agents = "\n".join(f"- {name}: {member.purpose}" for name, member in team.items())
        nothing = Toolbox([], loop.max_result_characters)
        system = PLAN.format(agents=agents, most=routing.max_tasks)
        self._planner = Agent(client, system, nothing, "native", loop)
        self._writer = Agent(client, ANSWER, nothing, "native", loop)

    def reply(self, history: list[Message]) -> Events[str]:
        """See ``Answering.reply``. A plan that stays unreadable is said, and the request answered without agents."""
        plan = yield from self._plan(history)
        results: list[_Result] = []
        for sub_task in plan:
            yield Event("task", sub_task.task, sub_task.agent)
            results.append((yield from self._do(sub_task, results)))
        asked = list(history)
        if results:
            team = "\n\n".join(result.shown for result in results)
            request = history[-1]["content"]
            asked[-1] = {"role": "user", "content": f"{request}\n\n# Results of the agents\n\n{team}"}
        answer = yield from self._writer.reply(asked)
        history.append(asked[-1])
        return answer

    def _plan(self, history: list[Message]) -> Events[list[SubTask]]:
        """The sub-tasks; what is wrong with a plan is said to the model, ``max_attempts`` times in all."""
        asked = list(history)
        for attempt in range(1, self._routing.max_attempts + 1):
            text = yield from _without_text(self._planner.reply(asked))
            plan = read_plan(text, list(self._team), self._routing.max_tasks)
            if not isinstance(plan, str):
                return plan
            last = attempt == self._routing.max_attempts
            yield Event(
                "notice", f"the plan can't be used: {plan}" + "; answering without agents" * last, ok=False
            )
            asked.append(
                {"role": "user", "content": f"That plan can't be used: {plan}. Answer with JSON only."}
            )
        return []

    def _do(self, sub_task: SubTask, before: list[_Result]) -> Events[_Result]:
        known = "\n\n".join(result.shown for result in before)
        task = f"{sub_task.task}\n\n# Known so far\n\n{known}" if known else sub_task.task
        events = self._team[sub_task.agent].agent.reply([{"role": "user", "content": task}])
        verdicts: list[str] = []
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                text = stop.value or "(no answer)"
                return _Result(sub_task, "\n".join([text, *verdicts]))
            if event.kind == "verdict":
                verdicts.append(f"Check of {event.name}: {'right' if event.ok else 'wrong'}: {event.text}")
            yield replace(event, agent=sub_task.agent)


def _without_text(events: Events[str]) -> Events[str]:
    """The plan is shown as sub-tasks, not as its JSON."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            text: str = stop.value
            return text
        if event.kind != "text":
            yield event


def read_plan(text: str, agents: list[str], most: int) -> list[SubTask] | str:
    """The sub-tasks of the first JSON object in ``text``, or what is wrong, for the model."""
    start = text.find("{")
    if start < 0:
        return "no JSON object in it"
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
        plan = Plan.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except (ValueError, RecursionError):
        return "no JSON that can be read"
    if len(plan.tasks) > most:
        return f"{len(plan.tasks)} sub-tasks; at most {most}"
    for sub_task in plan.tasks:
        if sub_task.agent not in agents:
            return f"no agent {sub_task.agent[:80]!r}; there are {', '.join(agents)}"
        if not sub_task.task.strip():
            return f"a sub-task of {sub_task.agent} is empty"
    return plan.tasks
