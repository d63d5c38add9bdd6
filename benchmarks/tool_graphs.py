"""The tool graphs against the loop over all pairs; 5,000 tools' graphs; 20,000 tools through the whole command.

Both ways of building get the same tools and the same matcher and must give the same edges; the loop
(`_tool_graphs_twin.py`) compares every output field of every tool with every required parameter of every other, and
every two tools' parameters. No registry has a package that builds such graphs, so the straightforward loop is what
there is to compare with. Tools are real ones and, beyond their number, variants of them (`_tool_variants.py`).
CPU time of one process; the command's is measured from outside, its memory as the system's high-water mark.

    python benchmarks/tool_graphs.py [--full]
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _result import entry
from _tool_graphs_twin import all_pairs_links, all_pairs_sharing
from _tool_variants import LIMITS, real_tools, write_variants

from data_synth.tools.catalogue import load_catalogue
from data_synth.tools.curation import Collection, Curation
from data_synth.tools.graphs import ToolGraphs, build_graphs
from data_synth.tools.settings import GraphSettings
from data_synth.tools.tool import Tool

NUM_COMPARED, NUM_COMPARED_FULL = 350, 700
NUM_BUILT, SECONDS = 5_000, 180.0
NUM_CURATED, MEBIBYTES = 20_000, 6 * 1024.0


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"compare on {NUM_COMPARED_FULL} tools")
    full = parser.parse_args().full
    print(
        f"ours: data_synth.tools.graphs, networkx {version('networkx')}, numpy {version('numpy')}; baseline: the loop"
        f" over all pairs; Python {platform.python_version()}"
    )
    tools = real_tools()
    print(f"{len(tools):,} real tools at hand")
    results = [_against_all_pairs(tools, NUM_COMPARED_FULL if full else NUM_COMPARED)]
    results.append(_build(tools))
    results += _curate(tools)
    print(json.dumps(results))


def _against_all_pairs(tools: dict[str, Tool], number: int) -> dict[str, Any]:
    settings = GraphSettings.default()
    some = _half_built_in(tools, number)
    ours, graphs = _timed(lambda: build_graphs(some, settings=settings))
    theirs, edges = _timed(lambda: (all_pairs_links(some, settings), all_pairs_sharing(some, settings)))
    assert _edges(graphs) == edges, "the two ways of building differ"
    print(
        f"{len(some)} tools, {len(edges[0]):,} dependencies, {len(edges[1]):,} shared: ours {ours:.2f} s, all pairs"
        f" {theirs:.1f} s, the same edges"
    )
    return entry(
        "tool_graphs/all_pairs", theirs / ours, 1.0, "higher", len(some) / ours, len(some) / theirs, "tools/s"
    )


def _half_built_in(tools: dict[str, Tool], number: int) -> dict[str, Tool]:
    """The catalogue's tools have many links, imported ones few."""
    built_in, rng = load_catalogue(), random.Random(0)
    imported = [item for item in tools.items() if item[0] not in built_in]
    chosen = rng.sample(list(built_in.items()), min(number // 2, len(built_in)))
    return dict(chosen + rng.sample(imported, min(number // 2, len(imported))))


def _edges(graphs: ToolGraphs) -> tuple[dict[Any, Any], dict[Any, Any]]:
    links = {(a, b): data["links"] for a, b, data in graphs.dependency.edges(data=True)}
    return links, {(a, b): data["score"] for a, b, data in graphs.sharing.edges(data=True)}


def _build(tools: dict[str, Tool]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "variants.jsonl"
        write_variants(tools, NUM_BUILT, 0, path)
        curation = Curation(Collection(LIMITS, licence=None), "auto")
        for _ in curation.read([str(path)]):
            pass
    many = dict(list((tools | curation.collection.tools).items())[:NUM_BUILT])
    seconds, graphs = _timed(lambda: build_graphs(many))
    print(
        f"{len(many):,} tools: {seconds:.1f} s for {graphs.dependency.number_of_edges():,} dependencies and"
        f" {graphs.sharing.number_of_edges():,} shared"
    )
    return entry("tool_graphs/5000_tools", seconds / SECONDS, 1.0, "lower", seconds, SECONDS, "s")


def _curate(tools: dict[str, Tool]) -> list[dict[str, Any]]:
    """The whole command on real tools and variants, until 20,000 tools are in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "variants.jsonl"
        write_variants(tools, NUM_CURATED + 2_000, 1, path)
        size = path.stat().st_size / 2**20
        command = [sys.executable, "-m", "data_synth.tools", f"input={path}", f"output_dir={folder}/out"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        manifest = json.loads((Path(folder) / "out" / "manifest.json").read_text(encoding="utf-8"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    assert manifest["num_tools"] >= NUM_CURATED, manifest["num_tools"]
    print(
        f"python -m data_synth.tools, {size:.0f} MiB of functions: {manifest['num_tools']:,} tools,"
        f" {manifest['num_rejected']:,} rejected {manifest['rejected']}, {manifest['graphs']}: {seconds:.0f} s,"
        f" {peak:,.0f} MiB at the most"
    )
    return [
        entry("tool_graphs/curation_20000", seconds / SECONDS, 1.0, "lower", seconds, SECONDS, "s"),
        entry("tool_graphs/memory_20000", peak / MEBIBYTES, 1.0, "lower", peak, MEBIBYTES, "MiB"),
    ]


def _timed[Result](work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


if __name__ == "__main__":
    main()
