"""Where a model is served and with which key: what every command that asks one does alike."""

from __future__ import annotations

import os
import re

import httpx

from recipes.command import InputError

_KEY = re.compile(r"[\x21-\x7e]+")


def check_address(group: str, base_url: str, timeout_s: float, api_key_env: str | None) -> None:
    """Refuse what no request can be sent to, by the names of its keys in ``group``.

    Raises:
        InputError: an address that is none, no time to answer in, no such environment variable, or no key in it.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f"{group}.base_url: not an address; give http://HOST:PORT/v1")
    if timeout_s <= 0:
        raise InputError(f"{group}.timeout_s={timeout_s}: no time at all; give seconds above 0")
    if api_key_env is None:
        return
    if not (key := os.environ.get(api_key_env)):
        raise InputError(
            f"{group}.api_key_env={api_key_env}: no such environment variable; export the key in it"
        )
    if not _KEY.fullmatch(key):
        raise InputError(
            f"{group}.api_key_env={api_key_env}: what it holds has a space, a line's end or another character that "
            "no key has; export the key alone"
        )


def below(base_url: str, path: str, without: str = "") -> httpx.URL:
    """``path`` below the address, whose query stays; ``without``: an end of the address that is left out."""
    url = httpx.URL(base_url)
    own, mark, query = url.raw_path.decode("ascii").partition("?")
    return url.copy_with(raw_path=f"{own.rstrip('/').removesuffix(without)}{path}{mark}{query}".encode())


def without_key(text: str, key: str) -> str:
    """``text`` with ``[key]`` for every ``key`` in it, also as Python's messages quote it; an empty one is none."""
    return text.replace(key, "[key]").replace(repr(key)[1:-1], "[key]") if key else text


def without_credentials(base_url: str) -> str:
    """The address without credentials and query, for files and messages."""
    return str(httpx.URL(base_url).copy_with(userinfo=b"", query=None, fragment=None))
