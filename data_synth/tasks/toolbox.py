"""What the tasks that plan with tools share: the tools of the run's split, their graphs, the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from random import Random
from threading import RLock
from typing import Any

from data_synth.config import Settings
from data_synth.llm import open_model
from data_synth.llm.model import Model
from data_synth.tasks.base import Split, in_turn
from data_synth.tools.collection import load_tools, tool_split, tools_of_split
from data_synth.tools.embedding import open_embedder
from data_synth.tools.graphs import ToolGraphs, build_graphs
from data_synth.tools.tool import Tool
from recipes.command import InputError


class Toolbox:
    """Tools, graphs and model of a run.

    Pickled it is its settings alone: another process builds the rest at its first use, once for all tasks; a forked
    worker has what its parent built. Everything but the model is read-only.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def open(cls, settings: Settings) -> Toolbox:
        """A toolbox of the run's split, tools and graphs built, so that forked workers share them.

        Raises:
            InputError: no tools can be read, or the split has fewer than two.
        """
        toolbox = cls(settings)
        _ = toolbox.graphs
        return toolbox

    @cached_property
    def tools(self) -> dict[str, Tool]:
        """The run's tools by name."""
        tools = _tools(self.settings)
        if len(tools) < 2:
            raise InputError(
                f"split={self.settings.split}: leaves {len(tools)} tools; raise its share, or give more with tools.path"
            )
        return tools

    @cached_property
    def graphs(self) -> ToolGraphs:
        """Dependency and sharing between the run's tools."""
        return _graphs(self.settings, self.tools)

    @cached_property
    def model(self) -> Model:
        """The model of ``llm=…``."""
        return _model(self.settings)

    @property
    def languages(self) -> tuple[str, ...]:
        """In the order in which rows take turns."""
        return self.settings.languages

    def language(self, turn: int) -> str:
        """The language of a turn."""
        return in_turn(self.languages, turn)[0]

    def tool_at(self, position: int) -> Tool:
        """The tools in turn: each once in a shuffled order, then each once in another."""
        names = list(self.tools)
        order = _order(tuple(names), f"{self.settings.seed}/{position // len(names)}")
        return self.tools[order[position % len(names)]]

    def distractors(self, used: Iterable[str], number: int, rng: Random) -> list[Tool]:
        """At most ``number`` other tools, half of them from the domains of ``used``."""
        taken = set(used)
        domains = {self.tools[name].domain for name in taken}
        others = [name for name in self.tools if name not in taken]
        near = [name for name in others if self.tools[name].domain in domains]
        chosen = rng.sample(near, min(number - number // 2, len(near)))
        rest = [name for name in others if name not in chosen]
        chosen += rng.sample(rest, min(number - len(chosen), len(rest)))
        return [self.tools[name] for name in chosen]

    def split_of(self, names: Iterable[str]) -> Split:
        """The split of a row that shows the named tools: the one furthest from training that any belongs to."""
        settings = self.settings
        splits = {tool_split(name, settings.test_share, settings.validation_share) for name in names}
        return next((split for split in ("test", "validation") if split in splits), "train")

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}


def _tools(settings: Settings) -> dict[str, Tool]:
    tools: dict[str, Tool] = _shared(settings)["tools"]
    return tools


def _graphs(settings: Settings, tools: Mapping[str, Tool]) -> ToolGraphs:
    with _BUILDING:
        shared = _shared(settings)
        if "graphs" not in shared:
            choice = settings.tools
            embed = open_embedder(choice.embedding, choice.embedding_cache, "tools.embedding")
            shared["graphs"] = build_graphs(tools, embed, choice.graph)
        graphs: ToolGraphs = shared["graphs"]
        return graphs


def _model(settings: Settings) -> Model:
    """One for all tasks of a process, so that its cache, budget and patience are one."""
    key = repr((settings.llm, settings.seed))
    with _BUILDING:
        if key not in _MODELS:
            _MODELS[key] = open_model(settings.llm, settings.seed)
        return _MODELS[key]


_MODELS: dict[str, Model] = {}
_SHARED: dict[str, dict[str, Any]] = {}
_BUILDING = RLock()
"""Rows of an endpoint are made in many threads, and the first of them all need the same."""


def _shared(settings: Settings) -> dict[str, Any]:
    """What several toolboxes of one process have in common, by the settings that decide it."""
    key = repr((settings.tools, settings.split, settings.test_share, settings.validation_share))
    with _BUILDING:
        if key not in _SHARED:
            everything = load_tools(settings.tools)
            shares = (settings.test_share, settings.validation_share)
            _SHARED[key] = {"tools": tools_of_split(everything, settings.split, *shares)}
        return _SHARED[key]


@cache
def _order(names: tuple[str, ...], stream: str) -> tuple[str, ...]:
    order = list(names)
    Random(f"tools/{stream}").shuffle(order)
    return tuple(order)


def public_tool(tool: Tool, language: str) -> dict[str, Any]:
    """As a row's ``tools`` holds it: described in the row's language where the tool knows it."""
    public = tool.to_openai()
    if language == "zh" and tool.hints.get("description_zh"):
        public["function"]["description"] = tool.hints["description_zh"]
    return public
