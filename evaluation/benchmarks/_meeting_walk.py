"""NaturalPlan's meeting plans: walk through a plan step by step and count the people met.

The rules are those of evaluate_meeting_planning.py (google-deepmind/natural-plan ca76db3). A step that breaks
one ends the walk, and what was met until then counts. A step that makes the official script itself raise
(an unknown place or person, a step without its object) makes the whole answer worth nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from evaluation.benchmarks import Verdict
from evaluation.jsonl import quote

Minutes = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


class MeetingGold(BaseModel):
    """A meeting plan's fields, as far as it is judged by them.

    ``constraints``: first (place, "H:MMAM") of the start, then (name, place, "H:MMAM to H:MMPM", minutes) of
    each person. ``dist_matrix``: minutes from place to place. ``golden_plan``: the steps of a best plan.
    """

    golden_plan: list[str] | str
    constraints: list[tuple[str, str] | tuple[str, str, str, Minutes]]
    dist_matrix: dict[str, dict[str, Minutes]]

    @property
    def start(self) -> tuple[str, datetime]:
        """Where and when the day begins."""
        return self.constraints[0][0], _clock(self.constraints[0][1])

    @property
    def people(self) -> dict[str, _Person]:
        """Who can be met, by name."""
        return {row[0]: _person(*row) for row in self.constraints[1:] if len(row) == 4}

    @model_validator(mode="after")
    def _is_complete(self) -> MeetingGold:
        shapes = [len(row) for row in self.constraints]
        if shapes[:1] != [2] or 2 in shapes[1:]:
            raise ValueError("constraints must be one [place, time], then [name, place, times, minutes] each")
        _ = self.start, self.people
        return self


@dataclass(frozen=True)
class _Person:
    place: str
    opens: datetime
    closes: datetime
    stay: timedelta


@dataclass(frozen=True)
class _Outcome:
    """People met, and why the walk ended early; ``crashed`` where the official script would."""

    num_met: int
    stopped: str = ""
    crashed: bool = False


def score_meeting(gold: MeetingGold, answer: str) -> Verdict:
    """1 iff the walk that the answer describes meets as many people as the gold plan's."""
    steps = gold.golden_plan if isinstance(gold.golden_plan, list) else parse_steps(gold.golden_plan)
    best, walk = _follow(gold, steps), _follow(gold, parse_steps(answer))
    if best.crashed or walk.crashed:
        whose = "the gold plan" if best.crashed else "the answer"
        return Verdict(0, f"{whose} {(best if best.crashed else walk).stopped}")
    ending = f"; it {walk.stopped}" if walk.stopped else ""
    return Verdict(
        int(walk.num_met == best.num_met), f"meets {walk.num_met}, the gold {best.num_met}{ending}"
    )


def parse_steps(plan: str) -> list[str]:
    """The sentences after the first "SOLUTION:", or all where there is none."""
    before, marker, after = plan.partition("SOLUTION:")
    steps = (step.strip() for step in (after if marker else before).split("."))
    return [step for step in steps if step]


def _follow(gold: MeetingGold, steps: Sequence[str]) -> _Outcome:
    walk = _Walk(gold)
    for number, step in enumerate(steps, 1):
        try:
            problem = walk.take(step)
        except ValueError:
            problem = "no time of day"
        except KeyError as error:
            return _crash(number, step, f"unknown place or person {quote(str(error.args[0]))}")
        except IndexError:
            return _crash(number, step, "no place, time or person")
        except OverflowError:
            return _crash(number, step, "beyond the last year")
        if problem:
            return _Outcome(walk.num_met, f"stops at step {number} {quote(step)}: {problem}")
    return _Outcome(walk.num_met)


def _crash(number: int, step: str, problem: str) -> _Outcome:
    return _Outcome(0, f"can't be walked at step {number} {quote(step)}: {problem}", crashed=True)


class _Walk:
    """Where and when one is, and whom one has met."""

    def __init__(self, gold: MeetingGold) -> None:
        self._here, self._now = gold.start
        self._people = gold.people
        self._minutes = gold.dist_matrix
        self._met: set[str] = set()
        self.num_met = 0

    def take(self, step: str) -> str:
        """Do one step; the rule it breaks, or "".

        Raises:
            ValueError: a time that can't be read, which ends the walk as a broken rule does.
            KeyError, IndexError, OverflowError: as the official script raises them.
        """
        if step.startswith("You start"):
            return ""
        if step.startswith("You travel"):
            return self._travel(step.split("travel to ")[1].split(" in")[0].strip())
        if step.startswith("You wait"):
            return self._wait(_clock(step.split("wait until ")[1].split(".")[0].strip()))
        if step.startswith("You meet"):
            return self._meet(step.split("meet ")[1].split(" for")[0].strip())
        return "no known kind of step"

    def _travel(self, place: str) -> str:
        self._now += timedelta(minutes=self._minutes[self._here][place])
        self._here = place
        return ""

    def _wait(self, until: datetime) -> str:
        if until <= self._now:
            return f"it is {self._now:%H:%M} already"
        self._now = until
        return ""

    def _meet(self, name: str) -> str:
        if name in self._met:
            return "met before"
        self._met.add(name)
        person = self._people[name]
        ends = self._now + person.stay
        if self._here != person.place:
            return f"{quote(name)} is at {quote(person.place)}, the walk at {quote(self._here)}"
        if self._now < person.opens or ends > person.closes:
            return f"{self._now:%H:%M} to {ends:%H:%M} isn't when {quote(name)} is there"
        self._now = ends
        self.num_met += 1
        return ""


def _person(_: str, place: str, times: str, minutes: float) -> _Person:
    parts = times.split("to")
    if len(parts) < 2:
        raise ValueError(f"{quote(times)} must read H:MMAM to H:MMPM")
    return _Person(place, _clock(parts[0].strip()), _clock(parts[1].strip()), timedelta(minutes=minutes))


def _clock(text: str) -> datetime:
    return datetime.strptime(text, "%I:%M%p")
