"""WorfBench's rows and answers through the benchmark, with a real embedding model, against the published procedure."""

import asyncio
import json
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest
import worfbench_official as official

from evaluation import benchmarks
from evaluation.benchmarks import Judged, Reply, Source
from evaluation.embedding import Embedder
from evaluation.results import Prediction, judge
from recipes.command import InputError

DATA = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared")) / "data/worfbench/gold_traj"
OPTIONS = {"device": "cpu", "batch_size": 64, "cache": None}
TEA = "Node:\n1: boil water\n2: add tea leaves\n3: pour the tea\nEdge: (START,1) (1,2) (2,3) (3,END)"
TWICE = "Node:\n1: open the door\n2: open the door\nEdge: (START,1) (START,2) (1,END) (2,END)"


def row(gold):
    turns = [("system", "Plan."), ("user", "Make tea."), ("assistant", gold)]
    return {"conversations": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sets of our own: one that has shots, one that has none."""
    base = tmp_path_factory.mktemp("gold_traj")
    for name, golds in (("seal_tools", [TEA]), ("wikihow", [TWICE, TEA])):
        (base / name).mkdir()
        (base / name / "graph_eval.json").write_text(json.dumps([row(gold) for gold in golds]))
    return base


def load(data, mode="official", **other):
    source = Source(None, str(data), **{"mode": mode, "embedding": "minilm", "options": OPTIONS, **other})
    return benchmarks.load("worfbench", source)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache") / "embeddings.sqlite"


def changes(workflow, rng):
    """The workflow with a node dropped, renamed or moved, or with a bracket, an edge or its head lost."""
    head, _, edges = workflow.partition("Edge")
    lines = [line.partition(": ")[2] for line in head.split("\n")[1:] if line.strip()]
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    moved = lines[:place] + lines[place + 1 :]
    moved.insert(other, lines[place])
    variants = {
        "same": lines,
        "dropped": lines[:place] + lines[place + 1 :],
        "renamed": [*lines[:place], "something else altogether", *lines[place + 1 :]],
        "moved": moved,
        "doubled": [*lines, lines[place]],
    }
    for name, kept in variants.items():
        yield name, "\n".join(["Node:", *(f"{n}: {line}" for n, line in enumerate(kept, 1)), "Edge" + edges])
    yield "unbalanced", workflow.replace(")", "", 1).replace("(", "((", 1)
    yield "no edges", head
    yield "no head", workflow.replace("Node", "Steps")


def published(text, gold_text, embedder):
    """(chain, graph) by the published procedure over our cosines; what it raises on is 0."""
    pred, gold = official.workflow_to_graph_list(text), official.workflow_to_graph_list(gold_text)
    if not pred:
        return 0.0, 0.0
    nodes = [node for node in pred["nodes"] if node not in ("START", "END")]
    chain = official.t_eval_nodes(pred, gold, embedder) if nodes else 0.0
    return chain, official.t_eval_graph(pred, gold, embedder)


@pytest.fixture
def over_cosines(monkeypatch):
    """The twin takes its table of cosines from an embedder at once."""
    monkeypatch.setattr(official, "similarity", lambda a, b, embedder: np.maximum(embedder.cosines(a, b), 0))


def agree(data, rows, cache, kinds):
    """Compare both on changed copies of rows; per kind the mean chain score."""
    options = OPTIONS | {"cache": str(cache)}
    benchmark, embedder = load(data, options=options), Embedder("minilm", "cpu", 64, str(cache))
    cases = [
        (name, index, gold, kind, text)
        for name, index, gold in rows
        for kind, text in changes(gold, Random(f"{name}{index}"))
        if kind in kinds
    ]
    predictions = [Prediction(f"{name}/{index}", text) for name, index, _, _, text in cases]
    lines = judge(benchmark, predictions)["per_sample"]
    means = {kind: [] for kind in kinds}
    for (name, index, gold, kind, text), line in zip(cases, lines, strict=True):
        wanted = published(text, gold, embedder)
        assert tuple(line["score"].values()) == pytest.approx(wanted), (name, index, kind)
        means[kind].append(line["score"]["chain_f1"])
    return {kind: sum(values) / len(values) for kind, values in means.items()}


KINDS = ("same", "dropped", "renamed", "moved", "doubled", "unbalanced", "no edges", "no head")


def test_changed_answers_score_as_published(folder, cache, over_cosines):
    means = agree(folder, [("seal_tools", 0, TEA), ("wikihow", 0, TWICE), ("wikihow", 1, TEA)], cache, KINDS)
    assert means["same"] > 0.8 and means["no edges"] == means["no head"] == 0.0
    assert means["dropped"] < means["same"] > means["renamed"]


def rows_of(data, num=None):
    return [
        (file.parent.name, index, row["conversations"][-1]["content"])
        for file in sorted(data.glob("*/graph_eval.json"))
        for index, row in enumerate(json.loads(file.read_text())[:num])
    ]


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}: it holds zjunlp/WorfBench's gold_traj")


@needs_data
def test_the_first_rows_of_each_set_score_as_published(cache, over_cosines):
    assert agree(DATA, rows_of(DATA, 1), cache, ("same", "moved"))["same"] > 0.9


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["same", "dropped", "moved"])
def test_all_rows_score_as_published(kind, cache, over_cosines):
    rows = rows_of(DATA)
    assert len(rows) == 2146
    means = agree(DATA, rows, cache, (kind,))
    assert means[kind] > 0.97 if kind == "same" else means[kind] < 0.97


@needs_data
def test_all_rows_are_read_with_their_ids():
    ids = load(DATA).ids
    assert len(ids) == len(set(ids)) == 2146
    assert {i.partition("/")[0] for i in ids} == {f.name for f in DATA.iterdir()} and "wikihow/261" in ids


def test_the_model_is_loaded_for_new_texts_only(cache):
    first = Embedder("minilm", "cpu", 64, str(cache))
    wanted = first.cosines(["boil water", "go"], ["boil some water", "\ud800"])
    again = Embedder("minilm", "cpu", 64, str(cache))
    assert (again.cosines(["boil water", "go"], ["boil some water", "\ud800"]) == wanted).all()
    assert again._loaded is None
    assert wanted[0, 0] > 0.8 > wanted[1, 0]


@pytest.mark.parametrize(
    ("prediction", "reason"),
    [
        (None, "no text"),
        (3, "no text"),
        ({"Node": 1}, "no text"),
        ("", "no workflow"),
        ("Node (1,2", "no workflow"),
    ],
)
def test_an_answer_without_a_workflow_scores_nothing_and_counts(folder, prediction, reason):
    results = judge(load(folder), [Prediction("wikihow/0", prediction)])
    (line,) = results["per_sample"]
    assert reason in line["reason"]
    assert results["num_samples"] == 1 and set(results["metrics"].values()) == {0.0}


def test_means_over_rows_and_over_sets(folder):
    benchmark = load(folder)
    judged = [
        Judged(i, benchmarks.Verdict({"chain_f1": chain, "graph_f1": 0.5}, ""))
        for i, chain in (("seal_tools/0", 1.0), ("wikihow/0", 0.0), ("wikihow/1", 0.5))
    ]
    figures = benchmark.metrics(judged)
    assert (figures["chain_f1"], figures["chain_f1_mean_of_sets"]) == (0.5, 0.625)
    assert benchmark.metrics(judged[1:]) == {"chain_f1": 0.25, "graph_f1": 0.5}


class Listening:
    """A chat that keeps what it is asked."""

    seed = 0

    async def ask(self, messages, **_):
        self.messages = messages
        return Reply("so be it")


def test_the_chat_is_the_official_one(folder):
    def chat_for(sample_id, num_shots):
        chat = Listening()
        assert asyncio.run(load(folder, num_shots=num_shots).play(sample_id, chat)) == "so be it"
        return chat.messages

    system, *shots, task = chat_for("wikihow/1", 2)
    assert (system["role"], [s["role"] for s in shots]) == ("system", ["user", "assistant"] * 2)
    assert shots[1]["content"].startswith("Node:\n1:") and task["content"] == "Now it's your turn.\nMake tea."
    assert chat_for("seal_tools/0", 2) == chat_for("wikihow/1", 0) == [system, task]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "strict"}, "mode=strict: .* official or fixed"),
        ({"embedding": None}, "embedding=null"),
        ({"num_shots": 1}, "num_shots=1"),
        ({"options": OPTIONS | {"batch_size": 0}}, "options.batch_size=0"),
        ({"options": OPTIONS | {"cache": "/dev/null/x"}}, "options.cache=/dev/null/x"),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder, change, message):
    with pytest.raises(InputError, match=message):
        load(folder, **change)


def test_data_that_is_no_worfbench_is_refused(tmp_path):
    with pytest.raises(InputError, match="git clone"):
        load(tmp_path)
    (tmp_path / "os").mkdir()
    file = tmp_path / "os/graph_eval.json"
    for content, message in (
        ("[{}]", "0.conversations: Field required"),
        (json.dumps([row("no")]), "row 0 has no"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=message) as caught:
            load(tmp_path)
        assert str(caught.value).startswith(f"data={file}: ")
