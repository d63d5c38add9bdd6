"""The entity database: people, cities with their flights, towns with their walking times (``entities.json``).

Names are given in English and Chinese. City names are one word in English, as NaturalPlan's scorer wants.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = ("en", "zh")
WEEKDAYS = (
    {"en": "Monday", "zh": "星期一"},
    {"en": "Tuesday", "zh": "星期二"},
    {"en": "Wednesday", "zh": "星期三"},
    {"en": "Thursday", "zh": "星期四"},
    {"en": "Friday", "zh": "星期五"},
)

KM_PER_DEGREE = 111.2
SHORT_FLIGHT_KM, LONGEST_FLIGHT_KM = 650.0, 3200.0
NUM_HUBS_PER_CITY = 4
"""A city has flights to its nearest hubs and to all cities within SHORT_FLIGHT_KM; hubs to all hubs."""
CLIMB_MINUTES_PER_M, SETTLING_MINUTES = 0.06, 2.0
"""Uphill costs time, which makes travel times asymmetric; finding one's way costs some everywhere."""


@dataclass(frozen=True)
class City:
    """An airport city; coordinates in degrees."""

    names: dict[str, str]
    longitude: float
    latitude: float
    hub: bool


@dataclass(frozen=True)
class Place:
    """A quarter of a town; coordinates in km, height in m."""

    names: dict[str, str]
    x_km: float
    y_km: float
    height_m: float


@dataclass(frozen=True)
class Town:
    """A town to walk in."""

    names: dict[str, str]
    minutes_per_km: float
    places: tuple[Place, ...]

    def walking_minutes(self, start: int, end: int) -> int:
        """Minutes from place ``start`` to place ``end``, 0 to itself; uphill takes longer."""
        if start == end:
            return 0
        a, b = self.places[start], self.places[end]
        km = math.hypot(a.x_km - b.x_km, a.y_km - b.y_km)
        climb = max(0.0, b.height_m - a.height_m)
        return round(SETTLING_MINUTES + km * self.minutes_per_km + climb * CLIMB_MINUTES_PER_M)


def _names(entry: dict[str, Any]) -> dict[str, str]:
    return {language: entry[language] for language in LANGUAGES}


def _load_town(entry: dict[str, Any]) -> Town:
    places = tuple(Place(_names(p), p["x_km"], p["y_km"], p["height_m"]) for p in entry["places"])
    return Town(_names(entry), entry["minutes_per_km"], places)


_DATABASE = json.loads(resources.files(__package__).joinpath("entities.json").read_text("utf-8"))
PEOPLE: tuple[dict[str, str], ...] = tuple(_names(entry) for entry in _DATABASE["people"])
CITIES: tuple[City, ...] = tuple(
    City(_names(c), c["longitude"], c["latitude"], c["hub"]) for c in _DATABASE["cities"]
)
TOWNS: tuple[Town, ...] = tuple(_load_town(entry) for entry in _DATABASE["towns"])


@cache
def flights() -> tuple[frozenset[int], ...]:
    """The flight graph: for each city the cities it has direct flights with (symmetric)."""
    linked: list[set[int]] = [set() for _ in CITIES]
    for a, city in enumerate(CITIES):
        by_distance = sorted((_distance_km(a, b), b) for b in range(len(CITIES)) if b != a)
        hubs = [b for _, b in by_distance if CITIES[b].hub]
        near = {b for km, b in by_distance if km <= SHORT_FLIGHT_KM}
        far = {b for km, b in by_distance if km <= LONGEST_FLIGHT_KM and city.hub and CITIES[b].hub}
        for b in near | far | set(hubs[:NUM_HUBS_PER_CITY]):
            linked[a].add(b)
            linked[b].add(a)
    return tuple(frozenset(cities) for cities in linked)


def _distance_km(a: int, b: int) -> float:
    start, end = CITIES[a], CITIES[b]
    across = (start.longitude - end.longitude) * math.cos(math.radians((start.latitude + end.latitude) / 2))
    return KM_PER_DEGREE * math.hypot(across, start.latitude - end.latitude)
