"""What HTTP leaves to the client: whose answer it is, how much of it to read, how long to wait."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Mapping
from typing import Any

import httpx


class Arrival:
    """Notices an answer that lay in the connection's buffer before its request was sent.

    A server or proxy that answers twice makes every further answer on that connection another request's. httpcore
    calls this object as it works; an answer that needn't be waited for, be it for one turn of the loop, is early.
    """

    def __init__(self) -> None:
        self.is_early = False
        self._has_waited = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "http11.receive_response_headers.started":
            self._has_waited = False
            asyncio.get_running_loop().call_soon(self._wait)
        elif event == "http11.receive_response_headers.complete":
            self.is_early = not self._has_waited

    def _wait(self) -> None:
        self._has_waited = True


async def read_body(response: httpx.Response, most: int) -> bytes:
    """The body, or its first ``most`` bytes: the rest is never read."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk[: most - len(body)]
        if len(body) >= most:
            break
    return bytes(body)


def retry_after(header: str) -> float:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date, RFC 9110 10.2.3); 0 without one."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
