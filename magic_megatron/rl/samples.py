"""A step's turns as rollouts on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magic_megatron.rl.episodes import Turn
from magic_megatron.rl.rollouts import Sample, TokenTexts


def group_name(turn: Turn) -> str:
    """The prompt's place in the run's order and its row or instance: unique within a step."""
    return f"{turn.position}:{turn.instance}"


def as_samples(
    step: int,
    turns: Sequence[Turn],
    tokenizer: Any,
    entropies: Sequence[Sequence[float]] | None,
    advantages: Sequence[float] | None,
) -> list[Sample]:
    """``turns`` in the order of their groups, samples and turns.

    Args:
        entropies: per turn and response token, nats.
        advantages: per turn.
    """
    texts = TokenTexts(tokenizer)
    order = sorted(range(len(turns)), key=lambda i: (turns[i].position, turns[i].session, turns[i].index))
    return [
        _sample(
            step,
            turns[i],
            tokenizer,
            texts,
            None if entropies is None else list(entropies[i]),
            None if advantages is None else float(advantages[i]),
        )
        for i in order
    ]


def _sample(
    step: int,
    turn: Turn,
    tokenizer: Any,
    texts: TokenTexts,
    entropies: list[float | None] | None,
    advantage: float | None,
) -> Sample:
    return Sample(
        step=step,
        group=group_name(turn),
        sample=turn.session,
        turn=turn.index,
        task=turn.task,
        prompt=tokenizer.decode(turn.prompt_ids),
        response=tokenizer.decode(turn.response_ids),
        prompt_ids=turn.prompt_ids,
        response_ids=turn.response_ids,
        tokens=texts(turn.response_ids),
        log_probs=None if turn.log_probs is None else list(turn.log_probs),
        entropies=entropies,
        segments=turn.segments,
        reward=turn.reward,
        parts=dict(turn.parts),
        reason=turn.reason,
        advantage=advantage,
        won=turn.won,
        valid=turn.valid,
        lost=not turn.counts,
    )
