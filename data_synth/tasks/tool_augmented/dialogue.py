"""The dialogue of a row, move by move: user, thought, action, observation, until all requests are met."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data_synth.filters.nulls import prune_nulls
from data_synth.llm.model import AnswerError, request_seed
from data_synth.operators.plan import Plan
from data_synth.simulator.effects import effect_of
from data_synth.simulator.simulator import Simulator
from data_synth.simulator.steering import UnsteerableError
from data_synth.tasks.decomposition.blueprint import Round, rounds_of
from data_synth.tasks.decomposition.roles import write_query
from data_synth.tasks.decomposition.views import step_views
from data_synth.tasks.tool_augmented.machine import Decision, Event, Machine
from data_synth.tasks.tool_augmented.roles import write_clarification, write_summary, write_thought
from data_synth.tasks.tool_augmented.situation import Result, Situation, Turn, situation
from data_synth.tasks.tool_augmented.steer import Course
from data_synth.tasks.toolbox import Toolbox

REPLY = "reply"
"""The special tool that speaks to the user."""
READING = frozenset({"get", "list", "search", "compute"})
"""Actions that may be repeated with more arguments."""


@dataclass(frozen=True, slots=True)
class Move:
    """One message of the agent.

    Attributes:
        calls: as the action lists them.
        observations: the answers, in the order of the calls; none to ``reply``.
    """

    situation: Situation
    thought: str
    calls: tuple[dict[str, Any], ...]
    observations: tuple[Mapping[str, Any], ...]

    @property
    def action(self) -> str:
        """The assistant's message in Table 1's format."""
        return f"<think>{self.thought}</think><action>ToolList:{compact(list(self.calls))}</action>"


@dataclass
class Dialogue:
    """What was said and done so far."""

    messages: list[dict[str, str]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    def user(self, text: str) -> None:
        """The user speaks."""
        self.queries.append(text)
        self.messages.append({"role": "user", "content": text})

    def agent(self, move: Move) -> None:
        """The agent acts, the APIs answer."""
        self.moves.append(move)
        self.messages.append({"role": "assistant", "content": move.action})
        for call, answer in zip(move.calls, move.observations, strict=False):
            text = f"<observation>{compact(answer)}</observation>"
            self.messages.append({"role": "tool", "name": call["name"], "content": text})


def compact(value: Any) -> str:
    """JSON on one line, as the format has it."""
    return json.dumps(value, ensure_ascii=False)


class Director:
    """Drives the state machine of one plan with a user, a reasoning agent and a simulator."""

    def __init__(
        self, toolbox: Toolbox, plan: Plan, course: Course, simulator: Simulator, language: str, stream: str
    ) -> None:
        self.toolbox, self.plan, self.course, self.simulator = toolbox, plan, course, simulator
        self.language, self.stream = language, stream
        self.machine, self.dialogue, self.turn = Machine(plan), Dialogue(), Turn()
        self.planned = rounds_of(plan, toolbox.tools)
        self.spoken: list[Round] = []
        self.replied: frozenset[str] = frozenset()

    def run(self) -> Dialogue:
        """The whole dialogue.

        Raises:
            AnswerError: an answer of the model can't be used, or a call of the plan failed.
        """
        for round_ in self.planned:
            if round_.kind == "answer":
                continue  # spoken when the machine asks
            wanted = {step.id for step in round_.steps}
            if round_.kind == "request":
                wanted |= self.plan.turns[round_.turn].steps
            self.turn, self.replied = Turn(later=bool(self.spoken)), frozenset()
            self._refuse_repetition(wanted)
            self._speak(round_)
            self.machine = self.machine.request(wanted, round_.slots)
            while self._move(round_) is not Event.TERMINATION:
                pass
        self.machine = self.machine.leave()
        return self.dialogue

    def _refuse_repetition(self, wanted: set[int]) -> None:
        """Raise AnswerError where the user's new values would have something done twice that changes the world."""
        for number in sorted(wanted & self.machine.answers.keys()):
            name = self.plan.step(number).tool
            if effect_of(self.toolbox.tools[name]).action not in READING:
                raise AnswerError("repeated_effect", name)

    def _move(self, round_: Round) -> Event:
        """One decision of the agent and what comes of it."""
        decision = self.machine.decide()
        request = self.dialogue.queries[-1]
        facts = situation(self.machine, decision, self.toolbox.tools, request, self.turn, self.replied)
        self.machine = self.machine.apply(decision)
        self.turn = dataclasses.replace(
            self.turn,
            verdicts=self.turn.verdicts + facts.verdicts,
            skipped=self.turn.skipped + facts.skipped,
            opening=False,
        )
        history = self.dialogue.messages
        match decision.event:
            case Event.STANDARD | Event.BRANCH:
                self._act(facts)
            case Event.CLARIFICATION:
                self._say(facts, write_clarification(self._asking("clarify"), facts, history))
                self._answer(decision, round_)
            case _:
                whole = dataclasses.replace(facts, verdicts=self.turn.verdicts, skipped=self.turn.skipped)
                self._say(facts, write_summary(self._asking("summary"), whole, history))
        return decision.event

    def _act(self, facts: Situation) -> None:
        """The golden calls, all in one message."""
        thought = write_thought(self._asking("reasoning"), facts, self.dialogue.messages)
        answers = {
            call.step: self._observe(call.step, call.tool.name, call.arguments) for call in facts.calls
        }
        results = tuple(Result(call.tool, call.arguments, answers[call.step]) for call in facts.calls)
        self.turn = dataclasses.replace(self.turn, results=self.turn.results + results, latest=results)
        records = tuple(
            {"name": c.tool.name, "arguments": prune_nulls(dict(c.arguments))} for c in facts.calls
        )
        self.dialogue.agent(Move(facts, thought, records, tuple(answers.values())))
        self.machine = self.machine.observe(answers)

    def _observe(self, number: int, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            answer = self.simulator.call(
                name, arguments, self.course.expect(number), self.course.need(number)
            )
        except UnsteerableError as error:
            raise AnswerError("unsteerable", str(error)) from None
        if answer.is_error:
            raise AnswerError("api_error", f"{name}: {answer.value['error']}")
        return answer.value

    def _answer(self, decision: Decision, round_: Round) -> None:
        """The user gives the values that the agent asked for."""
        masked = self.plan.masked()
        slots = {slot: masked[slot] for slot in decision.slots}
        spoken = next(r for r in self.planned if r.kind == "answer" and r.turn == round_.turn)
        self.turn = dataclasses.replace(self.turn, latest=(), opening=True)
        self._speak(dataclasses.replace(spoken, slots=slots))
        self.replied |= set(slots)
        self.machine = self.machine.request((), slots)

    def _say(self, facts: Situation, content: str) -> None:
        """The agent speaks to the user."""
        thought = write_thought(self._asking("reasoning"), facts, self.dialogue.messages)
        call = {"name": REPLY, "arguments": {"content": content}}
        self.dialogue.agent(Move(facts, thought, (call,), ()))
        self.spoken[-1] = dataclasses.replace(self.spoken[-1], reply=content)

    def _speak(self, round_: Round) -> None:
        """The user speaks."""
        shared = {
            "round": round_,
            "steps": step_views(self.plan, round_, self.toolbox.tools),
            "history": tuple(self.spoken),
        }
        number = len(self.spoken)
        query = write_query(self.toolbox.model, self.language, f"{self.stream}/{number}", shared)
        self.spoken.append(dataclasses.replace(round_, query=query))
        self.dialogue.user(query)

    def _asking(self, role: str) -> tuple[Any, str, int]:
        """Model, language and seed of the next request."""
        seed = request_seed(f"{self.stream}/{len(self.dialogue.messages)}", role)
        return self.toolbox.model, self.language, seed
