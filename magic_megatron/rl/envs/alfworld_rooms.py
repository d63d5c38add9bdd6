"""ALFWorld's rooms: the receptacles, places and kinds of objects of AI2-THOR's floor plans, from its package."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import alfworld
import alfworld.gen.constants as facts
import numpy as np

LAYOUTS = Path(alfworld.__file__).parent / "gen" / "layouts"
FIXED_RECEPTACLES = facts.RECEPTACLES - facts.MOVABLE_RECEPTACLES_SET


@dataclass(frozen=True)
class Receptacle:
    """``id`` is ``kind|x|y|z`` (metres); ``location`` is where the agent stands to reach into it."""

    id: str
    kind: str
    location: str

    @property
    def closed(self) -> bool:
        """Whether it must be opened before one sees into it."""
        return self.kind in facts.OPENABLE_CLASS_SET

    @property
    def position(self) -> tuple[float, float, float]:
        x, y, z = self.id.split("|")[1:4]
        return float(x), float(y), float(z)


@dataclass(frozen=True)
class Room:
    """One floor plan. ``kinds`` are the objects that lie around and fit into a receptacle; ``lamps`` stay in place."""

    number: int
    receptacles: tuple[Receptacle, ...]
    kinds: tuple[str, ...]
    lamps: tuple[str, ...]
    free_locations: tuple[str, ...]

    def receptacles_for(self, kind: str) -> list[Receptacle]:
        """Where an object of this kind may lie."""
        return [place for place in self.receptacles if kind in facts.VAL_RECEPTACLE_OBJECTS[place.kind]]


def scenes(task_type: str, unseen: bool) -> list[int]:
    """Floor plans in which a task makes sense: ALFRED's test rooms, or those that it trains in."""
    numbers = facts.TEST_SCENE_NUMBERS if unseen else facts.TRAIN_SCENE_NUMBERS
    kinds = facts.GOALS_VALID[task_type]
    return [number for number in numbers if any(number in facts.SCENE_TYPE[kind] for kind in kinds)]


@functools.cache
def room(number: int) -> Room:
    """The floor plan of that number."""
    receptacles = _receptacles(number)
    present = json.loads((LAYOUTS / f"FloorPlan{number}-objects.json").read_text())
    holdable = set().union(*(facts.VAL_RECEPTACLE_OBJECTS[place.kind] for place in receptacles))
    taken = {place.location for place in receptacles}
    grid = np.load(LAYOUTS / f"FloorPlan{number}-layout.npy")
    free = {_location(x, z, 0, 30) for x, z in grid.tolist()} - taken
    return Room(
        number=number,
        receptacles=tuple(receptacles),
        kinds=tuple(sorted(set(present) & holdable & facts.OBJECTS_SET - FIXED_RECEPTACLES)),
        lamps=tuple(sorted(set(present) & facts.VAL_ACTION_OBJECTS["Toggleable"])),
        free_locations=tuple(sorted(free)),
    )


def _receptacles(number: int) -> list[Receptacle]:
    """Sinks and bathtubs hold things in their basins, which alone are named so."""
    places = json.loads((LAYOUTS / f"FloorPlan{number}-openable.json").read_text())
    found = []
    for name, (x, z, rotation, horizon) in sorted(places.items()):
        kind, *rest = name.split("|")
        if kind in ("Sink", "Bathtub"):
            kind, rest = f"{kind}Basin", [*rest[:3], f"{kind}Basin"]
        if kind in FIXED_RECEPTACLES:
            prefix = kind.removesuffix("Basin") if len(rest) > 3 else kind
            found.append(Receptacle("|".join((prefix, *rest)), kind, _location(x, z, rotation, horizon)))
    return found


def _location(x: float, z: float, rotation: float, horizon: float) -> str:
    """Steps of 0.25 m and quarter turns, as ALFRED names them."""
    return f"loc|{round(x * 4)}|{round(z * 4)}|{int(rotation) // 90}|{int(horizon)}"
