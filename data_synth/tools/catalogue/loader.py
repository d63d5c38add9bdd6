"""Reads the domains' files and expands them into tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from data_synth.package_data import read_yaml
from data_synth.tools.catalogue.fields import CatalogueError, Field, Fields, plural_of
from data_synth.tools.tool import Tool

_SHARED = "_shared.yaml"
_TOOL_KEYS = frozenset(["about", "about_zh", "effect", "takes", "gives", "en", "zh"])
_ACTIONS = frozenset(["create", "get", "list", "search", "update", "delete", "compute"])


def load_catalogue() -> dict[str, Tool]:
    """The built-in tools by name, in the order of their domains' names; read once per process.

    Raises:
        CatalogueError: a file breaks the notation.
    """
    return dict(_load())


@cache
def _load() -> dict[str, Tool]:
    files = resources.files("data_synth.tools.catalogue").iterdir()
    names = sorted(path.name for path in files if path.name.endswith(".yaml"))
    documents = {name: read_yaml("data_synth.tools.catalogue", name) for name in names}
    shared = documents.pop(_SHARED)
    return expand({name.removesuffix(".yaml"): document for name, document in documents.items()}, shared)


def expand(domains: Mapping[str, Mapping[str, Any]], shared: Mapping[str, Any]) -> dict[str, Tool]:
    """The tools of ``domains``, each a file's content by its name; ``shared`` are fields that all may name.

    Raises:
        CatalogueError: an entry breaks the notation, or two tools have one name.
    """
    tools: dict[str, Tool] = {}
    every = _entities(domains)
    for domain, document in domains.items():
        # A domain's own entities come last: where two have an id of one name, its own is meant.
        entities = {name: every[name] for name in every if name not in document["entities"]}
        fields = Fields(document.get("fields", {}), shared, entities | document["entities"])
        for name, spec in document["tools"].items():
            if name in tools:
                raise CatalogueError(
                    f"{domain}.yaml: {name} is also a tool of {tools[name].domain}; rename one"
                )
            try:
                tools[name] = _tool(name, domain, spec, fields, every)
            except CatalogueError as error:
                raise CatalogueError(f"{domain}.yaml: {name}: {error}") from None
    return tools


def _entities(domains: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    every: dict[str, Any] = {}
    for domain, document in domains.items():
        if taken := sorted(document["entities"].keys() & every.keys()):
            raise CatalogueError(f"{domain}.yaml: {taken[0]} is also an entity of another domain; rename one")
        every |= document["entities"]
    return every


def _tool(
    name: str, domain: str, spec: Mapping[str, Any], fields: Fields, entities: Mapping[str, Any]
) -> Tool:
    if wrong := sorted(spec.keys() ^ _TOOL_KEYS):
        raise CatalogueError(
            f"key {wrong[0]} is missing or unknown; a tool has {', '.join(sorted(_TOOL_KEYS))}"
        )
    takes = str(spec["takes"] or "").split()
    parameters = {word.rstrip("?"): fields[word.rstrip("?")] for word in takes}
    required = [word for word in takes if not word.endswith("?")]
    schema = fields.object(" ".join(takes)) | {"additionalProperties": False}
    output, returned = _output(spec["gives"].split(), fields, entities)
    optional = [name for name in parameters if name not in required]
    answered = {name: fields[name] for part, inner in returned.items() for name in inner or (part,)}
    spoken = answered | parameters
    return Tool(
        name=name,
        description=_describe(spec["about"], required, optional, returned),
        parameters=schema,
        output=output,
        domain=domain,
        source="built-in catalogue",
        licence="Apache-2.0",
        hints={
            "ask": {"en": spec["en"][1:], "zh": spec["zh"][1:]},
            "step": {"en": spec["en"][0], "zh": spec["zh"][0]},
            "description_zh": _describe_zh(spec["about_zh"], parameters, required, returned, fields),
            "effect": _effect(spec["effect"], entities),
            "optional": {name: dict(parameters[name].fragment) for name in optional},
            "noun": {name: dict(field.noun) for name, field in parameters.items()},
            "ask_for": {name: dict(field.ask) for name, field in parameters.items()},
            "words": {name: dict(field.words) for name, field in spoken.items() if field.words},
            "label": {name: {"en": field.label, "zh": field.zh} for name, field in spoken.items()},
        },
    )


type Returned = dict[str, tuple[str, ...]]
"""Name of each part of an answer to the names of its fields; no names where it is a single value."""


def _output(
    words: Iterable[str], fields: Fields, entities: Mapping[str, Any]
) -> tuple[dict[str, Any], Returned]:
    """``hotel``: the fields of that entity; ``hotel[]``: a list of them; another word: a field."""
    properties: dict[str, Any] = {}
    returned: Returned = {}
    for word in words:
        name = word.removesuffix("[]")
        if name not in entities:
            properties[name] = dict(fields[name].schema)
            returned[name] = ()
            continue
        names = entities[name]["fields"]
        item = Fields.object(fields, names)
        if word == name:
            properties |= item["properties"]
            returned |= dict.fromkeys(names.split(), ())
        else:
            plural = plural_of(name, entities[name])
            properties[plural] = {"type": "array", "items": item, "description": f"The {_words(plural)}"}
            returned[plural] = tuple(names.split())
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return schema, returned


def _effect(text: str, entities: Mapping[str, Any]) -> dict[str, str]:
    action, _, entity = text.partition(" ")
    if action not in _ACTIONS:
        raise CatalogueError(f"effect {action}: write one of {', '.join(sorted(_ACTIONS))}")
    if action == "compute":
        return {"entity": "", "action": action, "id": ""}
    if entity not in entities:
        raise CatalogueError(f"effect {text}: no entity {entity}; add it to entities")
    return {"entity": entity, "action": action, "id": entities[entity].get("id", f"{entity}_id")}


def _describe(about: str, required: list[str], optional: list[str], returned: Returned) -> str:
    """The sentence of the file, then inputs and outputs by name."""
    text = about
    if required:
        text += f" Requires {_enumerate(required)}"
        text += f"; {_enumerate(optional)} may be given." if optional else "."
    elif optional:
        text += f" May be given: {_enumerate(optional)}."
    parts = [
        name if not inner else f"{name} (each with {_enumerate(inner)})" for name, inner in returned.items()
    ]
    return f"{text} Returns {_enumerate(parts)}."


def _describe_zh(
    about: str, parameters: Mapping[str, Field], required: list[str], returned: Returned, fields: Fields
) -> str:
    text = about
    if required:
        text += f"必填：{'、'.join(parameters[name].zh for name in required)}。"
    if optional := [field.zh for name, field in parameters.items() if name not in required]:
        text += f"可选：{'、'.join(optional)}。"
    parts = [
        f"{fields.plurals[name]}列表（{'、'.join(fields[part].zh for part in inner)}）"
        if inner
        else fields[name].zh
        for name, inner in returned.items()
    ]
    return f"{text}返回：{'、'.join(parts)}。"


def _enumerate(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _words(name: str) -> str:
    return name.replace("_", " ")
