"""What a tool does to the simulated world: which entity, which action, where its record stands in the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from data_synth.tools.tool import KIND, Tool

Action = Literal["create", "get", "list", "search", "update", "delete", "compute"]

_VERBS: dict[str, Action] = {
    **dict.fromkeys(
        [
            "create",
            "add",
            "book",
            "make",
            "place",
            "order",
            "post",
            "send",
            "submit",
            "register",
            "schedule",
            "reserve",
            "new",
            "insert",
            "issue",
        ],
        "create",
    ),
    **dict.fromkeys(["delete", "cancel", "remove", "drop", "revoke", "unsubscribe"], "delete"),
    **dict.fromkeys(
        [
            "update",
            "set",
            "change",
            "edit",
            "modify",
            "rename",
            "move",
            "reschedule",
            "patch",
            "put",
            "mark",
            "complete",
        ],
        "update",
    ),
    **dict.fromkeys(["search", "find", "query", "lookup", "discover"], "search"),
    **dict.fromkeys(["list", "browse", "all", "latest", "top"], "list"),
    **dict.fromkeys(
        ["calculate", "compute", "convert", "estimate", "translate", "validate", "check", "predict"],
        "compute",
    ),
}
_FILLERS = frozenset(
    {"get", "for", "by", "of", "to", "the", "a", "in", "from", "random", "fetch", "show", "retrieve"}
)
_IDENTIFIER = re.compile(r"(^|_)(id|ids|uuid|guid|uid|isbn|sku|slug|symbol|ticker|number|code|reference)$")


@dataclass(frozen=True, slots=True)
class Effect:
    """A tool's effect.

    Attributes:
        entity: what it is about, such as ``booking``.
        action: what it does with it.
        parameter: the parameter that names the record; None where a call has none.
        field: the field of the answer's record that names it; None where it isn't in the answer.
        place: path from the answer to the record's schema; ``*`` stands for a list's items. None: nowhere.
        inferred: from names alone, because the tool has no hints.
    """

    entity: str
    action: Action
    parameter: str | None
    field: str | None
    place: tuple[str, ...] | None
    inferred: bool

    @property
    def many(self) -> bool:
        """Whether the answer is a list of records."""
        return self.place is not None and "*" in self.place


def effect_of(tool: Tool) -> Effect:
    """From the tool's hints, else from the names of the tool, its parameters and its answer's fields."""
    hint = tool.hints.get("effect")
    if not hint:
        return _inferred(tool)
    identity = hint.get("id") or ""
    parameter = identity if identity in tool.properties else None
    kind = tool.properties[identity].get(KIND) if parameter else None
    place, field = _find(tool.output, identity, kind)
    return Effect(hint["entity"], hint["action"], parameter, field, place, inferred=False)


@lru_cache(maxsize=100_000)
def words(name: str) -> tuple[str, ...]:
    """``getHotelByID`` and ``get_hotel_by_id`` as get, hotel, by, id."""
    split = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", name)
    return tuple(word for word in re.split(r"[^a-z0-9]+", split.lower()) if word)


def is_identifier(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether a property names a record: by its kind, else by its own name."""
    if schema.get("type") not in ("string", "integer", "number", None):
        return False
    kind = schema.get(KIND)
    return str(kind).endswith("_id") if kind else bool(_IDENTIFIER.search("_".join(words(name))))


def entity_of(name: str, schema: Mapping[str, Any]) -> str:
    """The entity that an identifier names: ``hotel`` of ``hotel_id``; empty for a bare ``id``."""
    return _IDENTIFIER.sub("", str(schema.get(KIND) or "_".join(words(name))))


def identifier_in(schema: Mapping[str, Any]) -> str | None:
    """The property that names an object's own record: a bare ``id``, else the first identifier."""
    names = [name for name, inner in schema.get("properties", {}).items() if is_identifier(name, inner)]
    bare = [name for name in names if not entity_of(name, {})]
    return next(iter(bare + names), None)


def _inferred(tool: Tool) -> Effect:
    named = words(tool.name)
    action: Action = next((_VERBS[word] for word in named[:2] if word in _VERBS), "get")
    noun = next((word for word in named if word not in _VERBS and word not in _FILLERS), tool.name)
    parameter = next(
        (name for name in tool.required if is_identifier(name, tool.properties.get(name, {}))), None
    )
    place, field = _find_any(tool.output)
    if action == "get" and place and "*" in place and parameter is None:
        action = "list"
    if action in ("get", "update", "delete") and parameter is None:
        action = "compute"
    source = (parameter, tool.properties[parameter]) if parameter else (field or "", {})
    return Effect(entity_of(*source) or noun.rstrip("s"), action, parameter, field, place, inferred=True)


def _find(
    schema: Mapping[str, Any], identity: str, kind: str | None
) -> tuple[tuple[str, ...] | None, str | None]:
    """The nearest object with a field that is called ``identity``, or else one of its kind."""
    objects = _objects(schema)
    for place, inner in objects:
        if identity in inner["properties"]:
            return place, identity
    for place, inner in objects:
        for name, property_schema in inner["properties"].items():
            if kind and property_schema.get(KIND) == kind:
                return place, name
    return (() if objects else None), None


def _find_any(schema: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, str | None]:
    objects = _objects(schema)
    for place, inner in objects:
        if name := identifier_in(inner):
            return place, name
    return (() if objects else None), None


def _objects(schema: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Objects with properties in a schema, the nearest first."""
    level: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    found = []
    for _ in range(4):
        deeper: list[tuple[tuple[str, ...], Any]] = []
        for place, inner in level:
            if not isinstance(inner, Mapping):
                continue
            if inner.get("properties"):
                found.append((place, inner))
                deeper += [((*place, name), value) for name, value in inner["properties"].items()]
            elif isinstance(inner.get("items"), Mapping):
                deeper.append(((*place, "*"), inner["items"]))
        level = deeper
    return found
