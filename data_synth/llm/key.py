"""The key of an endpoint: it goes into one header, and nowhere else."""

from __future__ import annotations

import os
import re

from recipes.command import InputError

LEAST_CHARACTERS = 4
"""A shorter one would be found, and hidden, in every other text."""


class ApiKey:
    """A key that shows itself in no ``repr``, and takes itself out of what a server echoes."""

    def __init__(self, value: str) -> None:
        self._value = value
        self._shapes = re.compile("".join(map(_written, value)), re.IGNORECASE) if value else None

    @classmethod
    def from_environment(cls, variable: str | None) -> ApiKey:
        """The key in ``variable``, spaces around it removed; an empty one for None.

        Raises:
            InputError: the variable isn't there, or what it holds can't be a key.
        """
        if variable is None:
            return cls("")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,60}", variable):
            raise InputError(
                "llm.api_key_env: not the name of an environment variable; export the key in one, such as"
                " LLM_API_KEY, and give its name"
            )
        value = os.environ.get(variable, "").strip()
        if not value:
            raise InputError(
                f"llm.api_key_env={variable}: no such environment variable; export the key in it"
            )
        if len(value) < LEAST_CHARACTERS or not re.fullmatch(r"[!-~]+", value):
            raise InputError(
                f"llm.api_key_env={variable}: what it holds is no key (too short, or with spaces, line breaks or"
                " letters beyond ASCII); export the bare key in it"
            )
        return cls(value)

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("a key isn't written anywhere; name its environment variable instead")

    def headers(self) -> dict[str, str]:
        """What authorises a request."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hide(self, text: str) -> str:
        """``text`` with ``[key]`` where it has the key, escaped as in JSON or in an address or not."""
        return self._shapes.sub("[key]", text) if self._shapes else text

    def is_in(self, text: str) -> bool:
        return bool(self._shapes and self._shapes.search(text))


def _written(character: str) -> str:
    """A pattern for the ways in which JSON and addresses write ``character``."""
    code, plain = ord(character), re.escape(character)
    return f"(?:{plain}|\\\\+{plain}|\\\\+u00{code:02x}|%{code:02x})"
