"""The scripted model's grammars of the setting, the agent's recoveries and the user's corrections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted
from data_synth.package_data import read_yaml
from data_synth.tasks.decomposition.value_wording import Style, say_value
from data_synth.tasks.decomposition.wording import sentence

NUM_THEMES = 3
"""Matters that the first request names."""


@cache
def phrases(language: str) -> Mapping[str, Any]:
    """``phrases.yaml`` in one language."""
    found: Mapping[str, Any] = read_yaml("data_synth.tasks.long_horizon", "phrases.yaml")[language]
    return found


@scripted("task_setup")
def write_setup(variables: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    """Problem and first request by the requests' domains, and a choice of rules."""
    words = phrases(variables["language"])
    domains = list(dict.fromkeys(name for request in variables["requests"] for name in request["domains"]))
    themes = [words["themes"].get(name, name.replace("_", " ")) for name in domains]
    shown = themes[:NUM_THEMES]
    if len(themes) > NUM_THEMES or not themes:
        shown = [*shown, words["more"]]
    matters = _joined(shown, words)
    rules = list(words["rules"])
    return {
        "problem": rng.choice(words["problem"]).replace("{}", matters),
        "rules": [rules[place] for place in sorted(rng.sample(range(len(rules)), rng.randint(2, 4)))],
        "request": sentence(rng.choice(words["request"]).replace("{}", matters)),
    }


@scripted("respond")
def respond(variables: Mapping[str, Any], rng: Random) -> dict[str, str]:
    """Thought and words for what no plan foresees."""
    words, kind = phrases(variables["language"]), variables["kind"]
    error = str(variables["error"]).rstrip(".。")
    said = {
        "tool": variables["tool"],
        "error": error,
        "label": variables["label"],
        "value": variables["value"],
    }
    content = rng.choice(words[kind]).format_map(said) if kind in words else ""
    return {"thought": rng.choice(words[f"{kind}_thought"]).format_map(said), "content": content}


@scripted("follow_up")
def follow_up(variables: Mapping[str, Any], rng: Random) -> dict[str, str]:
    """Another value for one that didn't work, or the last words."""
    words, language = phrases(variables["language"]), variables["language"]
    if variables["kind"] == "farewell":
        return {"message": rng.choice(words["goodbye"])}
    value = say_value(variables["value"], variables["value_schema"], {}, Style.draw(language, rng))
    return {"message": rng.choice(words["alternative"]).format(label=variables["label"], value=value)}


def _joined(parts: Sequence[str], words: Mapping[str, Any]) -> str:
    if len(parts) == 1:
        return parts[0]
    return str(words["comma"].join(parts[:-1]) + words["and"] + parts[-1])
