"""The candidates of a row: those of the gold plan among distractors from the pools, in shuffled order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from data_synth.tasks.procedural.workflow import Candidate, GoldPlan

type Style = str
STYLES: tuple[Style, ...] = ("json", "signatures", "numbered")


def choose_candidates(
    gold: GoldPlan, pool: Sequence[Candidate], number: int, related_share: float, rng: Random
) -> tuple[Candidate, ...]:
    """The gold plan's candidates and ``number`` distractors (fewer if the pool runs dry), shuffled.

    Args:
        related_share: of the distractors, at most; these are of the gold candidates' domains.
    """
    kept = _kept(gold, pool)
    names = {candidate.name for candidate in kept}
    domains = {candidate.domain for candidate in kept if candidate.domain}
    others = [candidate for candidate in pool if candidate.name not in names]
    near = [candidate for candidate in others if candidate.domain in domains]
    chosen = rng.sample(near, min(round(number * related_share), len(near)))
    taken = {candidate.name for candidate in chosen}
    rest = [candidate for candidate in others if candidate.name not in taken]
    chosen += rng.sample(rest, min(number - len(chosen), len(rest)))
    candidates = [*kept, *chosen]
    rng.shuffle(candidates)
    return tuple(candidates)


def _kept(gold: GoldPlan, pool: Sequence[Candidate]) -> list[Candidate]:
    """What the source lists with the task, and what the plan uses; a name that neither knows stays missing."""
    kept = {candidate.name: candidate for candidate in gold.own}
    used = set(gold.actions()) - set(kept)
    return [*kept.values(), *(candidate for candidate in pool if candidate.name in used)]


def show(candidates: Sequence[Candidate], style: Style) -> str:
    """The list as the prompt has it."""
    if style == "json":
        return json.dumps([_record(candidate) for candidate in candidates], ensure_ascii=False)
    lines = [_signature(candidate) for candidate in candidates]
    if style == "numbered":
        return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    return "\n".join(f"- {line}" for line in lines)


def _record(candidate: Candidate) -> dict[str, Any]:
    record: dict[str, Any] = {"name": candidate.name}
    if candidate.description:
        record["description"] = candidate.description
    if candidate.parameters:
        record["parameters"] = candidate.parameters
    return record


def _signature(candidate: Candidate) -> str:
    """``name(required, optional?): description``."""
    if not candidate.parameters:
        return f"{candidate.name}: {candidate.description}".removesuffix(": ")
    required = set(candidate.parameters.get("required", ()))
    properties: Mapping[str, Any] = candidate.parameters.get("properties", {})
    names = [name if name in required else f"{name}?" for name in properties]
    return f"{candidate.name}({', '.join(names)}): {candidate.description}"
