"""Multi-constraint scheduling, Eq. 6: ``<think>…</think><answer>Schedule</answer>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, model_validator

from data_synth.tasks.scheduling.verify import ANSWER_OPENS, verify
from magic_megatron.rl.rewards.base import Parts, RewardSettings, register
from magic_megatron.rl.rewards.formats import answer_of, tagged


class _Wish(BaseModel):
    person: str
    kind: Literal["before", "after", "all_day"]
    day: str
    minute: int | None = None


class _Calendar(BaseModel):
    days: list[str]
    work_hours: tuple[int, int]
    slot_minutes: int
    meeting_minutes: int
    busy: dict[str, dict[str, list[tuple[int, int]]]]
    preferences: list[_Wish]
    earliest: bool


class _Start(BaseModel):
    place: str
    minute: int


class _Friend(BaseModel):
    name: str
    place: str
    opens: int
    closes: int
    minutes: int


class _Meeting(BaseModel):
    travel: dict[str, dict[str, int]]
    start: _Start
    friends: list[_Friend]
    num_met: int


class _Event(BaseModel):
    city: str
    first_day: int
    last_day: int


class _Trip(BaseModel):
    stays: dict[str, int]
    events: list[_Event]
    flights: list[tuple[str, str]]


_INSTANCES: dict[str, type[BaseModel]] = {"calendar": _Calendar, "meeting": _Meeting, "trip": _Trip}


class SchedulingTruth(BaseModel):
    """A puzzle with all that its constraints need."""

    subtask: Literal["calendar", "meeting", "trip"]
    instance: dict[str, Any]

    @model_validator(mode="after")
    def _fits_subtask(self) -> SchedulingTruth:
        _INSTANCES[self.subtask].model_validate(self.instance)
        return self


@register("scheduling", part="schedule", ground_truth=SchedulingTruth)
def reward(response: str, ground_truth: Mapping[str, Any], settings: RewardSettings) -> Parts:
    """``schedule`` is 1 iff the schedule satisfies every constraint of the puzzle; it is read from plain text too."""
    if settings.config.scheduling_format == "tagged":
        in_format, form = tagged(response, "answer") is not None, "<think>…</think><answer>…</answer>"
    else:
        in_format, form = bool(answer_of(response)) and ANSWER_OPENS not in response, "a plain plan"
    solved, reason = verify(dict(ground_truth), response)
    wrong = [] if in_format else [f"not {form}"]
    wrong += [] if solved else [reason]
    return Parts({"format": float(in_format), "schedule": float(solved)}, "; ".join(wrong) or "ok")
