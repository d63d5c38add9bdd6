"""ACEBench (Chen et al. 2025, arXiv 2501.12851) in English or Chinese, judged as officially.

Answers are judged as by chenchen0103/ACEBench 56dd66c (MIT), sample by sample, oddities included: see
``_acebench_checker`` for calls and ``_acebench_states`` for agents. Of an ordinary answer the first outermost brackets
count; of a turn of a dialogue everything, after all whitespace is taken out of it, also that within values. Special
samples want certain words in the answer. Where the official evaluator would raise, the score is 0.

A prediction is the model's text, or for agents the scene's ``{"result", "process"}``, the states of the classes and
the commands given, or the states alone. Calls that are parsed already, a list of ``{name: {argument: value}}``, are
judged by the checker alone.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.benchmarks import Chat, Judged, Message, Source, Verdict
from evaluation.benchmarks._acebench_calls import UnreadableError, first_brackets, read_answer
from evaluation.benchmarks._acebench_checker import right
from evaluation.benchmarks._acebench_prompts_en import ENGLISH
from evaluation.benchmarks._acebench_prompts_zh import CHINESE
from evaluation.benchmarks._acebench_scene import MACHINES, Scene, play_alone, play_with_user
from evaluation.benchmarks._acebench_states import milestone_share, states_differ
from evaluation.jsonl import quote, read_lines, read_text
from recipes.command import InputError

PROMPTS = {"en": ENGLISH, "zh": CHINESE}
ATOM = tuple(
    f"normal_atom_{kind}" for kind in ("bool", "enum", "number", "list", "object_deep", "object_short")
)
SINGLE_TURN = ("normal_single_turn_single_function", "normal_single_turn_parallel_function")
MULTI_TURN = ("normal_multi_turn_user_switch", "normal_multi_turn_user_adjust")
FAMILIES = {
    "normal": (*SINGLE_TURN, *MULTI_TURN, "normal_similar_api", "normal_preference", *ATOM),
    "special": ("special_incomplete", "special_error_param", "special_irrelevant"),
    "agent": ("agent_multi_turn", "agent_multi_step"),
    "atom": ATOM,
    "single_turn": SINGLE_TURN,
    "multi_turn": MULTI_TURN,
}
CATEGORIES = (*FAMILIES["normal"], *FAMILIES["special"], *FAMILIES["agent"])
WITH_USER = "agent_multi_turn"


class Options(BaseModel):
    """``options`` of ``recipes/benchmark/acebench.yaml``."""

    model_config = ConfigDict(extra="forbid")

    user: Literal["endpoint", "none"]
    user_role: Literal["system", "assistant"]
    most_messages: int = Field(gt=0)


class Question(BaseModel):
    """A line of ``data_<category>.json``, as far as it is asked and judged by."""

    id: str
    question: str
    function: list[Any]
    time: str = ""
    profile: str = ""
    initial_config: dict[str, dict[str, Any]] = {}
    involved_classes: list[str] = []


class Answer(BaseModel):
    """A line of ``possible_answer/data_<category>.json``."""

    id: str
    ground_truth: Any
    mile_stone: list[Any] = []


@dataclass(frozen=True)
class _Sample:
    category: str
    question: Question
    answer: Answer


class AceBench:
    """Some categories in one language.

    Attributes:
        roles: what has to be served beside the agent.
    """

    def __init__(self, language: str, samples: Mapping[str, _Sample], options: Options | None) -> None:
        self._language = language
        self._samples = samples
        self._options = options
        self.ids = tuple(samples)
        with_user = any(sample.category == WITH_USER for sample in samples.values())
        self.roles = frozenset({"user"} if with_user else ())

    async def play(self, sample_id: str, chat: Chat) -> Any:
        """The model's answer, or what a scene came to: ``result``, ``process`` and the ``dialogue``."""
        sample, prompts, options = self._samples[sample_id], PROMPTS[self._language], self._options
        assert options is not None  # the recipe has them
        question = sample.question
        if not sample.category.startswith("agent"):
            return (await chat.ask(self.prompt(sample_id))).text
        scene = Scene(
            language=self._language,
            question=question.question,
            functions=question.function,
            classes=question.involved_classes,
            config=question.initial_config,
        )
        if sample.category == WITH_USER:
            return await play_with_user(scene, prompts, options.most_messages, options.user_role, chat)
        return await play_alone(scene, prompts, options.most_messages, chat)

    def prompt(self, sample_id: str) -> list[Message]:
        """The chat that asks for an answer, of a sample that isn't an agent's."""
        sample, prompts = self._samples[sample_id], PROMPTS[self._language]
        question = sample.question
        if sample.category.startswith("special"):
            system = prompts.special.format(time=question.time, function=question.function)
        elif sample.category == "normal_preference":
            system = prompts.preference.format(profile=question.profile, function=question.function)
        else:
            system = prompts.normal.format(time=question.time, function=question.function)
        content = prompts.question.format(question=question.question)
        return [{"role": "system", "content": system}, {"role": "user", "content": content}]

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """The official verdict on an answer, a turn of a dialogue or a scene; ``details`` has a scene's ``process``."""
        sample = self._samples[sample_id]
        if sample.category.startswith("agent"):
            return _score_scene(sample.answer, prediction)
        if isinstance(prediction, list) and sample.category.startswith("normal"):
            return _score_calls(sample, prediction)
        if not isinstance(prediction, str):
            return Verdict(0, "no text")
        if sample.category.startswith("special"):
            return _score_special(sample, prediction)
        answer = "".join(prediction.split()) if sample.category in MULTI_TURN else first_brackets(prediction)
        if answer is None:
            return Verdict(0, "no [ that a ] closes in the answer")
        try:
            return _score_calls(sample, read_answer(answer))
        except UnreadableError as error:
            return Verdict(0, f"{error} in {quote(answer)}")

    def gold(self, sample_id: str) -> Any:
        """The calls or the words wanted; of a scene the states, and the commands on the way there."""
        answer = self._samples[sample_id].answer
        if not answer.mile_stone:
            return answer.ground_truth
        return {"ground_truth": answer.ground_truth, "mile_stone": answer.mile_stone}

    def group(self, sample_id: str) -> str:
        """The category, by which the official evaluator breaks its figures down."""
        return self._samples[sample_id].category

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """The official figures: of one category its ``accuracy``; of several all of them, and those of the families.

        A family's figure is there where all its categories are, and ``overall`` where all families are. Dialogues are
        right where all their turns are, and count where all their turns are judged. Scenes have an ``…_process``
        beside their accuracy.
        """
        by_category: dict[str, list[Judged]] = {}
        for one in judged:
            by_category.setdefault(self._samples[one.id].category, []).append(one)
        found = {
            category: self._figures(category, by_category[category])
            for category in CATEGORIES
            if category in by_category
        }
        figures = {category: named for category, named in found.items() if named}
        if len(found) == 1:
            return next(iter(found.values()))
        summary = {
            name: round(_total(figures[category]["accuracy"] for category in family) / len(family), 3)
            for name, family in FAMILIES.items()
            if all(category in figures for category in family)
        }
        if {"special", "normal", "agent"} <= summary.keys():
            total = summary["special"] * 0.2676 + summary["normal"] * 0.578 + summary["agent"] * 0.1545
            summary = {"overall": round(total, 3), **summary}
        for category, named in figures.items():
            summary[category] = named["accuracy"]
            summary |= {f"{category}_{name}": value for name, value in named.items() if name != "accuracy"}
        return summary

    def _figures(self, category: str, judged: Sequence[Judged]) -> dict[str, float]:
        if category not in MULTI_TURN:
            return _figures(category, judged)
        num_turns = Counter(
            _dialogue(turn) for turn, sample in self._samples.items() if sample.category == category
        )
        return _dialogues_right(judged, num_turns)


def _figures(category: str, judged: Sequence[Judged]) -> dict[str, float]:
    accuracy = sum(one.verdict.score == 1 for one in judged) / len(judged)
    if category.startswith("special"):
        return {"accuracy": accuracy}
    if category.startswith("normal"):
        return {"accuracy": round(accuracy, 3)}
    process = _total(one.verdict.details.get("process", 0.0) for one in judged) / len(judged)
    return {"accuracy": round(accuracy, 3), "process": round(process, 3)}


def _total(values: Iterable[float]) -> float:
    """One after another, as officially; ``sum`` makes up for rounding, which can change the third place."""
    return functools.reduce(operator.add, values, 0.0)


def _dialogue(turn: str) -> str:
    """Of the id ``…_<dialogue>_<turn>``."""
    return turn.rpartition("_")[0]


def _dialogues_right(judged: Sequence[Judged], num_turns: Mapping[str, int]) -> dict[str, float]:
    """The share of dialogues without a wrong turn, each trial's for itself; nothing without a whole one."""
    dialogues: dict[tuple[str, int], dict[str, bool]] = {}
    for one in judged:
        dialogues.setdefault((_dialogue(one.id), one.trial), {})[one.id] = one.verdict.score == 1
    whole = [all(turns.values()) for (name, _), turns in dialogues.items() if len(turns) == num_turns[name]]
    return {"accuracy": round(sum(whole) / len(whole), 3)} if whole else {}


def _score_calls(sample: _Sample, calls: Sequence[Any]) -> Verdict:
    if not all(isinstance(call, dict) and len(call) == 1 for call in calls):
        return Verdict(0, "no list of calls")
    accepted, reason = right(sample.question.function, calls, sample.answer.ground_truth)
    return Verdict(int(accepted), reason)


def _score_special(sample: _Sample, answer: str) -> Verdict:
    """1 iff the answer has the category's words, and what the gold says is missing or wrong."""
    gold = sample.answer.ground_truth
    if sample.category == "special_irrelevant":
        wanted = ["the limitations of the function"]
    elif sample.category == "special_incomplete":
        named = [word for name, parameters in gold.items() for word in (name, *parameters)]
        wanted = ["Missing necessary parameters", *named]
    else:
        wanted = ["There is incorrect value", *(value for values in gold.values() for value in values)]
    missing = [words for words in wanted if words not in answer]
    if missing:
        return Verdict(0, f"{quote(missing[0])} isn't in the answer")
    return Verdict(1, "everything is pointed out")


def _score_scene(gold: Answer, prediction: Any) -> Verdict:
    if isinstance(prediction, list):
        prediction = {"result": prediction}
    if not isinstance(prediction, dict):
        return Verdict(0, "no result of a scene", {"process": 0.0})
    commands = prediction.get("process", [])
    if not isinstance(commands, list) or not all(isinstance(command, str) for command in commands):
        return Verdict(0, "process isn't a list of commands", {"process": 0.0})
    if wrong := states_differ(gold.ground_truth, prediction.get("result")):
        return Verdict(0, wrong, {"process": milestone_share(gold.mile_stone, commands)})
    return Verdict(1, "every class ends up as in the gold", {"process": 1.0})


def load(source: Source) -> AceBench:
    """Read the official ``data_all``, or one language's folder of it.

    Raises:
        InputError: no such language, subtask or folder, or lines that aren't ACEBench's.
    """
    if source.language not in PROMPTS:
        raise InputError(f"language={source.language}: acebench needs one; choose en or zh")
    if source.data is None:
        raise InputError("data=null: acebench needs its data; give the folder data_all of its repository")
    categories = _categories(source.subtask)
    options = _options(source.options)
    if options and options.user == "none":
        categories = [category for category in categories if category != WITH_USER]
        if not categories:
            raise InputError("options.user=none: these scenes need a user; give options.user=endpoint")
    root = Path(source.data)
    folder = next((path for path in (root / f"data_{source.language}", root) if path.is_dir()), root)
    samples: dict[str, _Sample] = {}
    for category in categories:
        samples |= _read_category(folder, category)
    return AceBench(source.language, samples, options)


def _categories(subtask: str | None) -> list[str]:
    if subtask is None:
        return list(CATEGORIES)
    known = {**FAMILIES, **{category: (category,) for category in CATEGORIES}}
    if subtask not in known:
        raise InputError(
            f"subtask={subtask}: acebench has no such part; choose one of {', '.join(known)}, or null"
        )
    return list(known[subtask])


def _options(options: Mapping[str, Any]) -> Options | None:
    """The recipe's options; None where there are none, to score given predictions."""
    if not options:
        return None
    try:
        return Options.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"options.{name}={first['input']}: {first['msg']}; see --cfg job") from None


def _read_category(folder: Path, category: str) -> dict[str, _Sample]:
    path = folder / f"data_{category}.json"
    questions = _read(path, Question)
    answers = {answer.id: answer for answer in _read(folder / "possible_answer" / path.name, Answer)}
    samples = {}
    for question in questions:
        if question.id not in answers or question.id in samples:
            raise InputError(f"data={path}: {question.id} has no gold or occurs twice; get the official data")
        if unknown := set(question.involved_classes) - set(MACHINES):
            raise InputError(
                f"data={path}: {question.id} involves {', '.join(sorted(unknown))}, which isn't known"
            )
        samples[question.id] = _Sample(category, question, answers[question.id])
    return samples


def _read[T: BaseModel](path: Path, schema: type[T]) -> list[T]:
    rows = []
    for number, line in read_lines("data", str(path), read_text("data", str(path))):
        try:
            rows.append(schema.model_validate(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"data={path}: line {number}: {where}: {first['msg']}; is it ACEBench's data_all?"
            ) from None
    return rows
