"""The notation of a field: what a parameter or a part of an answer is, in a line of YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data_synth.tools.tool import KIND

SAY = "x-say"
"""Key of an object's schema: how its value is said in a sentence, with a placeholder per property."""

_INHERITED = ("type", "format", "min", "max", "enum", "list", "object", "say", "flag")
_WORDING = ("noun", "noun_zh", "ask", "ask_zh", "with", "with_zh")
_KEYS = frozenset((*_INHERITED, *_WORDING, "kind", "label", "zh", "text"))


class CatalogueError(ValueError):
    """A file of the catalogue breaks the notation; the message names file, entry and fix."""


@dataclass(frozen=True)
class Field:
    """A field as written, with what it takes over from the kind it is of.

    Attributes:
        label, zh: what it is called in a sentence, such as ``check-in date`` and ``入住日期``.
        noun: what stands for a value that an earlier step found, by language.
        ask: the question that makes a user say it, by language.
        fragment: how a request goes on where it is optional, by language.
        words: how each value of an enumeration is said, by language.
    """

    name: str
    schema: Mapping[str, Any]
    label: str
    zh: str
    noun: Mapping[str, str]
    ask: Mapping[str, str]
    fragment: Mapping[str, str]
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Fields:
    """The fields that one domain's tools may name: its own, the shared ones, the ids of all entities."""

    def __init__(
        self, own: Mapping[str, Any], shared: Mapping[str, Any], entities: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._own, self._shared, self._entities = own, shared, entities
        self._ids = {entity.get("id", f"{name}_id"): name for name, entity in entities.items()}
        self._cache: dict[str, Field] = {}
        self.plurals = {plural_of(name, e): e["zh"].rpartition(" ")[2] for name, e in entities.items()}
        """Name of a list of entities to what they are called in Chinese."""

    def __getitem__(self, name: str) -> Field:
        if name not in self._cache:
            self._cache[name] = self._identifier(name) if self._is_identifier(name) else self._build(name)
        return self._cache[name]

    def _is_identifier(self, name: str) -> bool:
        return name in self._ids and name not in self._own

    def _identifier(self, name: str) -> Field:
        entity = self._ids[name]
        spec = self._entities[entity]
        label = spec.get("en", entity.replace("_", " "))
        measure, _, noun = spec["zh"].rpartition(" ")
        measure = measure or "个"
        return Field(
            name=name,
            schema={"type": "string", "description": f"Id of the {label}", KIND: f"{entity}_id"},
            label=f"{label} id",
            zh=f"{noun}编号",
            noun={"en": f"that {label}", "zh": f"那{measure}{noun}"},
            ask={"en": f"Which {label} do you mean?", "zh": f"您指的是哪{measure}{noun}？"},
            fragment={"en": f"for {label} {{{name}}}", "zh": f"{noun}编号为{{{name}}}"},
        )

    def _build(self, name: str) -> Field:
        spec = self._spec(name)
        label = spec.get("label", name.replace("_", " "))
        zh = spec["zh"]
        flag, enum = spec.get("flag", False), spec.get("enum", ())
        words = {}
        if isinstance(enum, Mapping):
            words = {"en": {value: _said(value) for value in enum}, "zh": dict(enum)}
        return Field(
            name=name,
            schema=self._schema(name, spec, label),
            label=label,
            zh=zh,
            noun={"en": spec.get("noun", f"that {label}"), "zh": spec.get("noun_zh", f"那个{zh}")},
            ask={
                "en": spec.get("ask", f"Do you want {label}?" if flag else f"Which {label} would you like?"),
                "zh": spec.get("ask_zh", f"请问是否{zh}？" if flag else f"请问{zh}是什么？"),
            },
            fragment={
                "en": spec.get("with", f"with the {label} {{{name}}}"),
                "zh": spec.get("with_zh", f"{zh}为{{{name}}}"),
            },
            words=words,
        )

    def _spec(self, name: str) -> dict[str, Any]:
        spec = self._own.get(name, self._shared.get(name))
        if spec is None:
            raise CatalogueError(f"field {name}: not defined; add it to fields, or to _shared.yaml")
        spec = {"zh": spec} if isinstance(spec, str) else dict(spec)
        if unknown := sorted(spec.keys() - _KEYS):
            raise CatalogueError(
                f"field {name}: unknown key {unknown[0]}; known are {', '.join(sorted(_KEYS))}"
            )
        if "zh" not in spec:
            raise CatalogueError(f"field {name}: no zh; add its Chinese label")
        kind = spec.setdefault("kind", name)
        if kind in self._shared and kind != name and isinstance(self._shared[kind], Mapping):
            base = self._shared[kind]
            spec = {key: base[key] for key in _INHERITED if key in base} | spec
        return spec

    def _schema(self, name: str, spec: Mapping[str, Any], label: str) -> dict[str, Any]:
        text = spec.get("text", label[0].upper() + label[1:])
        if "list" in spec:
            least = spec.get("min", 1)
            schema = {"type": "array", "items": self._part(spec["list"]), "minItems": least, "maxItems": 3}
            return schema | {"description": text, KIND: spec["kind"]}
        if "object" in spec:
            return self.object(spec["object"]) | {"description": text, KIND: spec["kind"]} | _say(spec)
        if spec.get("flag"):
            return {"type": "boolean", "description": text, KIND: "flag"}
        schema = {"type": spec.get("type", "string")}
        if "format" in spec:
            schema["format"] = spec["format"]
            text += {"date": " (YYYY-MM-DD)", "date-time": " (YYYY-MM-DDTHH:MM:SS)"}.get(spec["format"], "")
        if "enum" in spec:
            schema["enum"] = list(spec["enum"])
        schema |= {
            key: spec[short] for short, key in (("min", "minimum"), ("max", "maximum")) if short in spec
        }
        return schema | {"description": text, KIND: spec["kind"]}

    def _part(self, spec: str | Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(spec, str):
            return dict(self[spec].schema)
        return self.object(spec["object"]) | _say(spec)

    def object(self, names: str) -> dict[str, Any]:
        """Schema of an object with the fields ``names``, all of them required but those marked with ``?``."""
        words = names.split()
        return {
            "type": "object",
            "properties": {word.rstrip("?"): dict(self[word.rstrip("?")].schema) for word in words},
            "required": [word for word in words if not word.endswith("?")],
        }


def plural_of(name: str, entity: Mapping[str, Any]) -> str:
    """What a list of the entity is called in an answer."""
    return str(entity.get("plural", f"{name}s"))


def _said(value: Any) -> str:
    return str(value).replace("_", " ")


def _say(spec: Mapping[str, Any]) -> dict[str, str]:
    return {SAY: spec["say"]} if "say" in spec else {}
