"""What the rows so far hold, so that a later one doesn't repeat it: instances, and texts by their SimHash."""

from __future__ import annotations

from data_synth.filters.simhash import SimHashIndex


class Seen:
    """Grows with the rows, in their order.

    Args:
        distance: of SimHashes up to which two texts are near-duplicates; None: texts aren't compared.
    """

    def __init__(self, distance: int | None) -> None:
        self._instances: set[bytes] = set()
        self._texts = None if distance is None else SimHashIndex(distance)

    def repeats(self, instance: str, text_hash: int | None) -> str | None:
        """``duplicate``, ``near_duplicate`` or None, for a row with this SHA-256 (hex) and SimHash."""
        if bytes.fromhex(instance) in self._instances:
            return "duplicate"
        return "near_duplicate" if self.is_near(text_hash) else None

    def is_near(self, text_hash: int | None) -> bool:
        """Whether an earlier row says nearly the same; never, where texts aren't compared."""
        return self._texts is not None and text_hash is not None and self._texts.find(text_hash) is not None

    def add(self, instance: str, text_hash: int | None) -> None:
        """Remember a row."""
        self._instances.add(bytes.fromhex(instance))
        if self._texts is not None and text_hash is not None:
            self._texts.add(text_hash)
