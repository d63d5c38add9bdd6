"""Advantages of a step's turns by the algorithm, Eq. 9 or GiGPO's."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch

from magic_megatron.config.rl_algorithm import AlgorithmConfig
from magic_megatron.rl.episodes import Turn, final_turns
from magic_megatron.rl.xxpo import discounted_returns, group_advantages


def turn_advantages(turns: Sequence[Turn], algorithm: AlgorithmConfig) -> np.ndarray:
    """One value a turn, float64 [len(turns)]; 0 for turns of an episode that its environment lost.

    Each episode counts once in its group, however many turns it took, and its turns share its advantage.
    """
    finals = [turn for turn in final_turns(turns) if turn.counts]
    values = group_advantages(
        torch.tensor([turn.reward for turn in finals], dtype=torch.float64),
        _numbers([turn.group for turn in finals]),
        scale_by_std=algorithm.scale_by_std,
    )
    by_episode = {turn.episode: float(value) for turn, value in zip(finals, values, strict=True)}
    advantages = np.array([by_episode.get(turn.episode, 0.0) for turn in turns])
    if algorithm.advantage == "episode_and_step":
        advantages += algorithm.step_weight * _step_advantages(turns, algorithm)
    return advantages


def _step_advantages(turns: Sequence[Turn], algorithm: AlgorithmConfig) -> np.ndarray:
    """GiGPO: turns of a group that saw the same observation, compared by what they earned from there on."""
    counted = [place for place, turn in enumerate(turns) if turn.counts]
    chosen = [turns[place] for place in counted]
    returns = discounted_returns(
        torch.tensor([turn.turn_reward for turn in chosen], dtype=torch.float64),
        _numbers([turn.episode for turn in chosen]),
        torch.tensor([turn.index for turn in chosen]),
        algorithm.discount,
    )
    values = group_advantages(
        returns,
        _numbers([(turn.group, turn.observation) for turn in chosen]),
        scale_by_std=algorithm.scale_by_std,
    )
    advantages = np.zeros(len(turns))
    advantages[counted] = values.numpy()
    return advantages


def _numbers(names: Sequence[Hashable]) -> torch.Tensor:
    """Equal numbers for equal names, int64 [len(names)]."""
    known: dict[Hashable, int] = {}
    return torch.tensor([known.setdefault(name, len(known)) for name in names], dtype=torch.int64)
