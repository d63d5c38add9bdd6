"""What a docstring says of a function, its parameters and its result, in Google's, NumPy's or Sphinx's style."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_GOOGLE = re.compile(r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?|Attributes):\s*")
_NUMPY = re.compile(r"(Parameters|Other Parameters|Returns|Yields|Raises|Examples|Notes|See Also)\s*")
_FIELD = re.compile(r":(param|parameter|arg|type|returns?|rtype|raises?)\s*([^:]*):\s*(.*)")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\(([^)]*)\))?\s*:\s*(.*)")
_NUMPY_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?::\s*(.+))?")


@dataclass
class Docstring:
    """The parts of a docstring; ``types`` are as they are written there."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    returns: str = ""


def parse_docstring(text: str | None) -> Docstring:
    """The parts of a docstring; all empty where there is none."""
    lines = inspect.cleandoc(text or "").splitlines()
    found, section, style, about = Docstring(), "description", "", list[str]()
    entry, skip = "", False
    for place, line in enumerate(lines):
        if skip:
            skip = False
            continue
        under = lines[place + 1].strip() if place + 1 < len(lines) else ""
        header = _header(line, under)
        if header:
            section, style = header
            entry, skip = "", style == "numpy"
        elif _FIELD.fullmatch(line.strip()):
            section = "sphinx"
            entry = _add_field(found, line.strip())
        elif section == "description":
            about.append(line.strip())
        elif section == "parameters":
            entry = _add_entry(found, line, entry, style)
        elif section == "returns":
            found.returns = f"{found.returns} {line.strip()}".strip()
        elif section == "sphinx" and line.strip() and entry in found.parameters:
            found.parameters[entry] += f" {line.strip()}"
    found.description = " ".join(" ".join(about).split())
    return found


def _header(line: str, under: str) -> tuple[str, str] | None:
    """The section that a line opens, and its style."""
    google = _GOOGLE.fullmatch(line)
    numpy = _NUMPY.fullmatch(line) if len(under) >= 3 and set(under) == {"-"} else None
    title = google or numpy
    if not title:
        return None
    name = title[1].lower()
    if name.startswith(("arg", "param", "other")):
        section = "parameters"
    else:
        section = "returns" if name.startswith(("return", "yield")) else "rest"
    return section, "google" if google else "numpy"


def _add_field(found: Docstring, line: str) -> str:
    kind, name, text = re.fullmatch(_FIELD, line).groups()  # type: ignore[union-attr]
    name = name.split()[-1] if name.split() else ""
    if kind in ("param", "parameter", "arg"):
        found.parameters[name] = text
    elif kind == "type":
        found.types[name] = text
    elif kind.startswith("return"):
        found.returns = text
    return name


def _add_entry(found: Docstring, line: str, entry: str, style: str) -> str:
    """Read a line of a section of parameters; the name of the parameter that it is about."""
    is_indented = line.startswith(("        ", "\t\t")) if style == "google" else line.startswith((" ", "\t"))
    match = None if is_indented else (_ENTRY if style == "google" else _NUMPY_ENTRY).fullmatch(line.strip())
    if not match:
        if entry and line.strip():
            found.parameters[entry] = f"{found.parameters[entry]} {line.strip()}".strip()
        return entry
    entry, told = match[1], match[2]
    found.parameters[entry] = match[3] if style == "google" else ""
    if told:
        found.types[entry] = told.split(",")[0].strip()
    return entry
