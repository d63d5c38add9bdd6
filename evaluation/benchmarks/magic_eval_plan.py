"""MagicEval-Plan (section 6.2): is a request broken down into the right steps?

Our public set in place of the paper's: general, dependency, condition and context inheritance, 60 dialogues each, half
in English, half in Chinese. The dialogue's last plan is asked for, with golden ones before it. Three figures:

    step       1 iff the plan has as many steps as the gold's ("the structural alignment of the plan length")
    embedding  cosine of the embeddings of both plans, each as one text of its steps in their order, 0 if below 0
    judge      1 iff another model calls the plan correct, beside the gold's

Each is a mean over dialogues. ``embedding=null`` leaves the second out, no endpoint for the judge the third; what is
left out is said in each verdict's reason. An answer without a plan scores 0 in all. A prediction is the answer's text,
or ``{"plan": text, "judge": text}`` with the judge's answer, which scoring reads and never asks for. A judge's answer
that can't be read is left out of the mean and counted in ``share_unjudged``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, PositiveInt, TypeAdapter, ValidationError

from evaluation.benchmarks import Chat, Judged, Source, Verdict
from evaluation.benchmarks._magic_eval_judge import judge_prompt, judged_correct
from evaluation.benchmarks._magic_eval_set import Dialogue, read_set
from evaluation.embedding import Embedder
from recipes.command import InputError

KEYS_BESIDE_ANSWERS = frozenset({"embedding", "options.device", "options.batch_size", "options.cache"})
FIGURES = {"step": "step_accuracy", "embedding": "embedding_similarity", "judge": "judge_accuracy"}
MOST_CHARACTERS = 20_000
"""Of a plan's text that are embedded; models read some thousand at most."""
_STEP = re.compile(r"Step([0-9]{1,4})\.")


class _Options(BaseModel, extra="forbid"):
    """``options`` of ``recipes/benchmark/magic_eval_plan.yaml``."""

    judge: bool | str | None
    device: str
    batch_size: PositiveInt
    cache: str | None


def read_plan(answer: str) -> list[str] | None:
    """The steps of the last ``<Plan>Step1.… Step2.…</Plan>``; None if there is none, or its numbers are wrong."""
    start = answer.rfind("<Plan>")
    plan, closing, _ = answer[start + len("<Plan>") :].partition("</Plan>")
    if start < 0 or not closing:
        return None
    before, *parts = _STEP.split(plan)
    numbers, steps = parts[::2], [part.strip() for part in parts[1::2]]
    in_order = [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    return steps if in_order and all(steps) and not before.strip() else None


class MagicEvalPlan:
    """The dialogues of a set.

    Attributes:
        roles: whom ``play`` asks.
    """

    def __init__(
        self, dialogues: Mapping[str, Dialogue], embedder: Embedder | None, asks_judge: bool
    ) -> None:
        self._dialogues = dialogues
        self._embedder = embedder
        self.roles = frozenset({"agent", "judge"} if asks_judge else {"agent"})
        self._knows_gold = False
        self.ids = tuple(dialogues)

    async def play(self, sample_id: str, chat: Chat) -> Any:
        """The answer; with a judge, its verdict beside it. A text without a plan needs no judge."""
        dialogue = self._dialogues[sample_id]
        place = dialogue.places[-1]
        reply = await chat.ask(dialogue.prompt(place))
        if "judge" not in self.roles:
            return reply.text
        plan = read_plan(reply.text)
        if plan is None:
            return {"plan": reply.text, "judge": None}
        question = judge_prompt(dialogue.messages[:place], dialogue.wanted[-1], plan)
        return {"plan": reply.text, "judge": (await chat.ask(question, role="judge")).text}

    def check_scoring(self) -> None:
        """Load the embedding model, if there is one. Raises InputError."""
        if self._embedder is not None:
            self._embedder.load()

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """``step``, and ``embedding`` and ``judge`` where there are such."""
        wanted = self._dialogues[sample_id].wanted[-1]
        judgement: Any = None
        has_judge = isinstance(prediction, dict) and "judge" in prediction
        if isinstance(prediction, dict):
            prediction, judgement = prediction.get("plan"), prediction.get("judge")
        plan = read_plan(prediction) if isinstance(prediction, str) else None
        score = {"step": float(plan is not None and len(plan) == len(wanted))}
        if self._embedder is not None:
            score["embedding"] = self._similarity(plan, wanted)
        correct = judged_correct(judgement) if isinstance(judgement, str) and plan is not None else None
        if has_judge and (correct is not None or plan is None):
            score["judge"] = float(bool(correct))
        reason = "no plan" if plan is None else f"{len(plan)} steps; the gold has {len(wanted)}"
        left_out = [figure for figure in ("embedding", "judge") if figure not in score]
        details = {"unjudged": True} if has_judge and "judge" in left_out else {}
        return Verdict(score, reason + (f"; without {' and '.join(left_out)}" if left_out else ""), details)

    def _similarity(self, plan: Sequence[str] | None, wanted: Sequence[str]) -> float:
        assert self._embedder is not None
        if plan is None or bool(plan) != bool(wanted):
            return 0.0
        if not self._knows_gold:
            self._embedder.learn(_whole(dialogue.wanted[-1]) for dialogue in self._dialogues.values())
            self._knows_gold = True
        cosine = float(self._embedder.cosines([_whole(plan)], [_whole(wanted)])[0, 0])
        return round(min(max(cosine, 0.0), 1.0), 6)

    def gold(self, sample_id: str) -> list[str]:
        """The steps of the dialogue's last plan."""
        return self._dialogues[sample_id].wanted[-1]

    def group(self, sample_id: str) -> str:
        """The scenario."""
        return self._dialogues[sample_id].scenario

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """The means of the figures that there are; a null prediction is 0 in them."""
        scores = [one.verdict.score for one in judged]
        metrics = {}
        for key, name in FIGURES.items():
            if key == "step" or any(key in score for score in scores if isinstance(score, Mapping)):
                values = [_figure(score, key) for score in scores]
                there = [value for value in values if value is not None]
                metrics[name] = sum(there) / len(there)
        unjudged = sum("unjudged" in one.verdict.details for one in judged)
        return metrics | ({"share_unjudged": unjudged / len(judged)} if unjudged else {})


def _figure(score: float | Mapping[str, float], key: str) -> float | None:
    return score.get(key) if isinstance(score, Mapping) else 0.0


def _whole(steps: Sequence[str]) -> str:
    return " ".join(steps)[:MOST_CHARACTERS]


def load(source: Source) -> MagicEvalPlan:
    """The frozen set, or the file ``data``; ``subtask`` is a scenario, ``language`` en or zh, all if left out.

    Raises:
        InputError: no such scenario or language, data that isn't such a set, or no such embedding.
    """
    try:
        options = TypeAdapter(_Options).validate_python(dict(source.options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["options", *(str(part) for part in first["loc"])])
        raise InputError(f"{key}: {first['msg']}; see recipes/benchmark/magic_eval_plan.yaml") from None
    dialogues = read_set("magic_eval_plan", source)
    for dialogue in dialogues.values():
        if not all(isinstance(step, str) for step in dialogue.wanted[-1]):
            raise InputError(f"data={source.data}: {dialogue.id}: a step is text; make the file again")
    embedder = None
    if source.embedding is not None:
        embedder = Embedder(source.embedding, options.device, options.batch_size, options.cache)
    return MagicEvalPlan(dialogues, embedder, bool(options.judge))
