"""WorfBench (Qiao et al. 2025, arXiv 2410.07869): workflows, scored by the chain and the graph that they share.

The scores are those of ``evaluation.worfbench``: ``mode=official`` as the published evaluator computes them,
``mode=fixed`` without its mistakes. The chats are the data's own (zjunlp/WorfBench 38a6455, MIT), with the two shots
of the official generator (95d55e2, prompts/eval_prompt.py, MIT) where it has any: none for ``seal_tools`` and
``intercodesql``. An answer without a workflow scores 0 and counts, as officially.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, PositiveInt, TypeAdapter, ValidationError

from evaluation.benchmarks import Chat, Judged, Message, Source, Verdict
from evaluation.embedding import Embedder
from evaluation.jsonl import read_text
from evaluation.worfbench import Graph, Mode, chain_f1, graph_f1, read
from recipes.command import InputError

KEYS_BESIDE_ANSWERS = frozenset(
    {"mode", "embedding", "options.device", "options.batch_size", "options.cache"}
)
FILE = "graph_eval.json"
FIGURES = ("chain_f1", "graph_f1")
TURN = "Now it's your turn.\n"
NOTHING = dict.fromkeys(FIGURES, 0.0)
_SHOTS = Path(__file__).with_name("_worfbench_shots.json")


class _Turn(BaseModel):
    role: str
    content: str


class _Row(BaseModel):
    """A row of ``graph_eval.json``: system, user, and the gold as the assistant's turn."""

    conversations: list[_Turn]


class _Options(BaseModel, extra="forbid"):
    """``options`` of ``recipes/benchmark/worfbench.yaml``."""

    device: str
    batch_size: PositiveInt
    cache: str | None


@dataclass(frozen=True)
class _Sample:
    gold: Graph
    solution: str
    messages: list[Message]


class WorfBench:
    """All sets below one folder."""

    def __init__(self, mode: Mode, embedder: Embedder, samples: dict[str, _Sample]) -> None:
        self._mode = mode
        self._embedder = embedder
        self._samples = samples
        self.ids = tuple(samples)

    async def play(self, sample_id: str, chat: Chat) -> str:
        """The workflow that the model draws up."""
        return (await chat.ask(self._samples[sample_id].messages)).text

    def check_scoring(self) -> None:
        """Load the embedding model. Raises InputError."""
        self._embedder.load()

    def prepare(self, predictions: Sequence[tuple[str, Any]]) -> None:
        """Embed all nodes of these (id, prediction) at once."""
        texts: set[str] = set()
        for sample_id, prediction in predictions:
            graph = read(prediction) if isinstance(prediction, str) else None
            if graph:
                texts |= {*graph.nodes, *self._samples[sample_id].gold.nodes}
        self._embedder.learn(texts)

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """``chain_f1`` and ``graph_f1``."""
        if not isinstance(prediction, str):
            return Verdict(NOTHING, "no text")
        gold, graph = self._samples[sample_id].gold, read(prediction)
        if graph is None:
            return Verdict(
                NOTHING, "no workflow in the answer: it needs 'Node', nodes '1: …' and edges '(1,2)'"
            )
        cosines = self._embedder.cosines(graph.nodes, gold.nodes)
        scores = {
            "chain_f1": chain_f1(graph, gold, cosines, self._mode),
            "graph_f1": graph_f1(graph, gold, cosines, self._mode),
        }
        return Verdict(scores, f"{_size(graph)}; the gold has {_size(gold)}")

    def gold(self, sample_id: str) -> str:
        """The row's own workflow."""
        return self._samples[sample_id].solution

    def group(self, sample_id: str) -> str:
        """The set."""
        return sample_id.partition("/")[0]

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """Means over the rows, and of several sets the means of their means."""
        sets: dict[str, list[Judged]] = {}
        for one in judged:
            sets.setdefault(self.group(one.id), []).append(one)
        figures = {name: _mean(judged, name) for name in FIGURES}
        for name in FIGURES if len(sets) > 1 else ():
            figures[f"{name}_mean_of_sets"] = sum(_mean(rows, name) for rows in sets.values()) / len(sets)
        return figures


def load(source: Source) -> WorfBench:
    """Read ``<set>/graph_eval.json`` of every set in the folder ``data``.

    Raises:
        InputError: no such mode, folder or model, or rows that can't be judged by.
    """
    modes: dict[str | None, Mode] = {mode: mode for mode in get_args(Mode)}
    if source.mode not in modes:
        raise InputError(f"mode={source.mode}: no such mode; choose official or fixed")
    if source.embedding is None:
        raise InputError(
            "embedding=null: worfbench compares nodes by their embeddings; give a folder, minilm, or "
            "all-mpnet-base-v2, the official model"
        )
    if source.num_shots not in (None, 0, 2):
        raise InputError(f"num_shots={source.num_shots}: worfbench has no such prompt; give 2 or 0")
    files = sorted(Path(source.data).glob(f"*/{FILE}")) if source.data else []
    if not files:
        raise InputError(
            f"data={source.data}: no SET/{FILE} there; give the folder gold_traj of zjunlp/WorfBench "
            "(git clone https://github.com/zjunlp/WorfBench)"
        )
    shots = json.loads(_SHOTS.read_text())["shots"] if source.num_shots else {}
    samples: dict[str, _Sample] = {}
    for file in files:
        samples |= _read_set(file, shots.get(file.parent.name, []))
    options = _options(source.options)
    embedder = Embedder(source.embedding, options.device, options.batch_size, options.cache)
    return WorfBench(modes[source.mode], embedder, samples)


def _options(options: Mapping[str, Any]) -> _Options:
    try:
        return _Options.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"options.{name}={options.get(name)}: {first['msg']}; see --cfg job") from None


def _read_set(file: Path, shots: list[Message]) -> dict[str, _Sample]:
    try:
        rows = TypeAdapter(list[_Row]).validate_json(read_text("data", str(file)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"data={file}: {where}: {first['msg']}; is it WorfBench's?") from None
    samples = {}
    for index, row in enumerate(rows):
        gold = read(row.conversations[-1].content) if len(row.conversations) > 2 else None
        if gold is None:
            raise InputError(f"data={file}: row {index} has no workflow as its last turn; is it WorfBench's?")
        samples[f"{file.parent.name}/{index}"] = _Sample(
            gold, row.conversations[-1].content, _chat(row.conversations, shots)
        )
    return samples


def _chat(turns: list[_Turn], shots: list[Message]) -> list[Message]:
    """System, shots, and the task, as the official generator puts them."""
    system, task = turns[0].content, turns[1].content
    return [{"role": "system", "content": system}, *shots, {"role": "user", "content": TURN + task}]


def _mean(judged: Sequence[Judged], name: str) -> float:
    scores = [one.verdict.score for one in judged]
    return sum(score[name] if isinstance(score, Mapping) else score for score in scores) / len(scores)


def _size(graph: Graph) -> str:
    return f"{len(graph.nodes) - 2} nodes and {len(graph.edges)} edges"
