"""Where a model is served and with which key: what every command that asks one checks alike."""

from __future__ import annotations

import os

import httpx

from recipes.command import InputError


def check_address(group: str, base_url: str, timeout_s: float, api_key_env: str | None) -> None:
    """Refuse what no request can be sent to, by the names of its keys in ``group``.

    Raises:
        InputError: an address that is none, no time to answer in, or no such environment variable.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f"{group}.base_url: not an address; give http://HOST:PORT/v1")
    if timeout_s <= 0:
        raise InputError(f"{group}.timeout_s={timeout_s}: no time at all; give seconds above 0")
    if api_key_env is not None and not os.environ.get(api_key_env):
        raise InputError(
            f"{group}.api_key_env={api_key_env}: no such environment variable; export the key in it"
        )


def without_credentials(base_url: str) -> str:
    """The address without credentials and query, for files and messages."""
    return str(httpx.URL(base_url).copy_with(userinfo=b"", query=None, fragment=None))
