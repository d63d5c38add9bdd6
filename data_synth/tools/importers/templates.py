"""Response templates of StableToolBench as JSON schemas: ``{"id": "int", "tags": ["list of str with length 4"]}``.

A template names each value's Python type; a list shows one entry, whose ``_list_length`` says how many there were.
Templates longer than 1,000 characters were cut off there by their authors: what stands before the cut is used.
"""

from __future__ import annotations

import json
import re
from typing import Any

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object"}
_LIST = re.compile(r"list of (\w+) with length \d+")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')
_LENGTH = "_list_length"
_ERROR_KEYS = frozenset(
    {
        "message",
        "messages",
        "error",
        "errors",
        "detail",
        "details",
        "status",
        "statuscode",
        "status_code",
        "code",
    }
    | {"success", "msg", "info", "error_code", "errorcode", "title", "type", "traceid", "instance", "path"}
    | {"timestamp", "ok", "result", "response", "reason", "cause", "request_id", "requestid", "error_message"}
)
_SAYS_ERROR = re.compile(r"error|message|detail|msg", re.IGNORECASE)


def schema_of_template(template: Any) -> dict[str, Any] | None:
    """The schema; None where the template is missing, empty or that of an error."""
    if isinstance(template, str):
        template = _complete(template) if template[:1] in "{[" else None
    if not template or _is_error(template):
        return None
    return _schema(template)


def _is_error(template: Any) -> bool:
    """``{"message": "str", "statusCode": "int"}``: the API wasn't there any more when it was asked."""
    if not isinstance(template, dict) or not all(isinstance(value, str) for value in template.values()):
        return False
    keys = [str(key).lower() for key in template]
    return _ERROR_KEYS.issuperset(keys) and any(_SAYS_ERROR.search(key) for key in keys)


def _schema(template: Any) -> dict[str, Any]:
    if isinstance(template, dict):
        inner = {str(key): _schema(value) for key, value in template.items() if key != _LENGTH}
        return {"type": "object", "properties": inner}
    if isinstance(template, list):
        found = _LIST.fullmatch(template[0]) if template and isinstance(template[0], str) else None
        if found:
            return {"type": "array", "items": _named(found[1])}
        return {"type": "array", "items": _schema(template[0])} if template else {"type": "array"}
    return _named(template) if isinstance(template, str) else {"type": "string"}


def _named(name: str) -> dict[str, Any]:
    """The schema of a type's name; what was null or unknown is text."""
    if name == "empty list" or name == "list" or _LIST.fullmatch(name):
        return {"type": "array"}
    return {"type": _TYPES.get(name, "string")}


def _complete(text: str) -> Any:
    """JSON that was cut off, closed after the last value that is whole; None where none is."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    for end, closing in reversed(_ends(text)):
        try:
            return json.loads(text[:end] + closing)
        except ValueError:
            continue
    return None


def _ends(text: str) -> list[tuple[int, str]]:
    """Places where a value may have ended, each with the brackets that are open there."""
    found, closing = [], ""
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[":
                closing = ("}" if token[0] == "{" else "]") + closing
                found.append((token.end(), closing))
            case "}" | "]":
                closing = closing[1:]
                found.append((token.end(), closing))
            case ",":
                found.append((token.start(), closing))
    return found
