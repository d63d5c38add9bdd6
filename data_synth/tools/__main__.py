"""``python -m data_synth.tools input=[…] output_dir=D``: a collection of tools and its graphs; ``docs/tools.md``."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from data_synth.output_folder import describe as describe_file
from data_synth.tools.curation import CATALOGUE, Collection, Curation, describe, find_files
from data_synth.tools.embedding import open_embedder
from data_synth.tools.folder import (
    DEPENDENCY,
    FILES,
    PICTURE,
    REJECTED,
    SHARING,
    TOOLS,
    check_folder,
    staged,
    write_manifest,
)
from data_synth.tools.graphml import write_graph
from data_synth.tools.graphs import ToolGraphs, build_graphs
from data_synth.tools.normalise import Limits
from data_synth.tools.picture import write_picture
from data_synth.tools.settings import GraphSettings
from data_synth.tools.tool import Tool
from recipes.command import InputError, run, typed


@dataclass(frozen=True)
class CurationConfig:
    """``recipes/tools.yaml``, composed; it explains the keys."""

    input: str | list[str]
    output_dir: Path
    format: Literal["auto", "toolbench", "openapi", "mcp", "bfcl", "acebench", "python", "curated"]
    licence: str | None
    max_chars: int
    max_parameters: int
    max_output_fields: int
    describe_outputs: bool
    embedding: str | None
    embedding_cache: Path | None
    picture_tools: int
    graph: GraphSettings

    @property
    def inputs(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input

    def check(self) -> None:
        """Raise InputError for what can't be done, before anything is read."""
        if not self.inputs:
            raise InputError("input=[]: name a file, a folder, or the word catalogue")
        for key in ("max_chars", "max_parameters", "max_output_fields", "picture_tools"):
            if getattr(self, key) < 1:
                raise InputError(f"{key}={getattr(self, key)}: must be at least 1; leave it out")
        self.graph.check("graph.")
        check_folder(self.output_dir)
        ours = {(self.output_dir / name).resolve() for name in FILES}
        for path, _ in find_files(self.inputs):
            if path.resolve() in ours:
                raise InputError(f"input={path}: would be overwritten; choose another output_dir")


def main(config: DictConfig) -> None:
    """Curate, build the graphs, write all; nothing in ``output_dir`` changes before the end."""
    settings = typed(CurationConfig, config)
    settings.check()
    embed = open_embedder(settings.embedding, settings.embedding_cache)
    with staged(settings.output_dir) as stage:
        curation = _curate(settings, stage)
        tools = curation.collection.tools
        graphs = build_graphs(tools, embed, settings.graph)
        write_graph(stage / DEPENDENCY, graphs.dependency, tools)
        write_graph(stage / SHARING, graphs.sharing, tools)
        write_picture(stage / PICTURE, tools, graphs, settings.picture_tools)
        said = {**describe(tools), **_counts(curation), "graphs": _describe_graphs(graphs)}
        write_manifest(stage, {**said, "settings": _recorded(settings), "source": _sources(settings)})
    print(json.dumps({key: value for key, value in said.items() if key.startswith("num_")} | said["graphs"]))


def _curate(settings: CurationConfig, stage: Path) -> Curation:
    """Read all inputs; ``tools.jsonl`` and ``rejected.jsonl``."""
    limits = Limits(
        settings.max_chars, settings.max_parameters, settings.max_output_fields, settings.describe_outputs
    )
    curation = Curation(Collection(limits, settings.licence), settings.format)
    last = ""
    with (stage / REJECTED).open("w", encoding="utf-8") as rejected:
        for rejection in curation.read(settings.inputs):
            rejected.write(json.dumps(dataclasses.asdict(rejection), ensure_ascii=False) + "\n")
            last = f"{rejection.reason} ({rejection.detail})"
    if not curation.collection.tools:
        why = last or "; ".join(dict.fromkeys(curation.skipped.values()))
        raise InputError(f"input={','.join(settings.inputs)}: no tool in it: {why}; give other files")
    with (stage / TOOLS).open("w", encoding="utf-8") as lines:
        for tool in curation.collection.tools.values():
            lines.write(_line(tool))
    return curation


def _line(tool: Tool) -> str:
    return json.dumps(tool.to_record(), ensure_ascii=False) + "\n"


def _counts(curation: Curation) -> dict[str, Any]:
    return {
        "num_read": curation.collection.num_read,
        "num_rejected": curation.rejected.total(),
        "rejected": dict(sorted(curation.rejected.items())),
        "skipped_files": curation.skipped,
    }


def _describe_graphs(graphs: ToolGraphs) -> dict[str, Any]:
    links = [link for _, _, data in graphs.dependency.edges(data=True) for link in data["links"]]
    grounds = Counter(link["reason"].split(":")[0].split(" (")[0].split(" ")[0] for link in links)
    names = {"kind": "kind", "same": "same_name", "similar": "similar_name", "close": "close_description"}
    return {
        "num_dependency_edges": graphs.dependency.number_of_edges(),
        "num_links": len(links),
        "links_by_ground": {names[ground]: number for ground, number in sorted(grounds.items())},
        "num_sharing_edges": graphs.sharing.number_of_edges(),
        "num_tools_in_dependency": sum(1 for _, degree in graphs.dependency.degree() if degree),
        "num_tools_in_sharing": sum(1 for _, degree in graphs.sharing.degree() if degree),
    }


def _recorded(settings: CurationConfig) -> dict[str, Any]:
    """What decides the bytes of the output."""
    values = dataclasses.asdict(settings)
    return {key: value for key, value in values.items() if key not in ("output_dir", "embedding_cache")}


def _sources(settings: CurationConfig) -> dict[str, Any]:
    sources: dict[str, Any] = {str(path): describe_file(path) for path, _ in find_files(settings.inputs)}
    return sources | ({CATALOGUE: "built in"} if CATALOGUE in settings.inputs else {})


if __name__ == "__main__":
    run("tools", main)
