"""Answers to ACEBench's special samples, and what agents leave behind, made from golds and changed likewise."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from _acebench_changes import changed, cut, empty, mistype, retyped

type Scene = dict[str, Any]
"""An agent's ``result``, the states of its classes, and ``process``, its commands."""
WORDS = {
    "special_incomplete": "Missing necessary parameters ({values}) for the api ({name})",
    "special_error_param": "There is incorrect value ({values}) for the parameters ({name})",
    "special_irrelevant": "Due to the limitations of the function, I cannot solve this problem.",
}


def words(category: str, gold: Any) -> str:
    """What the prompt asks a model to say of a special sample."""
    if isinstance(gold, str):
        return gold
    return "; ".join(WORDS[category].format(name=name, values=", ".join(gold[name])) for name in gold)


def drop_word(text: str, rng: Random) -> str:
    """A word, or several from there on."""
    told = text.split(" ")
    place = rng.randrange(len(told))
    return " ".join(told[:place] + told[place + rng.randint(1, 3) :])


def change_case(text: str, rng: Random) -> str:
    return rng.choice((str.upper, str.lower, str.swapcase, str.title))(text)


def other_words(text: str, rng: Random) -> str:
    """Another category's, before these or in their place."""
    other = rng.choice(list(WORDS.values()))
    return rng.choice((other, f"{other} {text}", text.partition("(")[2], f"{other} {text.partition('(')[2]}"))


def drop_class(scene: Scene, rng: Random) -> Scene:
    scene["result"].pop(rng.randrange(len(scene["result"])))
    return _other_commands(scene, rng)


def repeat_class(scene: Scene, rng: Random) -> Scene:
    """Beside the others, or in the place of one."""
    states = scene["result"]
    place = rng.randrange(len(states))
    states[place : place + rng.randrange(2)] = [rng.choice(states)]
    return _other_commands(scene, rng)


def rename_class(scene: Scene, rng: Random) -> Scene:
    states = scene["result"]
    place = rng.randrange(len(states))
    states[place] = {f"{name}2": attributes for name, attributes in states[place].items()}
    return _other_commands(scene, rng)


def merge_classes(scene: Scene, rng: Random) -> Scene:
    """Two in one object; an empty one beside it, or none."""
    states = scene["result"]
    merged = {**states.pop(), **(states.pop() if states else {"Another": {}})}
    scene["result"] = [*states, merged, *([{}] if rng.randrange(2) else [])]
    return _other_commands(scene, rng)


def reorder_classes(scene: Scene, rng: Random) -> Scene:
    rng.shuffle(scene["result"])
    return _other_commands(scene, rng)


def drop_attribute(scene: Scene, rng: Random) -> Scene:
    return _with_attribute(scene, rng, lambda attributes, key: attributes.pop(key))


def add_attribute(scene: Scene, rng: Random) -> Scene:
    return _with_attribute(
        scene, rng, lambda attributes, key: attributes.update({f"{key}_too": attributes[key]})
    )


def retype_attribute(scene: Scene, rng: Random) -> Scene:
    return _with_attribute(
        scene, rng, lambda attributes, key: attributes.update({key: retyped(attributes[key], rng)})
    )


def change_attribute(scene: Scene, rng: Random) -> Scene:
    return _with_attribute(
        scene, rng, lambda attributes, key: attributes.update({key: changed(attributes[key], rng)})
    )


def change_commands(scene: Scene, rng: Random) -> Scene:
    """The result is wrong, so that the milestones count."""
    state = rng.choice(scene["result"])
    state[next(iter(state))] = {"nothing": None}
    return _other_commands(scene, rng)


def nothing_done(scene: Scene, rng: Random) -> Scene:
    return {"result": [], "process": rng.choice(([], scene["process"]))}


def _with_attribute(scene: Scene, rng: Random, change: Callable[[dict[str, Any], str], Any]) -> Scene:
    attributes = next(iter(rng.choice(scene["result"]).values()))
    if attributes:
        change(attributes, rng.choice(list(attributes)))
    return _other_commands(scene, rng)


def _other_commands(scene: Scene, rng: Random) -> Scene:
    commands: list[str] = list(scene["process"])
    for _ in range(rng.randrange(3)):
        place = rng.randrange(len(commands) + 1)
        now = commands[place : place + 1]
        others = [[], [*now, *now], [f" {one}\n" for one in now], [one[:-1] for one in now], ["[f()]", *now]]
        commands[place : place + 1] = rng.choice(others)
    if not rng.randrange(4):
        rng.shuffle(commands)
    return {**scene, "process": commands}


SPECIAL: dict[str, Callable[[str, Random], str]] = {
    change.__name__: change for change in (drop_word, change_case, other_words, cut, mistype, empty)
}
SCENES: dict[str, Callable[[Scene, Random], Scene]] = {
    change.__name__: change
    for change in (
        *(drop_class, repeat_class, rename_class, merge_classes, reorder_classes),
        *(drop_attribute, add_attribute, retype_attribute, change_attribute, change_commands, nothing_done),
    )
}
