"""GET pages of this machine's loopback, on ports that are allowed by name. Nothing else of the network.

The address is never resolved: only ``127.0.0.1``, ``[::1]`` and ``localhost`` (taken for ``127.0.0.1``) are asked, and
no redirection is followed, no proxy used. A port is allowed because the demo serves it or ``tools.ports`` names it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx

from evaluation.demo.toolbox import Tool, ToolError
from evaluation.jsonl import quote

MAX_BYTES = 100_000
MAX_SECONDS = 5.0
_HOSTS = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}


def http_tool(ports: Sequence[int], pages: Sequence[str]) -> Tool:
    """The tool over ``ports``; ``pages`` are addresses worth naming in its description."""
    known = f" Pages: {', '.join(pages)}" if pages else ""
    return Tool(
        "http_get",
        f"Fetch a page by HTTP from this machine (127.0.0.1 only; ports {', '.join(map(str, ports))}).{known}",
        {"url": {"type": "string", "description": "http://127.0.0.1:PORT/PATH"}},
        lambda url: get(url, ports),
    )


def get(url: str, ports: Sequence[int]) -> str:
    """``HTTP 200`` and the page's text.

    Raises:
        ToolError: an address that isn't allowed, or no answer from it.
    """
    target = _check(url, ports)
    deadline = time.monotonic() + MAX_SECONDS
    try:
        with (
            httpx.Client(trust_env=False, follow_redirects=False, timeout=MAX_SECONDS) as client,
            client.stream("GET", target, headers={"Accept-Encoding": "identity"}) as response,
        ):
            content = bytearray()
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > MAX_BYTES or time.monotonic() > deadline:
                    break
    except (httpx.HTTPError, UnicodeError) as error:
        raise ToolError(f"{quote(url)}: {type(error).__name__}: {error}") from None
    moved = f" to {quote(response.headers['location'])}, not followed" if response.is_redirect else ""
    cut = (
        f"\n(cut at {len(content)} bytes)" if len(content) > MAX_BYTES or time.monotonic() > deadline else ""
    )
    return f"HTTP {response.status_code}{moved}\n{content[:MAX_BYTES].decode('utf-8', 'replace')}{cut}"


def _check(url: str, ports: Sequence[int]) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        raise ToolError(f"{quote(url)}: not an address") from None
    if parsed.scheme != "http" or parsed.userinfo:
        raise ToolError(f"{quote(url)}: only http:// without user names")
    if parsed.host not in _HOSTS:
        raise ToolError(f"{quote(url)}: only this machine may be asked, as 127.0.0.1 or localhost")
    if (parsed.port or 80) not in ports:
        raise ToolError(f"{quote(url)}: only the ports {', '.join(map(str, ports))} may be asked")
    return parsed.copy_with(host=_HOSTS[parsed.host])
