"""One file a benchmark: ``evaluation/benchmarks/<name>.py`` with a function ``load(source)``.

A file is a benchmark's whole registration; a recipe of the same name in ``recipes/benchmark/`` makes it a
choice on the command line. Files that begin with ``_`` are shared parts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, Protocol

from recipes.command import InputError

Message = dict[str, Any]
type Score = float | Mapping[str, float]
"""0 to 1, or several figures by name, such as WorfBench's ``chain_f1`` and ``graph_f1``."""


@dataclass(frozen=True)
class Source:
    """Which part of a benchmark, and where its data lies. What a benchmark doesn't need is None.

    Attributes:
        options: the benchmark's own keys (``options`` in its recipe), as they stand there.
    """

    subtask: str | None
    data: str | None
    language: str | None = None
    mode: str | None = None
    embedding: str | None = None
    num_shots: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolCall:
    """A native function call of an answer. ``arguments`` is the text that the model wrote, unparsed."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered: the text after any reasoning, and native tool calls if tools were given."""

    text: str
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None


class Chat(Protocol):
    """The endpoints, seen from one sample of one trial.

    Every answer is kept as it comes: when a killed run is started again, ``ask`` gives the answers of before in
    their order, so ``Benchmark.play`` must do the same things after the same answers.
    """

    @property
    def seed(self) -> int:
        """This trial's seed, for whatever a benchmark draws itself."""
        ...

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        role: Literal["agent", "user", "judge"] = "agent",
        tools: Sequence[Mapping[str, Any]] | None = None,
        stop: Sequence[str] | None = None,
    ) -> Reply:
        """The answer of the evaluated model, the user simulator or the judge.

        Raises:
            RequestFailedError: it got no answer; leave it to the runner, which lists the sample as an error.
        """
        ...


@dataclass(frozen=True)
class Verdict:
    """What one prediction is worth and why.

    Attributes:
        details: further figures of this sample by name, kept in ``per_sample`` beside score and reason.
    """

    score: Score
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A verdict and whose it is; an id that was tried several times occurs several times, each a ``trial`` from 0."""

    id: str
    verdict: Verdict
    trial: int = 0


class Benchmark(Protocol):
    """A benchmark whose data is loaded and checked."""

    @property
    def ids(self) -> Sequence[str]:
        """The samples' ids, in the order of the data."""
        ...

    async def play(self, sample_id: str, chat: Chat) -> Any:
        """Have the model do this sample; its prediction, a JSON value that ``score`` can judge later.

        A text for benchmarks of one answer. Raises nothing for anything that a model may say.
        """
        ...

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """Judge a prediction. Total: no JSON value makes it raise or take more than linear time."""
        ...

    def gold(self, sample_id: str) -> Any:
        """What is right, for those who read verdicts: a text or another JSON value, None where nothing says it."""
        ...

    def group(self, sample_id: str) -> str:
        """The row of the benchmark's own breakdown that this sample counts in."""
        ...

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """The benchmark's figures over verdicts (at least one), by name; also asked for one group alone."""
        ...


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str, source: Source) -> Benchmark:
    """The benchmark ``name`` over ``source``.

    Raises:
        InputError: no such benchmark, or data that it can't use.
    """
    benchmark: Benchmark = _module(name).load(source)
    return benchmark


def keys_beside_answers(name: str) -> frozenset[str]:
    """The keys of its recipe that decide no answer, such as ``mode`` and ``options.device``: a run may change them.

    Raises:
        InputError: no such benchmark.
    """
    return getattr(_module(name), "KEYS_BESIDE_ANSWERS", frozenset())


def _module(name: str) -> ModuleType:
    if name not in names():
        raise InputError(f"benchmark={name}: no such benchmark; choose one of {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
