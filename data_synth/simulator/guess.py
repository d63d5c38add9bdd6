"""What a property without ``x-kind`` probably holds, from its name, its description and its examples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_KINDS: tuple[tuple[str, str], ...] = (
    # words of the name (or, failing these, of the description), kind of the vocabulary; the first that matches
    (r"e ?mail|mailbox", "email"),
    (r"phone|mobile|telephone|msisdn|whatsapp", "phone"),
    (r"ip|ip address|ipaddress", "ipv4"),
    (r"uuid|guid", "uuid"),
    (r"hash|checksum|token|secret|signature|api ?key|apikey|session|password|passwd|pwd", "hash"),
    (r"lat|latitude", "latitude"),
    (r"lon|lng|long|longitude", "longitude"),
    (r"lat ?(lng|long?)|coordinates?|coords?|latlong", "coordinates"),
    (r"iata|airports?", "airport"),
    (r"cit(y|ies)|towns?", "city"),
    (r"country ?codes?|countries ?codes?|gl|cc", "country_code"),
    (r"countr(y|ies)|nation(ality)?", "country"),
    (r"states?|province|states? ?codes?", "us_state"),
    (r"zip|zip ?codes?|postal|postal ?codes?|postcodes?", "postcode"),
    (r"address|street", "address"),
    (r"neighbou?rhood|district", "neighbourhood"),
    (r"locations?|place|region|area|destination|origin|venue", "city"),
    (r"time ?zones?|tz", "timezone"),
    (r"currenc(y|ies)|currency ?codes?", "currency"),
    (r"crypto|coins?", "crypto"),
    (r"tickers?|symbols?|stocks?", "ticker"),
    (r"lang|languages?|locale|hl|language ?codes?", "language_code"),
    (r"domains?|host|hostname|website domain|site", "web_domain"),
    (r"urls?|links?|website|webhook|callback|uri|href", "url"),
    (r"isbn", "isbn"),
    (r"colou?rs?|hex", "hex_colour"),
    (
        r"user ?names?|usernames?|handle|screen name|nick|nickname|login|author|player|channel name",
        "username",
    ),
    (r"first ?name|given name|fname|firstname", "given_name"),
    (r"last ?name|surname|family name|lname|lastname", "family_name"),
    (r"full name|person|artists?|actor|director|customer|contact|recipient|sender|passenger", "person_name"),
    (r"teams?|club|league", "team"),
    (r"company|brand|manufacturer|organi[sz]ation|publisher", "company"),
    (r"movies?|films?|tv|show", "movie_title"),
    (r"songs?|tracks?|album|lyrics?", "song_title"),
    (r"books?", "book_title"),
    (r"genres?", "genre"),
    (r"tags?|hashtags?", "hashtag"),
    (r"ingredients?|foods?|recipe|meal|dish", "dish"),
    (r"cuisines?", "cuisine"),
    (r"hotels?", "hotel_name"),
    (r"products?|items?|sku name", "product_name"),
    (r"make|model|car|vehicle", "car_model"),
    (r"breeds?", "breed"),
    (r"animals?|pets?", "animal"),
    (r"categor(y|ies)|topics?|subject|section|niche", "topic"),
    (r"gender|sex", "gender"),
    (r"units?|measurement|metric", "unit_system"),
    (r"sort|order|sort ?(by|order|dir(ection)?)|order ?by|direction|ordering", "sort_order"),
    (r"format|output|output format|response format|file ?type|ext|extension", "file_format"),
    (r"intervals?|period|frequency|timeframe|resolution", "interval"),
    (r"status|state name", "state"),
    (r"file|file ?names?|path|filename|folder|storage|image|document|dir", "file_name"),
    (r"title|subject line|headline|heading", "article_title"),
    (
        r"text|message|content|body|sentence|paragraph|comment|description|caption|note|prompt|input",
        "sentence",
    ),
    (r"word", "word"),
    (r"q|query|search|keywords?|term|terms|search ?(term|query|text)|phrase|s", "search_term"),
    (r"ids?|.* ids?|\w+ids?|code|number|reference|ref|key", "identifier"),
    (r"page|cursor|offset|skip|page ?(number|num|no)|start|from index", "page"),
    (
        r"limit|count|size|num|max|min|(?:max|min)(?:imum)? \w+|prices?|amount|quantity|height|width|length|weight"
        r"|age|radius|days|hours",
        "number-text",
    ),
    (r"years?|season", "year-text"),
    (r"types?|kind|style|mode|version|names?", "word"),
)
_AFTER = r"(?: (?:names?|titles?))?(?: (?:in|of|to|for|from|by|as) .*)?"
_COMPILED = tuple((re.compile(rf"(?:.* )?(?:{words}){_AFTER}"), kind) for words, kind in _KINDS)
_IN_TEXT = tuple((re.compile(rf"\b(?:{words})\b"), kind) for words, kind in _KINDS[:30])

WEAK = frozenset(
    (
        "search_term",
        "word",
        "topic",
        "sort_order",
        "file_format",
        "interval",
        "unit_system",
        "state",
        "identifier",
    )
)
"""Kinds that say little: the documentation's own example, if there is one, is the better value."""

_CHOICE = r"""["'`*]*([\w.+-]{1,30})["'`*]*"""
_CHOICES = re.compile(
    rf"(?:one of|options|values|either|choose)(?: the following| are| is| include)?\W{{0,4}}"
    rf"({_CHOICE}(?:\s*(?:,| or |\||/| and )+\s*{_CHOICE})+)",
    re.IGNORECASE,
)
_FRACTIONS = re.compile(
    r"(.* )?(lat|latitude|lon|lng|long|longitude|price|rate|ratings?|percent(age)?|score|weight|ratio)"
)

_RANGES: tuple[tuple[str, float, float], ...] = (
    (r"latitude|lat", -55, 65),
    (r"longitude|lon|lng|long", -170, 170),
    (r"years?|season", 2000, 2026),
    (r"month", 1, 12),
    (r"day( of month)?", 1, 28),
    (r"hours?", 0, 23),
    (r"minutes?|seconds?", 0, 59),
    (r"page( ?(number|num|no))?|pagenumber", 1, 5),
    (r"offset|skip|start|cursor|index", 0, 40),
    (r"limit|count|size|per ?page|num|results|pagesize|max results|top|n", 5, 50),
    (r"ratings?|stars?|score", 1, 5),
    (r"age", 18, 80),
    (r"(.*)?ids?", 1000, 99_999),
    (r"zip( ?code)?|postal code", 10_000, 99_999),
    (r"(.* )?(price|amount|cost|budget|salary|income|balance|value|principal|total)", 20, 2000),
    (r"(.* )?(rate|percent(age)?|interest|discount)", 1, 30),
    (r"height", 150, 200),
    (r"weight", 45, 120),
    (r"width|length", 100, 1200),
    (r"(.* )?(radius|distance)", 1, 50),
    (r"(.* )?(calories|kcal)", 100, 900),
    (r"(.* )?(timestamp|epoch|unix|date|time)", 1_767_225_600, 1_798_761_599),
    (r"(adults|guests|people|passengers|rooms|children)( number)?", 1, 6),
)
_RANGES_COMPILED = tuple((re.compile(words), low, high) for words, low, high in _RANGES)
_DATE_LAYOUTS = (
    (r"yyyy-mm-dd ?t|iso ?8601|date-?time|timestamp", "date-time"),
    (r"yyyy-mm-dd", "date"),
    (r"mm/dd/yyyy", "date-slash"),
    (r"dd\.mm\.yyyy", "date-dots"),
    (r"dd-mm-yyyy", "date-dashes"),
    (r"yyyymmdd", "date-compact"),
    (r"hh:mm", "time"),
)
_TIMES = re.compile(r"(.* )?(start|end|departure|arrival|opening|closing|pickup)? ?time( of day)?|hour")
_DATES = re.compile(
    r"(.* )?(date|day|check ?in|check ?out|checkin|checkout|arrival|departure|birthday|dob)( from| to)?|since|until"
)


@lru_cache(maxsize=65536)
def split_name(name: str) -> str:
    """``startDate`` and ``start_date`` as ``start date``."""
    return " ".join(
        re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name.rstrip("0123456789"))
        .replace("_", " ")
        .replace("-", " ")
        .lower()
        .split()
    )


@lru_cache(maxsize=65536)
def guess_kind(name: str, description: str, example: str = "") -> str:
    """A kind of the vocabulary or a format; empty where nothing points to one."""
    words = split_name(name)
    found = next((kind for pattern, kind in _COMPILED if pattern.fullmatch(words)), "") if words else ""
    if found == "country" and re.fullmatch("[A-Z]{2}", example):
        return "country_code"
    if found and found not in WEAK:
        return found
    text = description.lower()[:200]
    return found or next((kind for pattern, kind in _IN_TEXT if pattern.search(text)), "")


@lru_cache(maxsize=65536)
def guess_choices(description: str) -> tuple[str, ...]:
    """The values that a description lists: ``must be one of: asc, desc``."""
    found = _CHOICES.search(description)
    return tuple(re.findall(_CHOICE, re.sub(r"\b(?:or|and)\b", ",", found[1]))) if found else ()


def guess_format(name: str, schema: Mapping[str, Any]) -> str | None:
    """``date``, ``date-time`` or ``time`` in the layout that the example or the description shows."""
    example = example_of(schema, name) or ""
    for pattern, form in (
        (r"\d{4}-\d\d-\d\d", "date"),
        (r"\d{4}-\d\d-\d\dT.*", "date-time"),
        (r"\d\d/\d\d/\d{4}", "date-slash"),
        (r"\d\d:\d\d", "time"),
    ):
        if re.fullmatch(pattern, example):
            return form
    words = split_name(name)
    is_date, is_time = bool(_DATES.fullmatch(words)), bool(_TIMES.fullmatch(words))
    if is_date or is_time:
        text = f"{schema.get('description', '')} {example}".lower()
        found = next((form for pattern, form in _DATE_LAYOUTS if re.search(pattern, text)), None)
        return found or (None if example else "date" if is_date else "time")
    return None


@lru_cache(maxsize=65536)
def _range(words: str) -> tuple[float, float] | None:
    return next(((low, high) for pattern, low, high in _RANGES_COMPILED if pattern.fullmatch(words)), None)


def guess_range(name: str, schema: Mapping[str, Any]) -> tuple[float, float]:
    """Lowest and highest of a number: about the example where the name says nothing, else 1 to 20."""
    if found := _range(split_name(name)):
        return found
    example = _number_of(schema)
    if example is not None and example > 0:
        return example / 2, max(example * 2, example / 2 + 5)
    return 1, 20


def is_whole(name: str, schema: Mapping[str, Any], low: float, high: float) -> bool:
    """Whether a number without a kind, between ``low`` and ``high``, is one that people count with."""
    example = _number_of(schema)
    fraction = bool(_FRACTIONS.fullmatch(split_name(name))) if example is None else example != int(example)
    return not fraction and high - low >= 2


def _number_of(schema: Mapping[str, Any]) -> float | None:
    example = schema.get("default", schema.get("example"))
    if isinstance(example, str) and re.fullmatch(r"-?\d{1,12}(\.\d{1,12})?", example):
        return float(example)
    return float(example) if isinstance(example, int | float) and not isinstance(example, bool) else None


def example_of(schema: Mapping[str, Any], name: str = "") -> str | None:
    """The schema's own example, if it is a text and more than the name of the property."""
    examples = schema.get("examples")
    found = [schema.get("default"), schema.get("example"), *(examples if isinstance(examples, list) else ())]
    texts = (value for value in found if isinstance(value, str))
    return next((text for text in texts if text.strip() and text.lower() != name.lower()), None)
