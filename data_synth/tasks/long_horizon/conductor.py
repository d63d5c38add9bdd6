"""A dialogue, call by call: requests come out over turns, calls fail and are mended, until the task terminates.

What is asked next is a function of what was said and observed (``tool_augmented.machine``); here every message holds
one call, and a failure leaves the machine where it was.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_synth.filters.nulls import prune_nulls
from data_synth.llm.model import AnswerError, request_seed
from data_synth.operators.merge import descendants
from data_synth.operators.plan import Output
from data_synth.simulator.simulator import Answer
from data_synth.simulator.steering import UnsteerableError
from data_synth.tasks.decomposition.blueprint import Round, rounds_of
from data_synth.tasks.decomposition.roles import write_query
from data_synth.tasks.decomposition.views import step_views
from data_synth.tasks.long_horizon.construct import LongTask, Trouble, with_value
from data_synth.tasks.long_horizon.environment import Absent, Environment, Fault
from data_synth.tasks.long_horizon.roles import (
    Failure,
    Setup,
    write_correction,
    write_farewell,
    write_response,
)
from data_synth.tasks.long_horizon.trajectory import REPLY, Trajectory
from data_synth.tasks.tool_augmented.machine import Decision, Event, Machine
from data_synth.tasks.tool_augmented.roles import write_clarification, write_summary, write_thought
from data_synth.tasks.tool_augmented.situation import GoldCall, Result, Situation, Turn, situation
from data_synth.tasks.toolbox import Toolbox

MESSAGES = {
    "unavailable": "service temporarily unavailable, please try again",
    "conflict": "{value} is not available",
}
"""What an API answers, in the language of APIs."""


class StepLimit(Exception):  # noqa: N818 - an ending, not a fault
    """The dialogue would need more calls than its level allows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a dialogue ends."""

    max_calls: int
    max_retries: int
    tool_share: float


class Conductor:
    """Drives one dialogue."""

    def __init__(
        self,
        toolbox: Toolbox,
        task: LongTask,
        setup: Setup,
        environment: Environment,
        limits: Limits,
        language: str,
        stream: str,
    ) -> None:
        self.toolbox, self.task, self.setup, self.environment = toolbox, task, setup, environment
        self.limits, self.language, self.stream = limits, language, stream
        self.troubles = {trouble.step: trouble for trouble in task.troubles}
        plan = task.plan
        for trouble in task.troubles:
            if trouble.slot:
                plan = with_value(plan, trouble.slot, trouble.first)
            if trouble.kind == "not_found":
                environment.remove(Absent(trouble.entity, str(trouble.first)))
        self.machine, self.turn = Machine(plan), Turn()
        self.planned = rounds_of(plan, toolbox.tools)
        self.spoken: list[Round] = []
        self.replied: frozenset[str] = frozenset()
        self.told = Trajectory(num_requests=len(plan.turns))

    def run(self) -> Trajectory:
        """The whole dialogue.

        Raises:
            AnswerError: an answer of the model can't be used, or an API answered what the plan has no use for.
        """
        told = self.told
        told.messages.append({"role": "user", "content": self.setup.request})
        self._respond("opening")
        opening = Round("request", 0, (), frozenset(), {}, query=self.setup.request, reply=self._last_words())
        self.spoken.append(opening)
        try:
            for round_ in self.planned:
                if round_.kind == "answer":
                    continue  # spoken when the machine asks
                if self._dropped(round_):
                    continue
                if self._exhausted():
                    told.termination = "tools_used"
                    return told
                self._request(round_)
        except StepLimit:
            told.termination = "step_limit"
            return told
        farewell = write_farewell(self._asking("follow_up"), told.messages)
        told.messages.append({"role": "user", "content": farewell})
        self._respond("farewell")
        return told

    def _exhausted(self) -> bool:
        """Whether more of the candidate tools have been used than a task may use."""
        used = {call["name"] for call in self.told.calls}
        return len(used) > self.limits.tool_share * len(self.task.candidates)

    def _dropped(self, round_: Round) -> bool:
        """Whether the request builds on one that was given up: then the user doesn't bring it up any more."""
        steps = self.machine.plan.turns[round_.turn].steps
        if not steps & descendants(self.machine.plan, self.machine.skipped):
            return False
        self.machine = dataclasses.replace(self.machine, skipped=self.machine.skipped | steps)
        return True

    def _request(self, round_: Round) -> None:
        """One request of the user's, until it is met or given up."""
        self.turn = Turn()
        self._speak(round_)
        steps = self.machine.plan.turns[round_.turn].steps
        self.machine = self.machine.request(steps, round_.slots)
        while True:
            decision = self.machine.decide()
            if decision.steps:
                decision = dataclasses.replace(decision, steps=decision.steps[:1])
            facts = situation(
                self.machine, decision, self.toolbox.tools, self.spoken[-1].query, self.turn, self.replied
            )
            match decision.event:
                case Event.CLARIFICATION:
                    self._clarify(decision, facts, round_)
                case Event.TERMINATION:
                    self._summarise(decision, facts)
                    self.told.met += steps <= self.machine.answers.keys()
                    return
                case _:
                    if not self._call(decision, facts):
                        return

    def _call(self, decision: Decision, facts: Situation) -> bool:
        """One golden call, with what goes wrong before it is answered; False if it had to be given up."""
        call = facts.calls[0]
        thought = write_thought(self._asking("reasoning"), facts, self.told.messages)
        trouble = self.troubles.pop(call.step, None)
        answer = self._tried(call, thought, trouble)
        if answer.is_error and trouble is not None and trouble.slot:
            self._correct(call, trouble, str(answer.value["error"]))
            return True  # the machine decides anew, with the value that works
        for _ in range(self.limits.max_retries):
            if not answer.is_error:
                break
            failure = Failure(call.tool, str(answer.value["error"]))
            thought, _nothing = write_response(self._asking("respond"), "retry", self.told.messages, failure)
            answer = self._tried(call, thought, None)
        if answer.is_error:
            failure = Failure(call.tool, str(answer.value["error"]))
            self._respond("give_up", failure)
            lost = self.machine.skipped | self.machine.pending
            self.machine = dataclasses.replace(self.machine, pending=frozenset(), skipped=lost)
            self.machine = self.machine.apply(Decision(Event.TERMINATION))
            return False
        self.machine = self.machine.apply(decision).observe({call.step: answer.value})
        result = Result(call.tool, call.arguments, answer.value)
        self.turn = dataclasses.replace(
            self.turn, results=(*self.turn.results, result), latest=(result,), opening=False
        )
        return True

    def _tried(self, call: GoldCall, thought: str, trouble: Trouble | None) -> Answer:
        """One call as a message, and its answer as another."""
        if len(self.told.calls) == self.limits.max_calls:
            raise StepLimit
        arguments = prune_nulls(dict(call.arguments))
        if trouble is not None and trouble.kind in MESSAGES:
            message = MESSAGES[trouble.kind].format(value=trouble.first)
            self.environment.inject(Fault(call.tool.name, arguments, message, trouble.times))
        try:
            answer = self.environment.call(call.tool.name, arguments, need=self._needed(call.step))
        except UnsteerableError as error:
            raise AnswerError("unsteerable", str(error)) from None
        if answer.is_error and trouble is None and not self._faulty(call.tool.name, arguments):
            raise AnswerError("api_error", f"{call.tool.name}: {answer.value['error']}")
        record = {"name": call.tool.name, "arguments": arguments}
        self._act(thought, record, step=call.step, failed=answer.is_error)
        content = json.dumps(answer.value, ensure_ascii=False)
        self.told.messages.append({"role": "tool", "name": call.tool.name, "content": content})
        return answer

    def _faulty(self, name: str, arguments: Mapping[str, Any]) -> bool:
        return any(fault.tool == name and fault.arguments == arguments for fault in self.environment.faults)

    def _needed(self, number: int) -> list[tuple[str | int, ...]]:
        """Where the answer of a step must have something, because a later step takes it."""
        paths = {
            argument.path: None
            for step in self.machine.plan.steps
            for argument in step.arguments.values()
            if isinstance(argument, Output) and argument.step == number
        }
        return list(paths)

    def _correct(self, call: GoldCall, trouble: Trouble, error: str) -> None:
        """The agent asks for another value, the user gives the one of the plan."""
        step = self.machine.plan.step(trouble.step)
        parameter = next(
            name for name, a in step.arguments.items() if not isinstance(a, Output) and a.slot == trouble.slot
        )
        failure = Failure(call.tool, error, parameter, trouble.first)
        self._respond("ask_other", failure)
        value = self.task.plan.slots()[trouble.slot]
        text = write_correction(self._asking("follow_up"), self.told.messages, call.tool, parameter, value)
        self.told.messages.append({"role": "user", "content": text})
        plan = with_value(self.machine.plan, trouble.slot, value)
        self.machine = dataclasses.replace(self.machine, plan=plan)
        self.replied |= {trouble.slot}
        self.turn = dataclasses.replace(self.turn, latest=(), opening=True)

    def _clarify(self, decision: Decision, facts: Situation, round_: Round) -> None:
        """The agent asks for masked values, the user gives them."""
        self.machine = self.machine.apply(decision)
        self._say(facts, write_clarification(self._asking("clarify"), facts, self.told.messages))
        masked = self.machine.plan.masked()
        slots = {slot: masked[slot] for slot in decision.slots}
        spoken = next(r for r in self.planned if r.kind == "answer" and r.turn == round_.turn)
        self._speak(dataclasses.replace(spoken, slots=slots))
        self.turn = dataclasses.replace(self.turn, latest=(), opening=True)
        self.replied |= set(slots)
        self.machine = self.machine.request((), slots)

    def _summarise(self, decision: Decision, facts: Situation) -> None:
        self.machine = self.machine.apply(decision)
        self._say(facts, write_summary(self._asking("summary"), facts, self.told.messages))

    def _say(self, facts: Situation, content: str) -> None:
        thought = write_thought(self._asking("reasoning"), facts, self.told.messages)
        self._act(thought, {"name": REPLY, "arguments": {"content": content}})
        self.spoken[-1] = dataclasses.replace(self.spoken[-1], reply=content)

    def _respond(self, kind: Any, failure: Failure | None = None) -> None:
        """What the agent says where no plan foresees it."""
        thought, content = write_response(self._asking("respond"), kind, self.told.messages, failure)
        self._act(thought, {"name": REPLY, "arguments": {"content": content}})

    def _act(self, thought: str, call: dict[str, Any], step: int | None = None, failed: bool = False) -> None:
        text = f"<think>{thought}</think><tool_call>{json.dumps(call, ensure_ascii=False)}</tool_call>"
        self.told.messages.append({"role": "assistant", "content": text})
        self.told.turns.append({"call": call, "step": step, "failed": failed})

    def _last_words(self) -> str:
        return str(self.told.turns[-1]["call"]["arguments"]["content"])

    def _speak(self, round_: Round) -> None:
        """The user speaks as the plan has it."""
        shared = {
            "round": round_,
            "steps": step_views(self.machine.plan, round_, self.toolbox.tools),
            "history": tuple(self.spoken) if round_.turn else (),
        }
        query = write_query(self.toolbox.model, self.language, f"{self.stream}/{len(self.spoken)}", shared)
        self.spoken.append(dataclasses.replace(round_, query=query))
        self.told.messages.append({"role": "user", "content": query})

    def _asking(self, role: str) -> tuple[Any, str, int]:
        """Model, language and seed of the next request."""
        seed = request_seed(f"{self.stream}/{len(self.told.messages)}", role)
        return self.toolbox.model, self.language, seed
