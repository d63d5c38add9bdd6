"""The scripted reasoning agent: hindsight thoughts that say which tool, why, and where each argument is from."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted
from data_synth.tasks.decomposition.wording import label
from data_synth.tasks.tool_augmented.machine import Event
from data_synth.tasks.tool_augmented.situation import GoldCall, Situation, Source
from data_synth.tasks.tool_augmented.wording import Words, has_list

GROUP = "thought"


@scripted("reasoning")
def write_thought(variables: Mapping[str, Any], rng: Random) -> dict[str, str]:
    """The thought before a message."""
    facts: Situation = variables["facts"]
    words = Words(variables["language"], rng)
    parts = _verdicts(facts, words)
    match facts.event:
        case Event.CLARIFICATION:
            parts += _clarification(facts, words)
        case Event.TERMINATION:
            parts += _termination(facts, words)
        case _:
            parts += _calls(facts, words)
    return {"thought": words.sentences(parts)}


def _verdicts(facts: Situation, words: Words) -> list[str]:
    """What the last observation decided."""
    parts = []
    told: set[str] = set()
    for verdict in facts.verdicts:
        if repr(verdict.condition.negated()) in told:
            continue  # the other case of the same question
        told.add(repr(verdict.condition))
        parts.append(
            words.say(
                GROUP,
                "holds" if verdict.holds else "fails",
                source=verdict.tool.name,
                observed=words.observed(verdict),
                condition=words.condition(verdict),
            )
        )
    if facts.skipped and facts.verdicts:
        goal = words.joined(list(dict.fromkeys(words.purpose(tool) for tool in facts.skipped)))
        parts.append(words.say(GROUP, "ruled_out", goal=goal))
    return parts


def _calls(facts: Situation, words: Words) -> list[str]:
    parts = []
    goal = words.joined([words.goal(call.tool, call.arguments) for call in facts.calls])
    answered = any(source.origin == "reply" for call in facts.calls for source in call.sources)
    if not facts.opening:
        parts.append(words.say(GROUP, "next", goal=goal))
    elif answered:
        parts.append(words.say(GROUP, "answered", goal=goal))
    else:
        parts.append(words.say(GROUP, "opening_more" if facts.later else "opening", goal=goal))
    brief = len(facts.calls) > 2
    for call in facts.calls:
        parts += _call(call, words, several=len(facts.calls) > 1, brief=brief)
    if len(facts.calls) == 2 or brief:
        number = slice(None) if len(facts.calls) == 2 else slice(0, 2)
        parts.append(words.rng.choice(words.phrases[GROUP]["together"][number]))
    return parts


def _call(call: GoldCall, words: Words, several: bool, brief: bool) -> list[str]:
    """Why this tool, and where its arguments come from."""
    tool = call.tool
    key = "choose_short" if brief else "choose" if tool.hints else "choose_quoted"
    parts = [words.say(GROUP, key, tool=tool.name, purpose=words.purpose(tool))]
    for origin in ("user", "reply"):
        values = {source.name: source.value for source in call.sources if source.origin == origin}
        if values:
            key = "user_tool" if several and origin == "user" else origin
            parts.append(words.say(GROUP, key, tool=tool.name, pairs=words.pairs(tool, values)))
    parts += [_observed(call, source, words) for source in call.sources if source.tool is not None]
    if not call.sources:
        parts.append(words.say(GROUP, "nothing", tool=tool.name))
    return [_capital(part, call) for part in parts]


def _observed(call: GoldCall, source: Source, words: Words) -> str:
    assert source.tool is not None
    called = label(call.tool, source.name, words.language)
    return words.say(
        GROUP,
        "observation_list" if has_list(source.tool, source.path) else "observation",
        source=source.tool.name,
        label=called,
        value=words.value(call.tool, source.name, source.value),
    )


def _clarification(facts: Situation, words: Words) -> list[str]:
    parts = []
    for tool in dict.fromkeys(one.tool.name for one in facts.missing):
        missing = [one for one in facts.missing if one.tool.name == tool]
        labels = words.joined([label(one.tool, one.parameter, words.language) for one in missing])
        parts.append(words.say(GROUP, "missing", tool=tool, labels=labels))
    return [*parts, words.say(GROUP, "ask")]


def _termination(facts: Situation, words: Words) -> list[str]:
    names = list(dict.fromkeys(result.tool.name for result in facts.results))
    if names and words.rng.random() < 0.6:
        return [words.say(GROUP, "finish_results", tools=words.joined(names))]
    return [words.say(GROUP, "finish")]


def _capital(text: str, call: GoldCall) -> str:
    """A capital letter at the start, unless a tool's name stands there."""
    if text.startswith(call.tool.name) or any(s.tool and text.startswith(s.tool.name) for s in call.sources):
        return text
    return text[:1].upper() + text[1:]
