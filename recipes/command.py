"""Start a command from its recipe: compose, refuse unknown keys, report bad input in one line.

Every ``__main__`` of the project is ``run("<recipe>", main)``. Exit status: 0 done; 2 bad input, with one
line on standard error that names key, value and fix; 1 anything else, with its traceback.
"""

from __future__ import annotations

import dataclasses
import difflib
import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError

_FINITE = ConfigDict(allow_inf_nan=False)


class InputError(ValueError):
    """Bad input by the user. The message names the key, the value and the fix."""


def run(
    recipe: str, main: Callable[[DictConfig], None], defaults: Mapping[str, str] | None = None
) -> NoReturn:
    """Compose ``recipes/<recipe>.yaml`` with the command line's overrides and call ``main`` with it.

    Args:
        recipe: name of a file in ``recipes/`` without its suffix.
        main: receives the composed, unresolved config.
        defaults: overrides for keys that the command line leaves out and no file can know, such as the
            platform of this machine.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"
    given = {argument.split("=", 1)[0] for argument in sys.argv[1:]}
    sys.argv += [f"{key}={value}" for key, value in (defaults or {}).items() if key not in given]
    overrides = get_args_parser().parse_args().overrides
    try:
        for override in overrides:
            _check_override(override)
        compose(recipe, overrides)
    except InputError as error:
        _refuse(error)

    @hydra.main(version_base="1.3", config_path="pkg://recipes", config_name=recipe)
    def reporting(config: DictConfig) -> None:
        try:
            main(config)
        except InputError as error:
            _refuse(error)

    reporting()
    sys.exit(0)


def compose(recipe: str, overrides: list[str]) -> DictConfig:
    """The recipe with its overrides, as ``run`` passes it on.

    Raises:
        InputError: an unknown key or group choice, or a line that isn't an override.
    """
    with hydra.initialize_config_module("recipes", version_base="1.3"):
        try:
            return hydra.compose(recipe, overrides)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            keys = _flat_keys(hydra.compose(recipe))
            raise InputError(_explain(str(error), overrides, keys)) from None


def make_folder(key: str, path: Path) -> None:
    """Make ``path``, which ``key`` of a recipe names, where it isn't there yet.

    Raises:
        InputError: something else is there, or it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{key}={path}: {error.strerror}; choose another folder") from None


@contextmanager
def hold_folder(key: str, path: Path) -> Iterator[None]:
    """Make ``path``, which ``key`` names, and keep other runs out of it; the kernel drops the lock with the process.

    Raises:
        InputError: another run is in it, or it can't be written.
    """
    make_folder(key, path)
    try:
        lock = (path / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{key}={path}: {error.strerror}; choose another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{key}={path}: another run is writing there; wait for it, or choose another one"
            ) from None
        yield


def typed[T](schema: type[T], config: DictConfig) -> T:
    """``config`` as an instance of the dataclass ``schema``: every field given, none unknown, each of its type.

    Raises:
        InputError: an unknown or a missing key, or a value of another type.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        if missing := re.search(r"Missing mandatory value: (\S+)", str(error)):
            raise InputError(f"{missing[1]}: missing; give it as {missing[1]}=VALUE") from None
        raise InputError(f"{getattr(error, 'full_key', '')}: {str(error).splitlines()[0]}") from None
    return _build(schema, values, prefix="")


def _build(schema: Any, values: Any, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise InputError(f"{prefix.rstrip('.')}={values}: must be a group of keys; see --cfg job")
    hints = get_type_hints(schema)
    for key in values:
        if key not in hints:
            near = difflib.get_close_matches(str(key), list(hints), n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(hints)}"
            raise InputError(f"{prefix}{key}={values[key]}: unknown key; {hint}")
    arguments = {}
    for name, hint in hints.items():
        key, value = prefix + name, values.get(name, "???")
        if value == "???":
            raise InputError(f"{key}: missing; give it as {key}=VALUE")
        if dataclasses.is_dataclass(hint):
            arguments[name] = _build(hint, value, prefix=f"{key}.")
            continue
        try:
            if isinstance(value, bool) and bool not in (hint, *get_args(hint)):
                raise InputError(
                    f"{key}={str(value).lower()}: neither true nor false makes sense here; give a value"
                )
            arguments[name] = TypeAdapter(hint, config=_FINITE).validate_python(value)
        except ValidationError as error:
            raise InputError(f"{key}={value}: {error.errors()[0]['msg']}") from None
    return schema(**arguments)


def _check_override(override: str) -> None:
    """Refuse what Hydra's grammar can't read, and the deletion of keys, which no command expects.

    Raises:
        InputError: naming the key, the value and how to write it.
    """
    key, _, value = override.partition("=")
    if key.startswith("~"):
        raise InputError(f"{override}: a key can't be deleted; leave it out, or give it a value")
    try:
        several = OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        if "=" not in override:
            raise InputError(f"{override}: not an override; write it as key=value") from None
        raise InputError(
            f"{key}={value}: ( ) [ ] {{ }} , = : have a meaning of their own in values; quote it as '{key}=\"{value}\"'"
        ) from None
    if several:
        raise InputError(
            f"{override}: several values; write a list as {key}=[…], a value with a comma as '{key}=\"{value}\"'"
        )


def _explain(message: str, overrides: list[str], keys: list[str]) -> str:
    """One line for Hydra's many: the key, the value, and the nearest key or the choices."""
    unknown = re.search(r"Key '([^']+)' is not in struct|Could not override '([^']+)'", message)
    if unknown:
        override = re.search(r"Could not override '([^']+)'", message)
        key = (override.group(1) if override else unknown.group(1)).lstrip("+~")
        value = next((o.split("=", 1)[1] for o in overrides if o.split("=", 1)[0] == key and "=" in o), "")
        near = difflib.get_close_matches(key, keys, n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "see --cfg job for the keys"
        return f"{key}={value}: unknown key; {hint}"
    choice = re.search(r"In '[^']*': Could not find '([^']+)'|Could not (?:find|load) '([^']+)'", message)
    if choice:
        name = choice.group(1) or choice.group(2)
        listed = re.findall(r"^\t(\S+)$", message, flags=re.MULTILINE)
        return f"{name.replace('/', '=')}: no such choice; choose one of {', '.join(listed) or 'the recipes'}"
    empty = [override for override in overrides if override.endswith("=null")]
    if "Config group override" in message and empty:
        return f"{empty[0]}: a group can't be empty; choose one of its entries, see --help"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(lines[:2]) + "; see --cfg job for the keys and their values"


def _flat_keys(config: DictConfig) -> list[str]:
    plain = OmegaConf.to_container(config, resolve=False)
    keys: list[str] = []

    def walk(node: object, prefix: str) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                keys.append(f"{prefix}{key}")
                walk(value, f"{prefix}{key}.")

    walk(plain, "")
    return keys


def _refuse(error: InputError) -> NoReturn:
    if os.environ.get("RANK", "0") == "0":
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
    sys.exit(2)
