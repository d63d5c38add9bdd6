"""One attempt at a long dialogue: a seed from a new task, or a diffusion of an earlier seed (section 3.5).

Rows come in groups: a seed row, then ``diffused_per_seed`` rows. A block of groups shares its seeds: each diffused row
is made from a random one of its own or an earlier group of the block, which it computes anew from the settings if this
process hasn't yet, or no longer has it. So rows can be made in any order and anywhere, and the threads of a process,
which work on neighbouring rows, make a seed once.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, request_seed
from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Plan
from data_synth.tasks.base import STRIDE, Attempt, in_turn, text_digest
from data_synth.tasks.decomposition.compose import give_values
from data_synth.tasks.long_horizon.construct import (
    LongTask,
    couplings,
    draw_masks,
    draw_requests,
    draw_troubles,
)
from data_synth.tasks.long_horizon.diffuse import diffuse_requests, extra_tools
from data_synth.tasks.long_horizon.postprocess import broken
from data_synth.tasks.long_horizon.row import build_row
from data_synth.tasks.long_horizon.seed_cache import SeedCache
from data_synth.tasks.long_horizon.seeds import Seed, grow_seed
from data_synth.tasks.long_horizon.settings import LongHorizonRun
from data_synth.tasks.procedural.decomposed import structure
from data_synth.tasks.toolbox import Toolbox
from recipes.command import InputError

GENERATOR = "long_horizon 1"
"""Name and version; the version rises whenever the same seed gives other bytes."""
SEEDS_PER_BLOCK = 4
ROWS_UNDER_WAY = 5
"""Per thread, at most: the engine hands out some rows ahead of the one that it waits for."""


class LongHorizonTask:
    """Makes rows of the difficulties in turn."""

    generator = GENERATOR

    def __init__(self, settings: LongHorizonRun) -> None:
        self.settings, self.options = settings, settings.long_horizon
        self.toolbox = Toolbox.open(settings)
        rows = SEEDS_PER_BLOCK * (self.options.diffused_per_seed + 1)
        threads = settings.llm.concurrency if settings.llm.waits else 1
        self._seeds = SeedCache(num_blocks=2 + ROWS_UNDER_WAY * threads // rows)

    def domain(self, index: int) -> str:
        """``long_horizon/<difficulty>``."""
        return f"long_horizon/{self._difficulty(index)}"

    def attempt(self, index: int, attempt: int) -> Attempt:
        """Row ``index``; random numbers come from (seed, task, index, attempt) alone."""
        group, place = divmod(index, self.options.diffused_per_seed + 1)
        stream = f"{self.settings.seed}/long_horizon/{index}/{attempt}"
        parent = None
        try:
            if place:
                parent = self._first(self._parent(group, stream))
                seed = self._diffused(parent, index, stream)
            else:
                seed = self._grow(group, attempt)
        except NotApplicable as refusal:
            return Attempt(text_digest(stream), "no_plan", {"detail": str(refusal)})
        except AnswerError as problem:
            return Attempt(text_digest(stream), problem.reason, {"detail": problem.detail})
        fingerprint = text_digest(_structure(seed.task))
        row = build_row(seed, self.toolbox, Random(f"{stream}/text"))
        row["id"] = (
            f"long_horizon-{seed.task.difficulty}-{self.settings.split}-{self.settings.seed}-{index:06d}"
        )
        row["meta"] = self._meta(seed, parent, fingerprint)
        wrong = broken(row, seed, parent) if parent else None
        return Attempt(fingerprint, wrong, row if wrong is None else {"messages": row["messages"]})

    def _grow(self, group: int, attempt: int) -> Seed:
        """A seed from a task of its own; kept while this process is at its block.

        Raises:
            AnswerError: this attempt came to nothing, which is kept too.
        """

        def make() -> Seed:
            try:
                return self._new(group, attempt)
            except NotApplicable as refusal:
                raise AnswerError("no_plan", str(refusal)) from None

        return self._seeds.get(group // SEEDS_PER_BLOCK, (group, attempt), make)

    def _new(self, group: int, attempt: int) -> Seed:
        index = group * (self.options.diffused_per_seed + 1)
        stream = f"{self.settings.seed}/long_horizon/{index}/{attempt}"
        language, difficulty = self.toolbox.language(index), self._difficulty(index)
        rng = Random(f"{stream}/plan")
        level = self.options.level(difficulty)
        plan = draw_requests(self.toolbox, self.options, level, group + attempt * STRIDE, rng)
        number = rng.randint(level.num_distractors.min, level.num_distractors.max)
        used = [step.tool for step in plan.steps]
        others = [tool.name for tool in self.toolbox.distractors(used, number, rng)]
        candidates = rng.sample([*used, *others], len(used) + len(others))
        return self._tried(plan, candidates, difficulty, language, stream)

    def _diffused(self, parent: Seed, index: int, stream: str) -> Seed:
        """The parent's requests with more candidate tools, partly other tools, other values."""
        rng, options = Random(f"{stream}/plan"), self.options
        number = rng.randint(options.extra_tools.min, options.extra_tools.max)
        candidates = [*parent.task.candidates, *extra_tools(parent.task, self.toolbox, number, rng)]
        shares = options.optional_share, options.replace_share
        plan = diffuse_requests(parent.task, candidates, self.toolbox, *shares, rng)
        candidates = rng.sample(candidates, len(candidates))
        return self._tried(plan, candidates, parent.task.difficulty, self.toolbox.language(index), stream)

    def _tried(self, plan: Plan, candidates: list[str], difficulty: str, language: str, stream: str) -> Seed:
        """The plan with values, and the first good one of several dialogues about it."""
        toolbox, options = self.toolbox, self.options
        seed = request_seed(stream, "arguments")
        plan = give_values(plan, toolbox.tools, toolbox.graphs, toolbox.model, seed, language)
        plan = draw_masks(plan, toolbox, options.mask_share, Random(f"{stream}/masks"))
        tasks = []
        for number in range(options.num_attempts):
            rng = Random(f"{stream}/troubles/{number}")
            troubles = draw_troubles(plan, toolbox, options, language, rng)
            tasks.append(LongTask(plan, tuple(candidates), troubles, difficulty))
        return grow_seed(toolbox, options, tasks, language, stream)

    def _parent(self, group: int, stream: str) -> int:
        """The group of a random seed of the same difficulty and block."""
        turns, first = len(self.options.difficulties), group - group % SEEDS_PER_BLOCK
        same = [earlier for earlier in range(first, group + 1) if earlier % turns == group % turns]
        return Random(f"{stream}/parent").choice(same)

    def _first(self, group: int) -> Seed:
        """The seed of a group: the first of its attempts that comes to something.

        Raises:
            InputError: none of ``max_attempts`` does, so that the group's own row can't be made either.
        """
        reasons: Counter[str] = Counter()
        for attempt in range(self.settings.max_attempts):
            try:
                return self._grow(group, attempt)
            except AnswerError as problem:
                reasons[problem.reason] += 1
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        index = group * (self.options.diffused_per_seed + 1)
        raise InputError(
            f"max_attempts={self.settings.max_attempts}: no {self.domain(index)} dialogue to make rows from"
            f" ({counts}); lower long_horizon.levels.{self._difficulty(index)}.*, give more tools with tools.path,"
            " or raise max_attempts"
        )

    def _meta(self, seed: Seed, parent: Seed | None, fingerprint: str) -> dict[str, Any]:
        told, task = seed.trajectory, seed.task
        return {
            "seed": self.settings.seed,
            "generator": GENERATOR,
            "operators": list(task.plan.operators),
            "certificate": {
                "termination": told.termination,
                "requests_met": told.met,
                "requests": told.num_requests,
            },
            "instance": fingerprint,
            "language": seed.language,
            "split": self.toolbox.split_of(task.candidates),
            "model": self.toolbox.model.name,
            "label": seed.label,
            "attempts": list(seed.outcomes),
            "parent": text_digest(_structure(parent.task)) if parent else None,
            "num_calls": len(told.calls),
            "num_turns": sum(message["role"] == "user" for message in told.messages),
            "num_failures": sum(turn["failed"] for turn in told.turns),
            "num_couplings": len(couplings(task.plan)),
            "tools": list(dict.fromkeys(call["name"] for call in told.calls)),
            "distractors": len(task.candidates) - len({call["name"] for call in told.calls}),
        }

    def _difficulty(self, index: int) -> str:
        """Groups take turns, so that a diffused row has seeds of its difficulty."""
        group = index // (self.options.diffused_per_seed + 1)
        return in_turn(self.options.difficulties, group)[0]


def _structure(task: LongTask) -> str:
    """The task without its values."""
    troubles = [dataclasses.astuple(dataclasses.replace(t, first=None)) for t in task.troubles]
    return repr((structure(task.plan), [sorted(turn.steps) for turn in task.plan.turns], troubles))
