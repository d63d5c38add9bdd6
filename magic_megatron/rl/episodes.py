"""What a step's samples were, read back from TransferQueue on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transfer_queue as tq
from transfer_queue import KVBatchMeta

from magic_megatron.rl.rewards import PARTS

_FIELDS = (
    "prompts",
    "responses",
    "response_mask",
    "rm_scores",
    "rollout_log_probs",
    "segments",
    "turn_index",
    "counts",
    "extra_info",
    "extra_fields",
    "data_source",
    "sampling",
    "index",
)


@dataclass(frozen=True)
class Turn:
    """One sample: a turn of an episode.

    Attributes:
        row: its place in the batch.
        position: that of its prompt in the run's order.
        group, session, index: prompt, answer to it, and turn, by which verl names the sample.
        sampling: ``train``, ``greedy`` or ``sampled``.
        reward: of the episode; ``turn_reward`` is of the turn itself, where there is an environment.
        parts, reason: of the reward.
        won: the game; None where there is none. ``valid``: the turn's action was admissible.
        observation: what the turn answered to, where there is an environment.
        counts: false for an episode that its environment lost.
        log_probs: of the rollout, per response token, nats.
        segments: per response token.
    """

    row: int
    position: int
    group: str
    session: int
    index: int
    task: str
    instance: str
    sampling: str
    reward: float
    parts: dict[str, float]
    reason: str
    won: bool | None
    valid: bool | None
    turn_reward: float
    observation: str
    counts: bool
    prompt_ids: list[int]
    response_ids: list[int]
    log_probs: list[float] | None
    segments: list[int]

    @property
    def episode(self) -> tuple[str, int]:
        return self.group, self.session


def read_turns(batch: KVBatchMeta) -> list[Turn]:
    """The batch's samples without its padding, in its order."""
    rows = [row for row, tag in enumerate(batch.tags) if not tag.get("is_padding")]
    data = tq.kv_batch_get(
        keys=[batch.keys[row] for row in rows], partition_id=batch.partition_id, select_fields=list(_FIELDS)
    )
    columns = {name: _column(data, name) for name in _FIELDS}
    return [
        _turn(row, batch.keys[row], {name: column[position] for name, column in columns.items()})
        for position, row in enumerate(rows)
    ]


def final_turns(turns: Sequence[Turn]) -> list[Turn]:
    """The last turn of each episode."""
    last: dict[tuple[str, int], Turn] = {}
    for turn in turns:
        if turn.episode not in last or last[turn.episode].index < turn.index:
            last[turn.episode] = turn
    return list(last.values())


@dataclass(frozen=True)
class Padded:
    """A step's turns as tensors: N turns, L tokens of the longest response."""

    entropy: torch.Tensor
    mask: torch.Tensor
    segments: torch.Tensor
    episodes: torch.Tensor
    turn_index: torch.Tensor


def padded(turns: Sequence[Turn], entropies: Sequence[Sequence[float]]) -> Padded:
    """``turns`` for the mathematics of ``xxpo.py``. Turns of lost episodes are masked.

    Args:
        entropies: per turn and response token, nats.
    """
    length = max(len(turn.response_ids) for turn in turns)
    numbers: dict[tuple[str, int], int] = {}
    shape = (len(turns), length)
    result = Padded(
        entropy=torch.zeros(shape),
        mask=torch.zeros(shape, dtype=torch.bool),
        segments=torch.zeros(shape, dtype=torch.int64),
        episodes=torch.tensor([numbers.setdefault(turn.episode, len(numbers)) for turn in turns]),
        turn_index=torch.tensor([turn.index for turn in turns]),
    )
    for place, (turn, values) in enumerate(zip(turns, entropies, strict=True)):
        result.entropy[place, : len(values)] = torch.tensor(values)
        result.mask[place, : len(turn.response_ids)] = turn.counts
        result.segments[place, : len(turn.segments)] = torch.tensor(turn.segments)
    return result


def _turn(row: int, key: str, fields: dict[str, Any]) -> Turn:
    group, session, index = key.rsplit("_", 2)
    about = fields["extra_fields"].get("reward_extra_info") or {}
    extra = fields["extra_info"]
    return Turn(
        row=row,
        position=int(fields["index"]),
        group=group,
        session=int(session),
        index=int(index),
        task=extra.get("task") or fields["data_source"],
        instance=str(extra.get("id") or ""),
        sampling=fields["sampling"],
        reward=float(sum(fields["rm_scores"])),
        parts={name: float(about[name]) for name in PARTS if about.get(name) is not None},
        reason=str(about.get("reason") or ""),
        won=about.get("won"),
        valid=fields["extra_fields"].get("valid"),
        turn_reward=float(fields["extra_fields"].get("turn_reward") or 0.0),
        observation=str(fields["extra_fields"].get("observation") or ""),
        counts=bool(fields["counts"][0]),
        prompt_ids=fields["prompts"],
        response_ids=fields["responses"],
        log_probs=fields["rollout_log_probs"],
        segments=fields["segments"],
    )


def _column(data: Any, name: str) -> list[Any]:
    if name not in data:
        return [None] * len(data)
    column = data[name]
    if isinstance(column, torch.Tensor):
        rows = column.unbind() if column.is_nested else list(column)
        return [row.tolist() for row in rows]
    values = column.tolist() if hasattr(column, "tolist") else list(column)
    return [getattr(value, "data", value) if not isinstance(value, dict | str) else value for value in values]
