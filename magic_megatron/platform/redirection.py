"""One small, documented replacement of an upstream name, and the rules by which it is installed.

A redirection says which file upstream needs it, for which versions that was checked, and when it can go. It
sends a call elsewhere; it never changes what is computed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import SpecifierSet

from recipes.command import InputError


@dataclass(frozen=True)
class Redirection:
    """A row of the table in ``docs/rehearsal.md``.

    Attributes:
        name: of the unit, unique within its package.
        package: distribution whose code needs it.
        versions: those it was checked with, as a version specifier.
        upstream: files of ``package`` that need it.
        replaces: dotted names that ``apply`` replaces; each must exist.
        why: what goes wrong without it.
        until: the condition for its removal.
        apply: installs it.
    """

    name: str
    package: str
    versions: str
    upstream: str
    replaces: tuple[str, ...]
    why: str
    until: str
    apply: Callable[[], None]


def redirection(
    *, package: str, versions: str, upstream: str, replaces: tuple[str, ...], until: str
) -> Callable[[Callable[[], None]], Redirection]:
    """Turn the function that installs a redirection into its row; the docstring is its reason."""

    def row(apply: Callable[[], None]) -> Redirection:
        return Redirection(
            name=apply.__name__,
            package=package,
            versions=versions,
            upstream=upstream,
            replaces=replaces,
            why=" ".join((inspect.getdoc(apply) or "").split()),
            until=until,
            apply=apply,
        )

    return row


_installed: set[tuple[str, str]] = set()


def install(redirections: Iterable[Redirection]) -> None:
    """Install those that aren't yet, in their order, after all versions are found to be known.

    Raises:
        InputError: a package is absent or of an unknown version, or lacks a name that is to be replaced.
    """
    missing = [row for row in redirections if (row.package, row.name) not in _installed]
    for package, versions in dict.fromkeys((row.package, row.versions) for row in missing):
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise InputError(f"{package}: not installed; run ./launch/setup.sh") from None
        check_version(package, installed, versions)
    for row in missing:
        for name in row.replaces:
            current(name)
        row.apply()
        _installed.add((row.package, row.name))


def check_version(package: str, installed: str, known: str) -> None:
    """Refuse a version for which the redirections were never checked.

    Raises:
        InputError: ``installed`` isn't in the specifier ``known``.
    """
    if not SpecifierSet(known).contains(installed, prereleases=True):
        raise InputError(
            f"{package}=={installed}: the redirections of platform=rehearsal know {package}{known} only;"
            " install a known version (./launch/setup.sh), or check each of them and widen the range in"
            " magic_megatron/platform"
        )


def current(dotted: str) -> Any:
    """The object that a dotted name means now.

    Raises:
        InputError: the name doesn't exist in the installed version.
    """
    parent, attribute = _locate(dotted)
    return getattr(parent, attribute)


def replace(dotted: str, substitute: Any) -> None:
    """Let a dotted name mean ``substitute``."""
    parent, attribute = _locate(dotted)
    setattr(parent, attribute, substitute)


def _locate(dotted: str) -> tuple[Any, str]:
    """The module or class that holds the last part of a dotted name, and that part."""
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            parent: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module + ".").startswith(error.name + "."):
                raise
            continue
        for part in parts[length:-1]:
            parent = getattr(parent, part, None)
        if parent is not None and hasattr(parent, parts[-1]):
            return parent, parts[-1]
        break
    raise InputError(
        f"{dotted}: gone from the installed version, though a redirection of platform=rehearsal replaces it;"
        " install a known version (./launch/setup.sh)"
    )
