"""The dialogue as a state machine (section 3.2): four transitions between the phases of a turn.

    WAITING  --request-->        DECIDING     the user brings up steps or values
    DECIDING --standard-->       OBSERVING    call every step that can run, as the static plan has it
    DECIDING --branch-->         OBSERVING    call steps that an observation has let run
    DECIDING --clarification-->  WAITING      ask for what the calls lack
    DECIDING --termination-->    WAITING      sum up: nothing is left to do
    OBSERVING --observation-->   DECIDING     the answers are in
    WAITING  --leave-->          ENDED        the user has nothing more

A machine is immutable: each event gives the next one. It knows nothing of models, words or simulators.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from data_synth.operators.plan import Condition, Given, Masked, Output, Plan, Step
from data_synth.simulator.steering import found


class Phase(StrEnum):
    """Who acts next: the user, the agent, the APIs, nobody."""

    WAITING = "waiting"
    DECIDING = "deciding"
    OBSERVING = "observing"
    ENDED = "ended"


class Event(StrEnum):
    """What moves the dialogue on. The middle four are the paper's transitions."""

    REQUEST = "request"
    STANDARD = "standard"
    BRANCH = "branch"
    CLARIFICATION = "clarification"
    TERMINATION = "termination"
    OBSERVATION = "observation"
    LEAVE = "leave"


TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = {
    (Phase.WAITING, Event.REQUEST): Phase.DECIDING,
    (Phase.DECIDING, Event.STANDARD): Phase.OBSERVING,
    (Phase.DECIDING, Event.BRANCH): Phase.OBSERVING,
    (Phase.DECIDING, Event.CLARIFICATION): Phase.WAITING,
    (Phase.DECIDING, Event.TERMINATION): Phase.WAITING,
    (Phase.OBSERVING, Event.OBSERVATION): Phase.DECIDING,
    (Phase.WAITING, Event.LEAVE): Phase.ENDED,
}


class TransitionError(RuntimeError):
    """The event can't happen in this phase."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the agent does next.

    Attributes:
        event: one of the paper's four transitions.
        steps: ids of the steps to call, in order.
        slots: masked values to ask for.
        verdicts: conditions that the last observation has decided, with what they came to.
        skipped: steps that those conditions have ruled out.
    """

    event: Event
    steps: tuple[int, ...] = ()
    slots: tuple[str, ...] = ()
    verdicts: tuple[tuple[Condition, bool], ...] = ()
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Machine:
    """A state.

    Attributes:
        phase: who acts next.
        pending: steps that were brought up and neither run nor ruled out.
        calling: steps whose answers are awaited.
        answers: step to its latest answer.
        skipped: steps that a condition has ruled out.
        said: slots whose values the user has given.
        told: conditions whose verdicts a decision has reported.
    """

    plan: Plan
    phase: Phase = Phase.WAITING
    pending: frozenset[int] = frozenset()
    calling: tuple[int, ...] = ()
    answers: Mapping[int, Any] = field(default_factory=dict)
    skipped: frozenset[int] = frozenset()
    said: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()

    def request(self, steps: Iterable[int], slots: Iterable[str]) -> Machine:
        """The user brings up steps, again or for the first time, and says values."""
        again = frozenset(steps) - self.skipped
        return self._after(Event.REQUEST, pending=self.pending | again, said=self.said | frozenset(slots))

    def decide(self) -> Decision:
        """What the agent does in this state: a function of what was said and observed alone.

        Raises:
            TransitionError: it isn't the agent's turn.
        """
        self._allow(Event.STANDARD)
        verdicts, skipped = self._verdicts(), self._ruled_out()
        left = sorted(self.pending - skipped)
        ready = [number for number in left if self._ready(self.plan.step(number))]
        new = tuple(sorted(skipped - self.skipped))
        if ready:
            branch = any(self.plan.step(number).when for number in ready)
            event = Event.BRANCH if branch else Event.STANDARD
            return Decision(event, tuple(ready), (), verdicts, new)
        if slots := self._lacking(left):
            return Decision(Event.CLARIFICATION, (), slots, verdicts, new)
        assert not left, "a plan's steps depend on earlier ones only: something can be called"
        return Decision(Event.TERMINATION, (), (), verdicts, new)

    def apply(self, decision: Decision) -> Machine:
        """The state after the agent has done what ``decide`` said."""
        skipped = self._ruled_out()
        told = self.told | {repr(condition) for condition, _ in decision.verdicts}
        pending = self.pending - skipped - set(decision.steps)
        return self._after(
            decision.event, pending=pending, calling=decision.steps, skipped=skipped, told=frozenset(told)
        )

    def observe(self, answers: Mapping[int, Any]) -> Machine:
        """The answers of the steps that were called.

        Raises:
            TransitionError: answers of other steps, or none are awaited.
        """
        if set(answers) != set(self.calling):
            raise TransitionError(f"answers of {sorted(answers)} instead of {sorted(self.calling)}")
        return self._after(Event.OBSERVATION, answers={**self.answers, **answers}, calling=())

    def leave(self) -> Machine:
        """The user has nothing more."""
        return self._after(Event.LEAVE)

    def arguments(self, number: int) -> dict[str, Any]:
        """The values of a step's arguments, as far as they are known; nulls are left out.

        Raises:
            KeyError: a step that it depends on wasn't called.
        """
        values: dict[str, Any] = {}
        for name, argument in self.plan.step(number).arguments.items():
            match argument:
                case Given(value, slot) | Masked(value, slot):
                    values[name] = value if slot in self.said else None
                case Output(source, path):
                    values[name] = found(self.answers[source], path)
        return {name: value for name, value in values.items() if value is not None}

    def _after(self, event: Event, **changes: Any) -> Machine:
        self._allow(event)
        return dataclasses.replace(self, phase=TRANSITIONS[self.phase, event], **changes)

    def _allow(self, event: Event) -> None:
        if (self.phase, event) not in TRANSITIONS:
            raise TransitionError(f"no {event} while {self.phase}")

    def _verdict(self, condition: Condition) -> bool | None:
        """None while its step has no answer."""
        if condition.step not in self.answers:
            return None
        return condition.holds(found(self.answers[condition.step], condition.path))

    def _verdicts(self) -> tuple[tuple[Condition, bool], ...]:
        """Conditions of pending steps that are decided by now and weren't reported before."""
        decided: dict[str, tuple[Condition, bool]] = {}
        for number in sorted(self.pending):
            for condition in self.plan.step(number).when:
                verdict = self._verdict(condition)
                if verdict is not None and repr(condition) not in self.told:
                    decided.setdefault(repr(condition), (condition, verdict))
        return tuple(decided.values())

    def _ruled_out(self) -> frozenset[int]:
        """Steps with a condition that doesn't hold, and those that need the answer of such a step."""
        skipped = set(self.skipped)
        for number in sorted(self.pending):
            step = self.plan.step(number)
            failed = any(self._verdict(condition) is False for condition in step.when)
            if failed or any(source in skipped for source, _ in step.sources()):
                skipped.add(number)
        return frozenset(skipped)

    def _ready(self, step: Step) -> bool:
        """Every value known, every condition met, nothing that it needs still to be called."""
        if self._lacking([step.id]) or any(self._verdict(condition) is not True for condition in step.when):
            return False
        return all(source in self.answers and source not in self.pending for source, _ in step.sources())

    def _lacking(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Masked slots of the steps that the user hasn't given, in the order of use."""
        slots: dict[str, None] = {}
        for number in numbers:
            for argument in self.plan.step(number).arguments.values():
                if isinstance(argument, Masked) and argument.slot not in self.said:
                    slots.setdefault(argument.slot)
        return tuple(slots)
