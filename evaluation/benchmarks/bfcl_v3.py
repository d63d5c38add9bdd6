"""BFCL-v3 (Yan et al. 2024, the Berkeley Function Calling Leaderboard): calls of functions, judged by its own checkers.

Data, prompts, decoders, checkers and simulated APIs are those of nvidia-bfcl 26.3, in an environment of its own
(``evaluation/packages.py``), where nothing of an answer is evaluated (``evaluation/_worker/bfcl_package.py``). The
figures are those of ShishirPatil/gorilla cd9429 (Apache-2.0), which no longer counts the executable categories;
the package's own Non-Live figure does, and needs services on the net for them.

A prediction is a text (mode=prompt), or for native calls (mode=fc) a list of ``{name: arguments as JSON text}``, with
``a_b`` for a function ``a.b``; of several turns: a list of turns, each a list of steps, each such a prediction.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from evaluation.benchmarks import Chat, Judged, Message, Reply, Source, Verdict
from evaluation.client import RequestFailedError
from evaluation.packages import Worker, WorkerError
from recipes.command import InputError

KEYS_BESIDE_ANSWERS = frozenset({"options.timeout_s"})
MODES = ("prompt", "fc")
MAX_STEPS = 20
"""Official: a turn ends after the step that follows so many."""
MAX_DEPTH = 100
"""Of lists and objects within each other in a prediction; none that is right comes near it."""

SIMPLE = ("simple", "java", "javascript")
NON_LIVE = ("multiple", "parallel", "parallel_multiple", "irrelevance")
LIVE = tuple(
    f"live_{name}"
    for name in ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance", "relevance")
)
MULTI_TURN = tuple(f"multi_turn_{name}" for name in ("base", "miss_func", "miss_param", "long_context"))
SUBTASKS = {
    "non_live": (*SIMPLE, *NON_LIVE),
    "live": LIVE,
    "multi_turn": MULTI_TURN,
    "single_turn": (*SIMPLE, *NON_LIVE, *LIVE),
    **{category: (category,) for category in (*SIMPLE, *NON_LIVE, *LIVE, *MULTI_TURN)},
}


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class Options:
    """``options`` of ``recipes/benchmark/bfcl_v3.yaml``."""

    timeout_s: float


class BfclV3:
    """The samples of some categories; ``category`` by id."""

    def __init__(self, worker: Worker, mode: str | None, category: Mapping[str, str]) -> None:
        self._worker = worker
        self._mode = mode
        self._category = category
        self.ids = tuple(category)

    async def play(self, sample_id: str, chat: Chat) -> Any:
        """The model's answer; of several turns, those of all steps until one calls nothing.

        Raises:
            RequestFailedError: the package's process crashes or hangs before the model is asked.
        """
        try:
            opening = await self._call("opening", sample_id=sample_id, mode=self._mode)
        except WorkerError as error:
            raise RequestFailedError(f"no question: {error}", "sample") from None
        if self._category[sample_id] in MULTI_TURN:
            return await self._converse(sample_id, chat, opening)
        return _answer(await chat.ask(opening["turns"][0], tools=opening["tools"][0] or None))

    async def _converse(self, sample_id: str, chat: Chat, opening: Mapping[str, Any]) -> list[list[Any]]:
        messages: list[Message] = []
        turns: list[list[Any]] = []
        for added, tools in zip(opening["turns"], opening["tools"], strict=True):
            messages += added
            turns.append([])
            while True:
                reply = await chat.ask(messages, tools=tools or None)
                turns[-1].append(_answer(reply))
                try:
                    outcome = await self._call("step", sample_id=sample_id, mode=self._mode, turns=turns)
                except WorkerError:
                    # The model's own calls crash the simulated API or hang it, twice: that would be so whenever this
                    # sample is done again, so it isn't an error but the prediction, for which there is no verdict of 1.
                    return turns
                messages += _exchange(reply, outcome, len(messages))
                if not outcome["calls"]:
                    break
                if len(turns[-1]) > MAX_STEPS:
                    return turns
        return turns

    async def _call(self, function: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(self._worker.call_twice, function, **arguments)

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """The official checker's verdict."""
        category = self._category[sample_id]
        if _is_deeper(prediction, MAX_DEPTH):
            return Verdict(0.0, f"lists and objects nested more than {MAX_DEPTH} deep")
        try:
            judged = self._worker.call_twice(
                "judge", sample_id=sample_id, mode=self._mode, prediction=prediction
            )
        except WorkerError as error:
            return Verdict(0.0, f"the official checker gave no verdict: {error}")
        if judged["valid"]:
            return Verdict(
                1.0, "as the possible answers have it" if "rel" not in category else "as it should be"
            )
        return Verdict(0.0, judged["message"], {"error_type": judged["error_type"]})

    def gold(self, sample_id: str) -> Any:
        """The possible answers; None where the category has none. Raises WorkerError."""
        return self._worker.call_twice("gold", sample_id=sample_id)

    def group(self, sample_id: str) -> str:
        """The sample's category."""
        return self._category[sample_id]

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """``accuracy``, the share of right answers, and the official figures whose categories are all there."""
        scores: dict[str, list[float]] = defaultdict(list)
        for one in judged:
            assert isinstance(one.verdict.score, float | int)
            scores[self._category[one.id]].append(one.verdict.score)
        return {"accuracy": _mean([score for each in scores.values() for score in each]), **summarise(scores)}


def summarise(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The official figures over scores by category.

    ``non_live`` is the mean of five: ``simple`` (itself the mean of Python, Java and JavaScript), ``multiple``,
    ``parallel``, ``parallel_multiple`` and ``irrelevance``. ``live`` weighs its six categories by their sizes,
    ``multi_turn`` is the mean of its four, ``overall`` that of the three, ``single_turn`` that of the first two. A
    figure that lacks a category is left out.
    """
    means = {category: _mean(values) for category, values in scores.items() if values}
    figures: dict[str, float] = {}
    if all(category in means for category in SUBTASKS["non_live"]):
        simple = _mean([means[category] for category in SIMPLE])
        figures["non_live"] = _mean([simple, *(means[category] for category in NON_LIVE)])
    if all(category in means for category in LIVE):
        figures["live"] = _mean([score for category in LIVE for score in scores[category]])
    if "non_live" in figures and "live" in figures:
        figures["single_turn"] = _mean([figures["non_live"], figures["live"]])
    if all(category in means for category in MULTI_TURN):
        figures["multi_turn"] = _mean([means[category] for category in MULTI_TURN])
    if "single_turn" in figures and "multi_turn" in figures:
        figures["overall"] = _mean([figures[name] for name in ("non_live", "live", "multi_turn")])
    return figures


def load(source: Source) -> BfclV3:
    """Build the package's environment if it isn't there, and list its samples.

    Raises:
        InputError: no such subtask or mode, data from elsewhere, or no environment that works.
    """
    if source.data is not None:
        raise InputError(f"data={source.data}: bfcl_v3 has its data from its package; leave data out")
    if source.subtask is not None and source.subtask not in SUBTASKS:
        raise InputError(
            f"subtask={source.subtask}: no part of bfcl_v3; choose {', '.join(SUBTASKS)}, or null"
        )
    if source.mode not in MODES:
        raise InputError(f"mode={source.mode}: bfcl_v3 knows {' and '.join(MODES)}; choose one")
    try:
        options = TypeAdapter(Options).validate_python(dict(source.options))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"options.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    worker = _worker(options.timeout_s)
    wanted = SUBTASKS[source.subtask] if source.subtask else {*SUBTASKS["single_turn"], *MULTI_TURN}
    try:
        catalogue = worker.call_twice("catalogue")
    except WorkerError as error:
        raise InputError(
            f"options.timeout_s={options.timeout_s}: the package's process doesn't list its samples ({error}); give "
            "it more time or memory, or remove .venv-bench/bfcl, which is made anew"
        ) from None
    category = {sample_id: name for sample_id, name in catalogue if name in wanted}
    return BfclV3(worker, source.mode, category)


@cache
def _worker(timeout_s: float) -> Worker:
    """One process for all parts of a suite: it takes seconds to read the samples."""
    return Worker("bfcl", "evaluation._worker.bfcl_checker", timeout_s)


def _answer(reply: Reply) -> Any:
    return [{call.name: call.arguments} for call in reply.tool_calls] or reply.text


def _exchange(reply: Reply, outcome: Mapping[str, Any], number: int) -> list[Message]:
    """What the chat goes on with: the model's message, and the results of its calls if it called anything.

    Args:
        number: of messages before; it makes the calls' ids unique.
    """
    if not reply.tool_calls:
        said: Message = {"role": "assistant", "content": reply.text}
        return [said, {"role": "user", "content": outcome["message"]}] if outcome["calls"] else [said]
    if not outcome["calls"]:  # servers refuse native calls in the history whose arguments aren't JSON
        written = [f'{{"name": "{call.name}", "arguments": {call.arguments}}}' for call in reply.tool_calls]
        shown = [f"<tool_call>\n{call}\n</tool_call>" for call in written]
        return [{"role": "assistant", "content": "\n".join([*filter(None, [reply.text]), *shown])}]
    calls = [
        {
            "id": f"call_{number}_{position}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for position, call in enumerate(reply.tool_calls)
    ]
    return [
        {"role": "assistant", "content": reply.text, "tool_calls": calls},
        *(
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, result in zip(calls, outcome["results"], strict=False)
        ),
    ]


def _is_deeper(value: Any, limit: int) -> bool:
    """Whether a JSON value nests more than ``limit`` lists and objects."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, list | dict)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return bool(level)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
