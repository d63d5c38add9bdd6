"""WorfBench's scores: ours against the published evaluator's procedure on the same rows, same embedding model.

The baseline is a re-implementation of zjunlp/WorfBench 38a6455 (evaluator/graph_evaluator.py), which is no
package: it draws up all topological orders of a gold graph before it takes 20, and embeds both lists of nodes anew for
each of them. Ours embeds each text once, in batches, and draws up orders until no other can win. Answers are the gold
workflows with a node dropped, renamed or moved; both score chain and graph. In CPU time; ours with an empty cache
(`cold`) and with one that holds all texts (`cached`).

    python benchmarks/worfbench.py [--full] [--data GOLD_TRAJ] [--embedding FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from _result import entry

from evaluation.benchmarks import Source
from evaluation.benchmarks.worfbench import WorfBench, load
from evaluation.embedding import resolve
from evaluation.results import Prediction, judge

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/unit"))
import worfbench_official as official  # noqa: E402

TARGET = 20.0
ROWS_PER_SET = 3
DATA = Path(os.environ.get("MAGIC_SHARED", ROOT.parent / "shared")) / "data/worfbench/gold_traj"


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all rows; the baseline takes hours")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder gold_traj")
    parser.add_argument("--embedding", default="minilm")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"error: --data={arguments.data}: no such folder; give gold_traj of zjunlp/WorfBench")
    print(
        f"ours: evaluation.benchmarks.worfbench; baseline: WorfBench 38a6455, re-implemented, sentence-transformers "
        f"{version('sentence-transformers')}, networkx {version('networkx')}; model {arguments.embedding}"
    )
    cases = _cases(arguments.data, None if arguments.full else ROWS_PER_SET)
    benchmark = _benchmark(arguments)
    benchmark.score(cases[0][0].id, cases[0][1])  # loads the model, without a text of the answers to come
    cold_s, ours = _timed(benchmark, cases)
    cached_s, _ = _timed(benchmark, cases)
    baseline_s, theirs = _official(cases, arguments.embedding)
    num = len(cases)
    agreeing = sum(np.allclose(a, b, atol=1e-9) for a, b in zip(ours, theirs, strict=True))
    print(f"{num} rows: ours {cold_s:.2f} s cold, {cached_s:.3f} s cached; baseline {baseline_s:.1f} s CPU")
    print(f"same chain and graph F1 on {agreeing} of {num} rows")
    entries = [
        entry(
            f"worfbench_{name}",
            baseline_s / seconds,
            TARGET,
            "higher",
            num / seconds,
            num / baseline_s,
            "rows/s",
        )
        for name, seconds in (("cold", cold_s), ("cached", cached_s))
    ]
    print(
        json.dumps(
            [*entries, entry("worfbench_agreement", agreeing / num, 1.0, "higher", agreeing, num, "rows")]
        )
    )


def _benchmark(arguments: argparse.Namespace) -> WorfBench:
    options = {"device": "cpu", "batch_size": 64, "cache": None}
    return load(
        Source(None, str(arguments.data), mode="official", embedding=arguments.embedding, options=options)
    )


def _cases(data: Path, rows_per_set: int | None) -> list[tuple[Prediction, str]]:
    """A changed gold as the answer to each row, and the gold; of each set the first rows, or all."""
    cases = []
    for file in sorted(data.glob("*/graph_eval.json")):
        for index, row in enumerate(json.loads(file.read_text())[:rows_per_set]):
            gold = row["conversations"][-1]["content"]
            cases.append((Prediction(f"{file.parent.name}/{index}", changed(gold, Random(index))), gold))
    return cases


def changed(workflow: str, rng: Random) -> str:
    """The workflow with one node dropped, renamed, or moved to another place; its edges as they are."""
    head, edge, edges = workflow.partition("Edge")
    lines = [line.partition(": ")[2] for line in head.split("\n")[1:] if line.strip()]
    place = rng.randrange(len(lines))
    kind = rng.randrange(3)
    text = lines.pop(place)
    if kind == 1:
        lines.insert(place, f"{text} as far as that can be done today")
    elif kind == 2:
        lines.insert(rng.randrange(len(lines) + 1), text)
    return "\n".join(["Node:", *(f"{n}: {line}" for n, line in enumerate(lines, 1)), edge + edges])


def _timed(
    benchmark: WorfBench, cases: list[tuple[Prediction, str]]
) -> tuple[float, list[tuple[float, float]]]:
    starts = time.process_time()
    results = judge(benchmark, [prediction for prediction, _ in cases])
    seconds = time.process_time() - starts
    return seconds, [tuple(line["score"].values()) for line in results["per_sample"]]


def _official(cases: list[tuple[Prediction, str]], embedding: str) -> tuple[float, list[tuple[float, float]]]:
    """Seconds and (chain, graph) by the published procedure; what it can't score is 0."""
    from sentence_transformers import SentenceTransformer, util

    def similarity(pred_nodes: list[str], gt_nodes: list[str], model: Any) -> Any:
        pred, gold = (model.encode(nodes, convert_to_tensor=True) for nodes in (pred_nodes, gt_nodes))
        return np.maximum(util.cos_sim(pred, gold).cpu().numpy(), 0).astype(np.float64)

    official.similarity = similarity
    model = SentenceTransformer(resolve(embedding), device="cpu")
    model.encode(["warm up"])
    scores = []
    starts = time.process_time()
    for prediction, gold in cases:
        graphs = official.workflow_to_graph_list(prediction.value), official.workflow_to_graph_list(gold)
        nodes = [node for node in graphs[0]["nodes"] if node not in ("START", "END")] if graphs[0] else []
        chain = official.t_eval_nodes(*graphs, model) if nodes else 0.0
        scores.append((chain, official.t_eval_graph(*graphs, model) if graphs[0] else 0.0))
    return time.process_time() - starts, scores


if __name__ == "__main__":
    main()
