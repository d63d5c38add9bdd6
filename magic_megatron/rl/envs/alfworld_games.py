"""Games of ALFWorld with object placements of our own: what is drawn, and the PDDL problem that says it."""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alfworld.gen.constants as facts
import alfworld.gen.goal_library as goals
from alfworld.info import ALFRED_PDDL_PATH, ALFRED_TWL2_PATH

from magic_megatron.rl.envs.alfworld_rooms import FIXED_RECEPTACLES, Receptacle, Room, room, scenes

SPLITS = ("train", "valid_seen", "valid_unseen")
SEEN_SHARE = 10
"""One in so many task structures of the training rooms belongs to ``valid_seen``, whatever the seed."""
TOOLS = {
    "pick_clean_then_place_in_recep": ("Cleanable", "SinkBasin"),
    "pick_heat_then_place_in_recep": ("Heatable", "Microwave"),
    "pick_cool_then_place_in_recep": ("Coolable", "Fridge"),
}
LAMP_PLACES = {"CoffeeTable", "Desk", "DiningTable", "Dresser", "Shelf", "SideTable", "TVStand"}


@dataclass(frozen=True)
class RoomSettings:
    """How much of a room a game has.

    Attributes:
        num_scenes: only the first so many floor plans that suit a task; null takes all.
        max_receptacles: at most so many, those of the task among them; null keeps all.
        min_objects, max_objects: other objects than the task's.
        closed_receptacles: whether the task's objects and the others may lie behind doors and in drawers.
        max_plan_length: longer games are drawn again; null allows any.
    """

    num_scenes: int | None
    max_receptacles: int | None
    min_objects: int
    max_objects: int
    closed_receptacles: bool
    max_plan_length: int | None


@dataclass(frozen=True)
class Draw:
    """A game before it is written: objects are (kind, receptacle)."""

    task_type: str
    scene: Room
    receptacles: tuple[Receptacle, ...]
    objects: tuple[tuple[str, Receptacle], ...]
    target: str
    destination: str
    lamp: str
    start: str

    @property
    def structure(self) -> str:
        """The task without what merely lies around: the same in two splits never."""
        lying = sorted(place.id for kind, place in self.objects if kind in (self.target, self.lamp))
        return json.dumps(
            [self.task_type, self.scene.number, self.target, self.destination, self.lamp, lying]
        )

    @property
    def split(self) -> str:
        """``train`` or ``valid_seen``, for rooms that are trained in."""
        share = int.from_bytes(hashlib.sha256(self.structure.encode()).digest()[:4], "big") % SEEN_SHARE
        return "valid_seen" if share == 0 else "train"


def draw(rng: random.Random, task_type: str, split: str, settings: RoomSettings) -> Draw | None:
    """One try at a game; None where the room lacks something or the task belongs to another split."""
    scene = room(rng.choice(scenes(task_type, split == "valid_unseen")[: settings.num_scenes]))
    lamp = rng.choice(scene.lamps) if task_type == "look_at_obj_in_light" and scene.lamps else ""
    if task_type == "look_at_obj_in_light" and not lamp:
        return None
    needed, tool = TOOLS.get(task_type, (None, None))
    kinds = [kind for kind in scene.kinds if needed is None or kind in facts.VAL_ACTION_OBJECTS[needed]]
    if not kinds or (tool and all(place.kind != tool for place in scene.receptacles)):
        return None
    target = rng.choice(kinds)
    destinations = sorted({place.kind for place in scene.receptacles_for(target)} - {tool})
    destination = "" if lamp else (rng.choice(destinations) if destinations else None)
    if destination is None:
        return None
    sources = [
        place
        for place in scene.receptacles_for(target)
        if place.kind != destination and (settings.closed_receptacles or not place.closed)
    ]
    lamp_places = [place for place in scene.receptacles if place.kind in LAMP_PLACES]
    if not sources or (lamp and not lamp_places):
        return None
    copies = 2 if task_type == "pick_two_obj_and_place" else rng.choice((1, 1, 2))
    objects = [(target, rng.choice(sources)) for _ in range(copies)]
    if lamp:
        objects.append((lamp, rng.choice(lamp_places)))
    receptacles = _keep(rng, scene, objects, [kind for kind in (destination, tool) if kind], settings)
    objects += _others(rng, scene, receptacles, target, settings)
    start = rng.choice(scene.free_locations)
    drawn = Draw(task_type, scene, receptacles, tuple(objects), target, destination, lamp, start)
    return drawn if split in (drawn.split, "valid_unseen") else None


def _keep(
    rng: random.Random,
    scene: Room,
    objects: list[tuple[str, Receptacle]],
    kinds: list[str],
    settings: RoomSettings,
) -> tuple[Receptacle, ...]:
    """The receptacles of the task, one of each of ``kinds``, and others up to the limit, in the room's order."""
    if settings.max_receptacles is None:
        return scene.receptacles
    kept = {place.id for _, place in objects}
    kept |= {rng.choice([place.id for place in scene.receptacles if place.kind == kind]) for kind in kinds}
    rest = [
        place.id
        for place in scene.receptacles
        if place.id not in kept and (settings.closed_receptacles or not place.closed)
    ]
    num_more = max(0, min(settings.max_receptacles - len(kept), len(rest)))
    kept |= set(rng.sample(rest, num_more))
    return tuple(place for place in scene.receptacles if place.id in kept)


def _others(
    rng: random.Random, scene: Room, receptacles: tuple[Receptacle, ...], target: str, settings: RoomSettings
) -> list[tuple[str, Receptacle]]:
    """What lies around besides: no further objects of the target's kind."""
    open_to = [place for place in receptacles if settings.closed_receptacles or not place.closed]
    fits = {
        kind: [place for place in open_to if kind in facts.VAL_RECEPTACLE_OBJECTS[place.kind]]
        for kind in scene.kinds
        if kind != target
    }
    kinds = [kind for kind, places in fits.items() if places]
    count = rng.randint(settings.min_objects, settings.max_objects) if kinds else 0
    chosen = [rng.choice(kinds) for _ in range(count)]
    return [(kind, rng.choice(fits[kind])) for kind in chosen]


def game_files(
    drawn: Draw, rng: random.Random, task_id: str
) -> tuple[dict[str, Any], dict[str, Any], list[str] | None]:
    """What ``game.tw-pddl`` and ``traj_data.json`` hold, without the plan, and a plan where one is known.

    The planner takes minutes for two objects in a whole room, where fetching one and then the other is plain.
    """
    objects = _named(drawn, rng)
    parameters = {
        "object_target": drawn.target,
        "parent_target": drawn.destination,
        "toggle_target": drawn.lamp,
        "mrecep_target": "",
        "object_sliced": False,
    }
    template = rng.choice(goals.gdict[drawn.task_type]["templates"])
    words = {"obj": drawn.target, "recep": drawn.destination, "toggle": drawn.lamp, "mrecep": ""}
    goal = template.format(**{name: word.lower() for name, word in words.items()})
    game = {
        "pddl_domain": Path(ALFRED_PDDL_PATH).read_text(),
        "grammar": Path(ALFRED_TWL2_PATH).read_text().replace("UNKNOWN GOAL", goal),
        "pddl_problem": _problem(drawn, objects, task_id, words),
    }
    trajectory = {
        "task_id": task_id,
        "task_type": drawn.task_type,
        "pddl_params": parameters,
        "scene": {"floor_plan": f"FloorPlan{drawn.scene.number}", "scene_num": drawn.scene.number},
        "turk_annotations": {"anns": [{"task_desc": goal}]},
    }
    return (
        game,
        trajectory,
        _fetch_each(drawn, objects) if drawn.task_type == "pick_two_obj_and_place" else None,
    )


def _fetch_each(drawn: Draw, objects: dict[str, tuple[str, Receptacle]]) -> list[str]:
    """Carry every target to the first destination, opening what is closed: actions with ids in place of names."""
    end = next(place for place in drawn.receptacles if place.kind == drawn.destination)
    opened, actions = set[str](), list[str]()

    def go(place: Receptacle) -> None:
        actions.append(f"go to {_id(place.id)}")
        if place.closed and place.id not in opened:
            opened.add(place.id)
            actions.append(f"open {_id(place.id)}")

    for name, (kind, place) in objects.items():
        if kind == drawn.target:
            go(place)
            actions.append(f"take {_id(name)} from {_id(place.id)}")
            go(end)
            actions.append(f"move {_id(name)} to {_id(end.id)}")
    return actions


def _id(name: str) -> str:
    return _spelled(name).lower()


def folder_name(drawn: Draw) -> str:
    """As ALFRED names the folders of a task's trials."""
    place = drawn.lamp or drawn.destination
    return f"{drawn.task_type}-{drawn.target}-None-{place}-{drawn.scene.number}"


def _problem(
    drawn: Draw, objects: dict[str, tuple[str, Receptacle]], task_id: str, words: dict[str, str]
) -> str:
    """The problem in ALFRED's domain. Types stand behind ``#``, since a minus in a name is spelled out."""
    locations = sorted({place.location for place in drawn.receptacles} | {drawn.start})
    receptacle_types = sorted(FIXED_RECEPTACLES)
    object_types = sorted(facts.OBJECTS_SET - FIXED_RECEPTACLES)
    lines = [
        f"(define (problem plan_{re.sub(r'[^A-Za-z0-9]', '_', task_id)})",
        "(:domain alfred)",
        "(:objects",
    ]
    lines += ["agent1 # agent", *(f"{kind}Type # otype" for kind in object_types)]
    lines += [f"{kind}Type # rtype" for kind in receptacle_types]
    lines += [f"{name} # object" for name in objects] + [
        f"{place.id} # receptacle" for place in drawn.receptacles
    ]
    lines += [f"{location} # location" for location in locations]
    lines += [")", "(:init", f"(atLocation agent1 {drawn.start})"]
    lines += [line for place in drawn.receptacles for line in _receptacle_facts(place)]
    lines += [line for name, (kind, place) in objects.items() for line in _object_facts(name, kind, place)]
    lines += _containment({place.kind for place in drawn.receptacles}, {kind for kind, _ in objects.values()})
    goal = goals.gdict[drawn.task_type]["pddl"].format(**words)
    return _spelled("\n".join([*lines, ")", goal]))


def _named(drawn: Draw, rng: random.Random) -> dict[str, tuple[str, Receptacle]]:
    """Objects by ids that say where they lie, each shifted a little so that no two share one."""
    named: dict[str, tuple[str, Receptacle]] = {}
    for kind, place in drawn.objects:
        name = ""
        while not name or name in named:
            shifted = (axis + rng.uniform(-0.3, 0.3) for axis in place.position)
            name = "|".join((kind, *(f"{axis:+06.2f}" for axis in shifted)))
        named[name] = (kind, place)
    return named


def _receptacle_facts(place: Receptacle) -> list[str]:
    lines = [
        f"(receptacleType {place.id} {place.kind}Type)",
        f"(receptacleAtLocation {place.id} {place.location})",
    ]
    return [*lines, f"(openable {place.id})"] if place.closed else lines


def _object_facts(name: str, kind: str, place: Receptacle) -> list[str]:
    able = ("Cleanable", "Heatable", "Coolable", "Toggleable", "Sliceable")
    return [
        f"(objectType {name} {kind}Type)",
        *([] if kind in facts.VAL_ACTION_OBJECTS["Toggleable"] else [f"(pickupable {name})"]),
        *(f"({ability.lower()} {name})" for ability in able if kind in facts.VAL_ACTION_OBJECTS[ability]),
        f"(inReceptacle {name} {place.id})",
        f"(objectAtLocation {name} {place.location})",
    ]


def _containment(receptacle_kinds: set[str], kinds: set[str]) -> list[str]:
    return [
        f"(canContain {holder}Type {kind}Type)"
        for holder in sorted(receptacle_kinds)
        for kind in sorted(facts.VAL_RECEPTACLE_OBJECTS[holder] & kinds)
    ]


def _spelled(text: str) -> str:
    """PDDL has no such characters in names: ALFWorld spells them out."""
    for mark, word in (
        ("-", "_minus_"),
        ("#", "-"),
        ("|", "_bar_"),
        ("+", "_plus_"),
        (".", "_dot_"),
        (",", "_comma_"),
    ):
        text = text.replace(mark, word)
    return text
