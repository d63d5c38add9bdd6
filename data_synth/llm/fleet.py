"""Which of several servers is asked next: in turn, those that are down or overloaded left out for a while."""

from __future__ import annotations

import time
from collections.abc import Callable


class Fleet:
    """Servers of the same model; used from one thread."""

    def __init__(self, urls: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self.urls = urls
        self._clock = clock
        self._rests_until = dict.fromkeys(urls, 0.0)
        self._next = 0

    def pick(self) -> tuple[str, float]:
        """The next server in turn that doesn't rest, and 0; if all rest, the first to be back, and the wait."""
        now = self._clock()
        for step in range(len(self.urls)):
            url = self.urls[(self._next + step) % len(self.urls)]
            if self._rests_until[url] <= now:
                self._next += step + 1
                return url, 0.0
        url = min(self.urls, key=self._rests_until.__getitem__)
        return url, self._rests_until[url] - now

    def rest(self, url: str, seconds: float) -> None:
        """Leave it out for so long."""
        self._rests_until[url] = max(self._rests_until[url], self._clock() + seconds)

    def is_back(self, url: str) -> None:
        """It answers again."""
        self._rests_until[url] = 0.0

    @property
    def has_other(self) -> bool:
        """Whether some server doesn't rest, of several."""
        now = self._clock()
        return len(self.urls) > 1 and any(until <= now for until in self._rests_until.values())
