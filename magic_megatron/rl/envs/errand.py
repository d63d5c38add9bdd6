"""Errand: fetch a thing and put it down in another room. Small enough that a tiny model learns it in minutes.

A hall joins the rooms. What lies in a room is seen only there, so that the agent has to look; the goal says what to
fetch and where to. ``valid_seen`` has other errands with the words of the training set, ``valid_unseen`` has things
that are never trained on as targets.
"""

from __future__ import annotations

import random
from typing import Any

from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.rl.envs.base import Environment, Instance, Observation, register
from recipes.command import InputError

ROOMS = ("kitchen", "study", "garden", "attic", "cellar", "garage")
THINGS = ("apple", "book", "cup", "key", "lamp", "map", "pen", "rope", "shoe", "torch")
UNSEEN = ("rope", "shoe", "torch")
"""Things that only ``valid_unseen`` asks for; elsewhere they lie around."""
SPLITS = ("train", "valid_seen", "valid_unseen")
HALL = "hall"
SEEN_SHARE = 5
"""One errand in so many of the known things belongs to ``valid_seen``."""


@register("errand")
class Errand(Environment):
    """One errand. An instance says where each thing lies at the start."""

    introduction = "You walk through a house."

    def __init__(self, config: EnvConfig) -> None:
        super().__init__(config)
        self._instance: Instance = {}
        self._room = HALL
        self._held: str | None = None
        self._lying: dict[str, str] = {}

    @classmethod
    def instances(cls, config: EnvConfig, split: str) -> list[Instance]:
        """``num_instances`` errands (of a validation split ``num_validation_instances``), drawn by ``options.seed``.

        Raises:
            InputError: no such split, an option out of range, or no number of instances.
        """
        options = config.options
        _check(options, split)
        key = "num_instances" if split == config.train_split else "num_validation_instances"
        number = getattr(config, key)
        if number is None:
            raise InputError(f"env.{key}=null: errands don't run out; give a number")
        rng = random.Random(f"{options['seed']}/{split}")
        found: list[Instance] = []
        while len(found) < number:
            drawn = _draw(rng, options["num_rooms"], options["num_things"], split)
            if _split(drawn) == split:
                found.append(
                    drawn | {"id": f"{split}/{len(found):06d}", "environment": cls.name, "split": split}
                )
        return found

    @classmethod
    def plan(cls, instance: Instance) -> list[str]:
        """Straight to the thing, and with it to its place."""
        source, target = instance["lying"][instance["thing"]], instance["target"]
        there = [f"go to {source}", f"take {instance['thing']}"]
        return [*there, f"go to {HALL}", f"go to {target}", f"drop {instance['thing']}"]

    def _start(self, instance: Instance) -> Observation:
        self._instance, self._room, self._held = instance, HALL, None
        self._lying = dict(instance["lying"])
        return self._observe(f"You are in the {HALL}.")

    def _act(self, action: str) -> tuple[Observation, bool]:
        verb, _, rest = action.partition(" ")
        if verb == "go":
            self._room = rest.removeprefix("to ")
            return self._observe(f"You are in the {self._room}."), False
        if verb == "take":
            self._held = rest
            del self._lying[rest]
            return self._observe(f"You take the {rest}."), False
        self._held = None
        self._lying[rest] = self._room
        won = rest == self._instance["thing"] and self._room == self._instance["target"]
        return self._observe(f"You drop the {rest}."), won

    def _observe(self, event: str) -> Observation:
        here = sorted(thing for thing, room in self._lying.items() if room == self._room)
        seen = f" You see {', '.join(here)}." if here else ""
        held = f" You hold {self._held}." if self._held else ""
        exits = self._instance["rooms"] if self._room == HALL else [HALL]
        actions = [f"go to {room}" for room in exits]
        actions += [f"drop {self._held}"] if self._held else [f"take {thing}" for thing in here]
        goal = f"bring the {self._instance['thing']} to the {self._instance['target']}"
        return Observation(event + seen + held, tuple(actions), goal)


def _draw(rng: random.Random, num_rooms: int, num_things: int, split: str) -> Instance:
    rooms = list(ROOMS[:num_rooms])
    wanted = rng.choice([thing for thing in THINGS if (thing in UNSEEN) == (split == "valid_unseen")])
    others = rng.sample([thing for thing in THINGS if thing != wanted], num_things - 1)
    source, target = rng.sample(rooms, 2)
    lying = {wanted: source} | {thing: rng.choice(rooms) for thing in others}
    return {"rooms": rooms, "thing": wanted, "target": target, "lying": dict(sorted(lying.items()))}


def _split(instance: Instance) -> str:
    """By what is asked for and where it lies, so that no errand is in two splits."""
    thing = instance["thing"]
    if thing in UNSEEN:
        return "valid_unseen"
    places = (instance["lying"][thing], instance["target"])
    number = THINGS.index(thing) + sum(
        ROOMS.index(place) * weight for place, weight in zip(places, (1, 2), strict=True)
    )
    return "valid_seen" if number % SEEN_SHARE == 0 else "train"


def _check(options: dict[str, Any], split: str) -> None:
    if split not in SPLITS:
        raise InputError(f"env.train_split={split}: no such split; choose one of {', '.join(SPLITS)}")
    if unknown := options.keys() - {"seed", "num_rooms", "num_things"}:
        raise InputError(f"env.options.{min(unknown)}: unknown key; known: seed, num_rooms, num_things")
    for key, least, most in (("num_rooms", 2, len(ROOMS)), ("num_things", 1, len(THINGS) - len(UNSEEN))):
        if not least <= options[key] <= most:
            raise InputError(f"env.options.{key}={options[key]}: must be from {least} to {most}")
