"""Trajectory seeds: several dialogues per task, labelled by rule, and which of them are good enough (section 3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.llm.model import AnswerError, request_seed
from data_synth.operators.merge import NotApplicable
from data_synth.tasks.long_horizon.conductor import Conductor, Limits
from data_synth.tasks.long_horizon.construct import LongTask
from data_synth.tasks.long_horizon.environment import Environment
from data_synth.tasks.long_horizon.roles import Setup, write_setup
from data_synth.tasks.long_horizon.settings import Level, LongHorizonSettings
from data_synth.tasks.long_horizon.trajectory import REPLY, Trajectory
from data_synth.tasks.toolbox import Toolbox

Label = Literal["successful", "unsuccessful"]


@dataclass(frozen=True, slots=True)
class Seed:
    """A dialogue with what it was made of.

    Attributes:
        outcomes: of all dialogues that were tried for the task, in order: a label, or why there was none.
    """

    task: LongTask
    setup: Setup
    trajectory: Trajectory
    environment: Environment
    language: str
    outcomes: tuple[str, ...]

    @property
    def label(self) -> Label:
        """By rule: all requests were met within the step limit, or not."""
        return label(self.trajectory)


def label(trajectory: Trajectory) -> Label:
    """``successful`` if all requests were met; ``unsuccessful`` at the step limit or with tools used up before."""
    return "successful" if trajectory.successful else "unsuccessful"


def grow_seed(
    toolbox: Toolbox, settings: LongHorizonSettings, tasks: Sequence[LongTask], language: str, stream: str
) -> Seed:
    """The first good dialogue of ``tasks``, which are one task with the troubles of each attempt.

    Raises:
        AnswerError: none was; the reason is the last one's.
    """
    outcomes: list[str] = []
    for number, task in enumerate(tasks):
        level = settings.level(task.difficulty)
        limits = Limits(level.max_calls, settings.max_retries, settings.tool_share)
        names = f"{stream}/{number}"
        environment = Environment({name: toolbox.tools[name] for name in task.candidates}, names, language)
        try:
            asking = toolbox.model, language, request_seed(names, "task_setup")
            setup = write_setup(asking, task, toolbox.tools, settings.tool_share)
            trajectory = Conductor(toolbox, task, setup, environment, limits, language, names).run()
        except (AnswerError, NotApplicable) as problem:
            outcomes.append(problem.reason)
            continue
        reason = fault(trajectory, level, settings.keep_unsuccessful)
        outcomes.append(reason or label(trajectory))
        if reason is None:
            return Seed(task, setup, trajectory, environment, language, tuple(outcomes))
    raise AnswerError(outcomes[-1], ", ".join(outcomes))


def fault(trajectory: Trajectory, level: Level, keep_unsuccessful: bool) -> str | None:
    """Why a dialogue isn't good enough for a seed; None if it is."""
    if not trajectory.successful and not keep_unsuccessful:
        return "unsuccessful"
    if trajectory.successful and len(trajectory.calls) < level.min_calls:
        return "too_few_calls"
    if trajectory.successful and len({call["name"] for call in trajectory.calls}) < level.min_tools:
        return "too_few_tools"
    return None if well_formed(trajectory.messages, trajectory.turns) else "wrong_format"


def well_formed(messages: Sequence[Mapping[str, str]], turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the rounds are user, then thought and call with its answer, again and again, then words to the user."""
    expected, calls = "user", iter(turns)
    for message in messages:
        if message["role"] != expected:
            return False
        if expected == "assistant":
            expected = "user" if next(calls)["call"]["name"] == REPLY else "tool"
        else:
            expected = "assistant"
    return expected == "user" or turns[-1]["failed"]
