"""``python -m data_synth.tools`` as a user runs it: files that agree, the same bytes, one-line errors."""

import hashlib
import json
import re
import sys
from pathlib import Path

import pytest
from commands import must_run, run_module
from jsonschema import Draft202012Validator

from data_synth.tools.collection import read_tools
from data_synth.tools.graphml import read_graph

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from _tool_variants import write_variants

from data_synth.tools.catalogue import load_catalogue

BROKEN = [
    {"name": "fine", "description": "Does something", "parameters": {"type": "dict", "properties": {}}},
    {"name": "", "description": "Nameless", "parameters": {}},
    {"name": "silent", "description": "", "parameters": {}},
    {
        "name": "odd",
        "description": "Odd",
        "parameters": {"type": "dict", "properties": {"a": {"type": "wobble"}}},
    },
    {"name": "fine", "description": "does something", "parameters": {"type": "object"}},
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Variants of catalogue tools, and a list with all kinds of broken ones."""
    folder = tmp_path_factory.mktemp("tools")
    write_variants(load_catalogue(), 400, 0, folder / "variants.jsonl")
    (folder / "broken.json").write_text(json.dumps(BROKEN))
    (folder / "other.json").write_text('{"no": "tools"}')
    return folder


@pytest.fixture(scope="module")
def output(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "collection"
    must_run("data_synth.tools", f"input=[catalogue,{inputs}]", f"output_dir={folder}")
    return folder


def test_the_files_agree(output, inputs):
    manifest = json.loads((output / "manifest.json").read_text())
    tools = read_tools(output / "tools.jsonl")
    rejected = [json.loads(line) for line in (output / "rejected.jsonl").read_text().splitlines()]
    assert manifest["kind"] == "data_synth.tools" and manifest["num_tools"] == len(tools) > 600
    assert manifest["num_read"] == len(tools) + len(rejected) == len(load_catalogue()) + 400 + len(BROKEN)
    reasons = [entry["reason"] for entry in rejected if "broken" in entry["place"]]
    assert reasons == ["no_name", "no_description", "bad_schema", "duplicate"]
    assert sum(manifest["rejected"].values()) == len(rejected) == manifest["num_rejected"]
    assert list(manifest["skipped_files"]) == [str(inputs / "other.json")]
    for name, described in manifest["files"].items():
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == described["sha256"]
    assert {path.name for path in output.iterdir() if not path.name.startswith(".")} == {
        *manifest["files"],
        "manifest.json",
    }


def test_every_tool_is_valid_and_known_to_the_graphs(output):
    tools = read_tools(output / "tools.jsonl")
    manifest = json.loads((output / "manifest.json").read_text())
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.parameters)
        Draft202012Validator.check_schema(tool.output)
        assert tool.licence and tool.source and set(tool.required) <= set(tool.properties)
    for name in ("dependency", "sharing"):
        graph = read_graph(output / f"{name}.graphml")
        assert list(graph) == list(tools)
        assert graph.number_of_edges() == manifest["graphs"][f"num_{name}_edges"] > 300
        assert all(0 < data["score"] <= 1 for *_, data in graph.edges(data=True))


def test_the_picture_needs_nothing_else(output):
    page = (output / "graphs.html").read_text()
    assert not re.search(
        r'(?:src|href)\s*=\s*["\']|@import|url\(|fetch\(|https?://', page.split('id="data"')[0]
    )
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    data = json.loads(found[1])
    names = {entry[0] for entry in data["tools"]}
    assert names <= set(read_tools(output / "tools.jsonl")) and len(names) > 600
    discs = data["domains"]
    for place, (_, x, y, radius) in enumerate(discs):
        assert all((x - a) ** 2 + (y - b) ** 2 >= (radius + r) ** 2 for _, a, b, r in discs[:place])
    assert all(edge[3] and max(edge[:2]) < len(names) for edge in data["links"] + data["pairs"])


def test_the_same_inputs_give_the_same_bytes(output, inputs, tmp_path):
    must_run("data_synth.tools", f"input=[catalogue,{inputs}]", f"output_dir={tmp_path / 'again'}")
    for path in output.iterdir():
        name = path.name
        assert (tmp_path / "again" / name).read_bytes() == (output / name).read_bytes(), name


def test_collections_are_merged_and_replaced(output, inputs, tmp_path):
    first = output / "tools.jsonl"
    for _ in range(2):
        must_run(
            "data_synth.tools",
            f"input=[{first},{inputs}/broken.json]",
            f"output_dir={tmp_path}/m",
            "licence=MIT",
        )
    merged, before = read_tools(tmp_path / "m" / "tools.jsonl"), read_tools(first)
    assert merged == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["input=none.json"], "input=none.json: no such file"),
        (["input=[]"], "input=[]"),
        (["input={folder}/other.json"], "none of python"),
        (["input={folder}/broken.json", "format=openapi"], "not openapi"),
        (["input={folder}/broken.json", "format=pdf"], "format=pdf"),
        (["input=catalogue", "graph.min_score=2"], "graph.min_score=2"),
        (["input=catalogue", "graph.links_per_tool=0"], "graph.links_per_tool=0"),
        (["input=catalogue", "max_chars=0"], "max_chars=0"),
        (["input=catalogue", "embedding=nowhere"], "embedding=nowhere"),
        (["input=catalogue", "colour=red"], "colour"),
        (["input={folder}/empty.json"], "no tool in it: no_description"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(inputs, tmp_path, arguments, message):
    (inputs / "empty.json").write_text(json.dumps(BROKEN[2]))
    target = tmp_path / "out"
    given = [argument.format(folder=inputs) for argument in arguments]
    done = run_module("data_synth.tools", *given, f"output_dir={target}")
    (inputs / "empty.json").unlink()
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not target.exists()


def test_other_folders_are_left_alone(output, inputs, tmp_path):
    (tmp_path / "tools.jsonl").write_text("mine")
    done = run_module("data_synth.tools", f"input={inputs}/broken.json", f"output_dir={tmp_path}")
    assert done.returncode == 2 and "files of the same names" in done.stderr
    assert (tmp_path / "tools.jsonl").read_text() == "mine"
    done = run_module("data_synth.tools", f"input={output}/tools.jsonl", f"output_dir={output}")
    assert done.returncode == 2 and "would be overwritten" in done.stderr
