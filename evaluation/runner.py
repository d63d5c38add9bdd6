"""Have a model do a benchmark's samples, many at once, keep every answer as it comes, and score what is done."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from evaluation import benchmarks
from evaluation.benchmarks import Benchmark
from evaluation.chat import Chats, Role, missing_role
from evaluation.client import ChatClient, Endpoint, RequestFailedError
from evaluation.journal import Journal
from evaluation.results import judge, write_gold, write_results
from evaluation.settings import EvalSettings
from recipes.command import hold_folder

NOT_ASKED = "not asked: the run was given up"

Task = tuple[str, int]
"""A sample and its trial, from 0."""


def evaluate(settings: EvalSettings) -> dict[str, Any]:
    """Do what isn't done yet, write ``predictions.jsonl`` and ``results.json``; the results.

    A sample with a request that failed after its retries is listed in ``errors`` and counts in no metric; the next
    call goes on with it.

    Raises:
        InputError: data that can't be used, a role without an endpoint, nothing to score with, or a folder with
            another run.
        WorkerError: an official checker's process crashes or hangs where no sample is to blame.
    """
    benchmark = benchmarks.load(settings.benchmark, settings.source)
    _check_roles(settings, benchmark)
    if check_scoring := getattr(benchmark, "check_scoring", None):
        check_scoring()
    output_dir = Path(settings.output_dir)
    with hold_folder("output_dir", output_dir):
        beside = benchmarks.keys_beside_answers(settings.benchmark)
        journal = Journal(output_dir, settings.identity(), settings.resume, settings.num_trials, beside)
        ids = benchmark.ids[: settings.limit]
        tasks = [(sample_id, trial) for sample_id in ids for trial in range(settings.num_trials)]
        errors = _play(settings, benchmark, journal, tasks)
        predictions = journal.finish(tasks)
        results = {
            **settings.chosen,
            **judge(benchmark, predictions),
            "errors": [_error(settings, task, errors[task]) for task in tasks if task in errors],
            "totals": _totals(settings, journal),
        }
        write_results(output_dir, results)
        write_gold(output_dir, benchmark, ids)
    return results


def failure(results: dict[str, Any], output_dir: str) -> str:
    """What to do about the errors of a run, in one line; "" where there is none."""
    errors = results["errors"]
    if not errors:
        return ""
    return (
        f"{len(errors)} of {len(errors) + results['num_samples']} samples failed ({errors[0]['error']}); see errors "
        f"in {Path(output_dir) / 'results.json'}, mend the endpoint or the settings, and run this command again"
    )


class Run:
    """One pass over the samples that aren't done yet.

    Attributes:
        errors: what went wrong, for each that ends without a prediction.
    """

    def __init__(
        self, benchmark: Benchmark, chats: Chats, concurrency: int, give_up_after: Mapping[Role, int]
    ) -> None:
        self._benchmark = benchmark
        self._chats = chats
        self._concurrency = concurrency
        self._give_up_after = give_up_after
        self._failures_in_a_row: Counter[Role] = Counter()
        self._num_answers_before: Counter[Role] = Counter()
        self._given_up = False
        self.errors: dict[Task, str] = {}

    async def play_all(self, tasks: Sequence[Task], num_done: int) -> None:
        """Do all ``tasks``, ``concurrency`` at a time; ``num_done`` were done before.

        The run is given up when a server refuses it, or when of one role ``give_up_after`` requests in a row failed
        after all their retries; the samples left over are errors too.

        Raises:
            InputError: what a benchmark or the journal refuses.
        """
        waiting = iter(tasks)
        mininterval = 0.1 if sys.stderr.isatty() else 5.0
        total = num_done + len(tasks)
        with tqdm(
            total=total, initial=num_done, unit="sample", desc="asking", mininterval=mininterval
        ) as bar:
            try:
                async with self._chats, asyncio.TaskGroup() as workers:
                    for _ in range(min(self._concurrency, len(tasks))):
                        workers.create_task(self._work(waiting, bar))
            except ExceptionGroup as group:
                raise group.exceptions[0] from None
        self.errors |= dict.fromkeys(waiting, NOT_ASKED)

    async def _work(self, waiting: Iterator[Task], bar: tqdm[None]) -> None:
        while not self._given_up and (task := next(waiting, None)) is not None:
            try:
                prediction = await self._benchmark.play(task[0], self._chats.of(*task))
            except RequestFailedError as error:
                self.errors[task] = str(error)
                self._note_failure(error)
                bar.set_postfix(failed=len(self.errors), refresh=False)
            else:
                self._chats.journal.keep_prediction(*task, prediction)
                bar.update()

    def _note_failure(self, error: RequestFailedError) -> None:
        self._given_up |= error.fault == "run"
        if error.role is None or error.fault != "server":
            return
        role, num_answers = error.role, self._chats.num_answers[error.role]
        if num_answers > self._num_answers_before[role]:
            self._failures_in_a_row[role] = 0
        self._num_answers_before[role] = num_answers
        self._failures_in_a_row[role] += 1
        self._given_up |= self._failures_in_a_row[role] >= self._give_up_after[role]


def _check_roles(settings: EvalSettings, benchmark: Benchmark) -> None:
    """Refuse a benchmark whose attribute ``roles``, if it has one, names a role without an endpoint."""
    served = {role for role, _ in settings.roles}
    needed: frozenset[Role] = getattr(benchmark, "roles", frozenset())
    for role in sorted(needed - served):
        raise missing_role(role, settings.benchmark)


def _play(
    settings: EvalSettings, benchmark: Benchmark, journal: Journal, tasks: Sequence[Task]
) -> dict[Task, str]:
    """Do the samples without a prediction; what failed."""
    left = [task for task in tasks if task not in journal.predictions]
    if not left:
        return {}
    clients = {role: ChatClient(endpoint, settings.generation) for role, endpoint in settings.roles}
    chats = Chats(clients, journal, settings.seed)
    give_up_after = {role: endpoint.give_up_after for role, endpoint in settings.roles}
    run = Run(benchmark, chats, settings.concurrency, give_up_after)
    asyncio.run(run.play_all(left, num_done=len(tasks) - len(left)))
    return run.errors


def _error(settings: EvalSettings, task: Task, message: str) -> dict[str, Any]:
    trial = {"trial": task[1]} if settings.num_trials > 1 else {}
    return {"id": task[0], **trial, "error": message}


def _totals(settings: EvalSettings, journal: Journal) -> dict[str, Any]:
    """What the run cost: of all roles together, and of each."""
    roles: dict[str, dict[str, Any]] = {}
    for role, endpoint in settings.roles:
        sums = journal.totals(role)
        cost = _cost(endpoint, sums)
        roles[role] = {**sums, "cost_usd": cost, "model": endpoint.model, "endpoint": endpoint.shown_url}
    counts = ("num_requests", "prompt_tokens", "completion_tokens", "num_truncated", "num_retries")
    asked = [role for role in roles.values() if role["num_requests"]]
    costs = [role["cost_usd"] for role in asked]
    return {
        **{count: sum(role[count] for role in asked) for count in counts},
        "cost_usd": None if None in costs else round(sum(costs), 6),
        "wall_s": journal.wall_s,
        "model": settings.endpoint.model,
        "endpoint": settings.endpoint.shown_url,
        "roles": roles,
    }


def _cost(endpoint: Endpoint, sums: dict[str, int]) -> float | None:
    """US dollars; None where a price isn't known."""
    price = endpoint.price
    if price.prompt is None or price.completion is None:
        return None
    cost = price.prompt * sums["prompt_tokens"] + price.completion * sums["completion_tokens"]
    return round(cost / 1e6, 6)
