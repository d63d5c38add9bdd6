"""What was asked, in few bytes: a dialogue grows by a message or two a request, so each request says what is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Asked:
    """The messages of a request and the tools that were offered with it, in OpenAI's format."""

    messages: Messages = ()
    tools: Messages = ()

    def beyond(self, before: Asked) -> dict[str, Any]:
        """What a reader needs who knows the request ``before``: JSON for ``after``."""
        pairs = zip(self.messages, before.messages, strict=False)
        kept = next((number for number, (new, old) in enumerate(pairs) if new != old), None)
        if kept is None:
            kept = min(len(self.messages), len(before.messages))
        news: dict[str, Any] = {"kept": kept, "messages": list(self.messages[kept:])}
        return news if self.tools == before.tools else {**news, "tools": list(self.tools)}

    def after(self, news: Mapping[str, Any]) -> Asked:
        """The request that follows this one; the inverse of ``beyond``."""
        messages = [*self.messages[: news["kept"]], *news["messages"]]
        return Asked(messages, news.get("tools", self.tools))


def replay(news: Iterable[Mapping[str, Any]]) -> Asked:
    """The last request of several, each told beyond the one before it."""
    asked = Asked()
    for each in news:
        asked = asked.after(each)
    return asked
