"""``steps=12``, ``10-20``, ``10-`` or a list of these, as a container of steps."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recipes.command import InputError


@dataclass(frozen=True)
class Steps:
    """Ranges of steps, both ends in them; an end of None is open."""

    ranges: tuple[tuple[int, int | None], ...]

    def __contains__(self, step: object) -> bool:
        return isinstance(step, int) and any(
            first <= step and (last is None or step <= last) for first, last in self.ranges
        )


def parse_steps(given: int | str | list[int | str]) -> Steps:
    """
    Raises:
        InputError: it isn't a step, a range or a list of these, or a range that holds nothing.
    """
    parts = [str(part).strip() for part in (given if isinstance(given, list) else str(given).split(","))]
    return Steps(tuple(_parse(part) for part in parts))


def _parse(part: str) -> tuple[int, int | None]:
    found = re.fullmatch(r"(\d{1,18})(-(\d{1,18})?)?", part)
    if found is None:
        raise InputError(
            f"steps={part}: not a step; give one as 12, a range as 10-20 or 10-, or a list of these"
        )
    first = int(found[1])
    last = first if found[2] is None else int(found[3]) if found[3] else None
    if last is not None and last < first:
        raise InputError(f"steps={part}: ends before it begins; give it as {last}-{first}")
    return first, last
