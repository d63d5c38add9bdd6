"""The scripted agent's words to the user: questions for what is missing, summaries of what came out."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted
from data_synth.simulator.effects import effect_of
from data_synth.tasks.decomposition.wording import plural, question
from data_synth.tasks.tool_augmented.situation import Result, Situation
from data_synth.tasks.tool_augmented.wording import NUM_ITEMS, Words, details, entity_name, records_of

GROUP = "summary"


@scripted("clarify")
def write_question(variables: Mapping[str, Any], rng: Random) -> dict[str, str]:
    """A question per missing value."""
    facts: Situation = variables["facts"]
    words = Words(variables["language"], rng)
    questions = list(
        dict.fromkeys(question(one.tool, one.parameter, words.language) for one in facts.missing)
    )
    asked = words.sentences(questions)
    opening = words.say("clarify", "opening")
    if opening.endswith((": ", "，")) and words.language == "en":
        asked = asked[:1].lower() + asked[1:]
    return {"reply": f"{opening}{asked}{words.say('clarify', 'closing')}".strip()}


@scripted("summary")
def write_summary(variables: Mapping[str, Any], rng: Random) -> dict[str, str]:
    """What each call of the turn came to, and what wasn't done."""
    facts: Situation = variables["facts"]
    words = Words(variables["language"], rng)
    parts = [_result(result, words) for result in facts.results]
    parts += _ruled_out(facts, words)
    text = words.sentences([part[:1].upper() + part[1:] for part in parts])
    return {"reply": f"{words.say(GROUP, 'opening')}{text}{words.say(GROUP, 'closing')}".strip()}


def _result(result: Result, words: Words) -> str:
    tool, effect = result.tool, effect_of(result.tool)
    entity = entity_name(tool, effect, words.language)
    several = {"entity": entity, "entities": plural(entity) if words.language == "en" else entity}
    records = records_of(tool, result.answer)
    if records is not None:
        if not records:
            return words.say(GROUP, "none", **several)
        items = [_item(record, result, words) for record in records[:NUM_ITEMS]]
        key = "found_one" if len(records) == 1 else "found"
        if len(records) > NUM_ITEMS:
            items[0] = ("其中有" if words.language == "zh" else "among them ") + items[0]
        separator = "；" if words.language == "zh" else "; "
        return words.say(GROUP, key, number=len(records), items=separator.join(items), **several)
    record = dict(result.answer)
    for place in effect.place or ():
        record = record[place] if isinstance(record.get(place), dict) else record
    goal = words.goal(tool, result.arguments)
    told = details(record, result.arguments)
    if not told:
        return words.say(GROUP, "plain", goal=goal)
    action = effect.action if effect.action in words.phrases[GROUP] else "get"
    if not tool.hints and action in ("get", "create"):
        action = "compute"  # what it is about is a guess from its name
    verb = tool.name.split("_")[0].lower()
    deleted = words.phrases["deleted"].get(verb, words.phrases["deleted"]["delete"])
    pairs = words.pairs(tool, told)
    return words.say(GROUP, action, entity=entity, deleted=deleted, goal=goal, details=pairs)


def _item(record: Any, result: Result, words: Words) -> str:
    """One entry of a list: its name, and what is told of it."""
    if not isinstance(record, dict):
        return str(record)
    told = details(record, result.arguments)
    field = effect_of(result.tool).field
    if field in told and len(told) > 2:
        name = words.value(result.tool, field, told.pop(field))
        rest = words.joined([words.pair(result.tool, key, value) for key, value in list(told.items())[:2]])
        return f"{name}（{rest}）" if words.language == "zh" else f"{name} ({rest})"
    return words.pairs(result.tool, dict(list(told.items())[:3]))


def _ruled_out(facts: Situation, words: Words) -> list[str]:
    """The branch that wasn't taken, once per reason."""
    failed = [verdict for verdict in facts.verdicts if not verdict.holds]
    if not facts.skipped or not failed:
        return []
    goal = words.joined(list(dict.fromkeys(words.told(tool) for tool in facts.skipped)))
    return [
        words.say(
            GROUP, "ruled_out", goal=goal, observed=words.observed(failed[0]), source=failed[0].tool.name
        )
    ]
