"""Which of several servers is asked next: in turn, those that are down or overloaded left out for a while."""

from __future__ import annotations

import time
from collections.abc import Callable


class Fleet:
    """Servers of the same model; used from one thread.

    Args:
        most_s: a server of several that stays bad rests longer each time, up to so many seconds.
    """

    def __init__(
        self, urls: tuple[str, ...], most_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.urls = urls
        self._most_s = most_s
        self._clock = clock
        self._rests_until = dict.fromkeys(urls, 0.0)
        self._num_rests = dict.fromkeys(urls, 0)
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
        """Leave it out for so long; of several servers, twice as long after each rest that didn't help."""
        now = self._clock()
        if self._rests_until[url] <= now and len(self.urls) > 1:  # many requests may fail at once
            self._num_rests[url] += 1
        doubled = seconds * 2 ** min(max(self._num_rests[url] - 1, 0), 30)
        until = now + max(seconds, min(doubled, self._most_s))
        self._rests_until[url] = max(self._rests_until[url], until)

    def is_back(self, url: str) -> None:
        """It answers again."""
        self._rests_until[url], self._num_rests[url] = 0.0, 0

    @property
    def has_other(self) -> bool:
        """Whether some server doesn't rest, of several."""
        now = self._clock()
        return len(self.urls) > 1 and any(until <= now for until in self._rests_until.values())
