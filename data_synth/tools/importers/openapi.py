"""OpenAPI 3 documents: an operation is a tool; its path, query and body parameters, its answer of status 2xx."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from data_synth.tools.importers.draft import Draft, Found, Item, Rejection, UnusableError
from data_synth.tools.importers.references import dereferenced, lookup
from data_synth.tools.schemas import narrowed

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
_PLACES = ("path", "query")
"""Headers and cookies carry keys and sessions, which are no arguments."""


def recognises(item: Item) -> bool:
    """Whether an item of a file looks like this format, of whatever version."""
    return isinstance(item.value, dict) and bool({"openapi", "swagger"} & set(item.value))


def read(item: Item) -> Found:
    """The operations of a document."""
    document = item.value
    version = str(document.get("openapi", "")) if isinstance(document, dict) else ""
    if not version.startswith("3"):
        yield Rejection("not_openapi_3", "convert it to OpenAPI 3 first", "", item.place)
        return
    info = document.get("info") if isinstance(document.get("info"), dict) else {}
    for path, method, shared, operation in _operations(document):
        place = f"{item.place} {method.upper()} {path}"
        name = operation.get("operationId") or f"{method}_{re.sub(r'[^A-Za-z0-9]+', '_', path).strip('_')}"
        try:
            yield _draft(str(name), shared, operation, document, info, place)
        except UnusableError as error:
            yield Rejection(error.reason, error.detail, str(name), place)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Any], dict[str, Any]]]:
    paths = document.get("paths")
    for path, entry in paths.items() if isinstance(paths, dict) else ():
        if isinstance(entry, dict) and isinstance(entry.get("$ref"), str):
            entry = lookup(entry["$ref"], document)
        for method in _METHODS:
            if isinstance(entry, dict) and isinstance(entry.get(method), dict):
                yield path, method, entry.get("parameters") or [], entry[method]


def _draft(
    name: str,
    shared: list[Any],
    operation: dict[str, Any],
    document: dict[str, Any],
    info: dict[str, Any],
    place: str,
) -> Draft:
    texts = (operation.get("summary"), operation.get("description"))
    described = [text.strip().rstrip(".") for text in texts if isinstance(text, str) and text.strip()]
    tags = operation.get("tags")
    domain = str(tags[0]) if isinstance(tags, list) and tags else str(info.get("title") or "")
    licence = info.get("license")
    return Draft(
        name=name,
        description=". ".join(dict.fromkeys(described)) + "." if described else "",
        parameters=_parameters(shared, operation, document),
        output=_output(operation, document),
        domain=re.sub(r"\W+", "_", domain).strip("_").lower(),
        licence=str(licence.get("identifier") or licence.get("name") or "")
        if isinstance(licence, dict)
        else "",
        place=place,
    )


def _parameters(shared: list[Any], operation: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = list[str]()
    named: dict[tuple[str, str], dict[str, Any]] = {}
    for parameter in (*shared, *(operation.get("parameters") or [])):
        parameter = dereferenced(parameter, document)
        if isinstance(parameter, dict):
            named[str(parameter.get("name")), str(parameter.get("in"))] = parameter
    for (name, where), parameter in named.items():
        if where in _PLACES:
            schema = dict(parameter.get("schema") or _content(parameter.get("content")) or {"type": "string"})
            schema["description"] = parameter.get("description") or schema.get("description")
            properties[name] = schema
            if parameter.get("required") or where == "path":
                required.append(name)
    _add_body(dereferenced(operation.get("requestBody"), document), properties, required)
    return {"type": "object", "properties": properties, "required": required}


def _add_body(body: Any, properties: dict[str, Any], required: list[str]) -> None:
    """The fields of a body that is an object, else the body as one parameter."""
    schema = _content(body.get("content")) if isinstance(body, dict) else None
    if not schema:
        return
    whole = narrowed(schema)
    fields, needed = whole.get("properties"), whole.get("required") or []
    if not isinstance(fields, dict):
        fields, needed = {"body": whole}, ["body"]
    for name, field in fields.items():
        if isinstance(field, dict) and field.get("readOnly"):
            continue
        own = f"body_{name}" if name in properties else name
        properties[own] = field
        if body.get("required") and name in needed:
            required.append(own)


def _output(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    responses = operation.get("responses")
    for status, response in sorted(responses.items(), key=str) if isinstance(responses, dict) else ():
        if str(status).startswith("2"):
            response = dereferenced(response, document)
            schema = _content(response.get("content")) if isinstance(response, dict) else None
            if schema:
                return schema
    return None


def _content(content: Any) -> dict[str, Any] | None:
    """The schema of the JSON media type, else of the first."""
    if not isinstance(content, dict) or not content:
        return None
    chosen = next((media for media in content if "json" in str(media)), next(iter(content)))
    schema = content[chosen].get("schema") if isinstance(content[chosen], dict) else None
    return schema if isinstance(schema, dict) else None
