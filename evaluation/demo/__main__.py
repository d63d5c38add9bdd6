"""``python -m evaluation.demo``: talk to an agent, in the terminal or on a page of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from omegaconf import DictConfig

from evaluation.client import Generation
from evaluation.command import start
from evaluation.demo.agent import Agent, Loop, ToolFormat
from evaluation.demo.events import Answering, Session
from evaluation.demo.router import Member, Router, Routing
from evaluation.demo.sample import Reach, real_tools
from evaluation.demo.stream import Server, StreamClient
from evaluation.demo.terminal import answer_one, chat
from evaluation.demo.toolbox import Tool, Toolbox
from evaluation.demo.travel import TravelAgent, Trips, find_trip, load_trips
from evaluation.demo.web import Page, Shown
from evaluation.score import Gold
from recipes.command import InputError, typed

TOOLS_SYSTEM = """You are a helpful assistant with tools. Look facts up with them instead of guessing, and compute \
with the calculator. If a tool reports an error, mend the call or try another way. Then answer the user shortly."""


@dataclass(frozen=True)
class DemoSettings:
    """``recipes/demo.yaml``."""

    demo: Literal["tools", "travel", "router"]
    purpose: str
    examples: tuple[str, ...]
    question: str | None
    trip: int | None
    serve: bool
    port: int
    tool_format: ToolFormat
    thinking: bool | None
    seed: int
    endpoint: Server
    generation: Generation
    loop: Loop
    tools: Reach
    router: Routing
    gold: Gold

    def __post_init__(self) -> None:
        if self.trip is not None and self.demo != "travel":
            raise InputError(f"trip={self.trip}: demo={self.demo} plans no trip of its own; take demo=travel")
        if self.question is not None and not self.question.strip():
            raise InputError("question=: empty; ask something, or leave it out to chat")
        given = [key for key in ("question", "trip") if getattr(self, key) is not None]
        if len(given) > 1:
            raise InputError("question=…: trip= is a question already; give one of the two")
        if given and self.serve:
            raise InputError(
                f"{given[0]}=…: with serve=true questions are asked on the page; leave one of them out"
            )


def main(config: DictConfig) -> None:
    """Answer ``question`` or ``trip`` (status 1 if that fails), serve the page, or chat."""
    settings = typed(DemoSettings, config)
    client = StreamClient(settings.endpoint, settings.generation, settings.seed, settings.thinking)
    trips = load_trips(settings.gold.data)
    with real_tools(settings.tools) as tools:

        def new_session() -> Session:
            return Session(_agent(settings, client, tools, trips))

        question = (
            find_trip(trips, settings.trip).question if settings.trip is not None else settings.question
        )
        if question is not None:
            sys.exit(0 if answer_one(new_session(), question) else 1)
        if settings.serve:
            _serve(settings, new_session)
        else:
            title = f"{settings.demo}: {settings.purpose} ({settings.endpoint.model})"
            chat(new_session(), title, settings.examples)


def _agent(settings: DemoSettings, client: StreamClient, tools: list[Tool], trips: Trips) -> Answering:
    loop, tool_format = settings.loop, settings.tool_format
    toolbox = Toolbox(tools, loop.max_result_characters)
    caller = Agent(client, TOOLS_SYSTEM, toolbox, tool_format, loop)
    planner = TravelAgent(client, trips, tool_format, loop)
    if settings.demo == "router":
        names = ", ".join(tool.name for tool in tools)
        team = {
            "tools": Member(
                caller, f"computes and looks facts up in a shop's database, notes and pages ({names})"
            ),
            "travel": Member(
                planner, f"plans the trips that it knows by number; there are\n{trips.overview}"
            ),
        }
        return Router(client, team, settings.router, loop)
    return caller if settings.demo == "tools" else planner


def _serve(settings: DemoSettings, new_session: Callable[[], Session]) -> None:
    shown = Shown(settings.demo, settings.purpose, settings.endpoint.model, settings.examples)
    with Page(settings.port, shown, new_session) as page:
        print(f"the page: {page.address}\nCtrl-C ends it", flush=True)
        try:
            page.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    start("demo", main, texts=frozenset({"question"}))
