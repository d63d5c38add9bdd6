"""XXPO's and EPO's entropy terms, Eq. 10–13, and the group advantage, Eq. 9. Mathematics only.

Shape letters: N samples that one rank holds in a micro-batch (a sample is one turn of an episode), L response tokens
of the longest, E episodes.

Every term here is a rank's share: a sum over its own tokens, with factors that are the same on all ranks
(``BatchSize``). Shares of ranks and of micro-batches add up to the term over the global batch, and so do their
gradients, however the samples were spread. No function communicates.

EPO is WujiangXu/EPO. XXPO's paper has the published indicator (Eq. 11), which has no gradient; the hinge is ours.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

NEITHER, THINK, ACTION = 0, 1, 2


@dataclass(frozen=True)
class BatchSize:
    """What the global batch of a step holds, over all ranks and mini-batches, without masked samples.

    A step that is taken in several mini-batches (updates) counts each share that often, so that the mean over the
    updates is the term.

    Attributes:
        num_episodes: B.
        num_samples: turns.
        num_tokens: response tokens.
        num_think, num_action: response tokens of each segment.
        num_mini_batches: updates.
    """

    num_episodes: int
    num_samples: int
    num_tokens: int
    num_think: int
    num_action: int
    num_mini_batches: int


def measure_batch(
    response_mask: Tensor, segments: Tensor, episode_ids: Tensor, num_mini_batches: int
) -> tuple[BatchSize, Tensor]:
    """Sizes of a step's batch, and T_i for each of its samples.

    Args:
        response_mask: true where a token counts [N, L]; a sample with none, padding or of a lost episode, is no turn.
        segments: ``NEITHER``, ``THINK`` or ``ACTION`` [N, L].
        episode_ids: int64 [N].

    Returns:
        The sizes, and the number of turns of each sample's episode, int64 [N], 0 where the sample is no turn.
    """
    mask = response_mask.bool()
    real = mask.any(dim=1)
    _, episodes = episode_ids.unique(return_inverse=True)
    turns = torch.zeros_like(episodes).index_add(0, episodes, real.long())
    size = BatchSize(
        num_episodes=int((turns > 0).sum()),
        num_samples=int(real.sum()),
        num_tokens=int(mask.sum()),
        num_think=int((mask & (segments == THINK)).sum()),
        num_action=int((mask & (segments == ACTION)).sum()),
        num_mini_batches=num_mini_batches,
    )
    return size, turns[episodes] * real


def turn_weights(response_mask: Tensor, num_turns: Tensor, size: BatchSize) -> Tensor:
    """1/B · 1/T_i · 1/|y_{i,t}| at the tokens of each turn, Eq. 10 and 11 [N, L].

    Args:
        response_mask: true where a token counts [N, L].
        num_turns: T_i of each sample's episode [N].
    """
    lengths = response_mask.sum(dim=1)
    scale = size.num_mini_batches / max(size.num_episodes, 1)
    weights = scale / (num_turns.clamp(min=1) * lengths.clamp(min=1))
    return response_mask * weights.unsqueeze(1)


def token_weights(response_mask: Tensor, size: BatchSize) -> Tensor:
    """One over the number of response tokens, at each of them: EPO's mean over tokens [N, L]."""
    return response_mask * (size.num_mini_batches / max(size.num_tokens, 1))


def segment_mean(entropy: Tensor, in_segment: Tensor, number: int, size: BatchSize) -> Tensor:
    """Share of the mean entropy of a segment's tokens; 0 where the batch has none.

    Args:
        entropy: H in nats [N, L].
        in_segment: true at the segment's response tokens [N, L].
        number: of them in the global batch.
    """
    return (entropy * in_segment).sum() * (size.num_mini_batches / max(number, 1))


def information_bottleneck(think: Tensor, action: Tensor, beta: float) -> Tensor:
    """L_IB of Eq. 12 up to its constant, H(T|P) − β·H(A|T), from the mean entropies of the two segments."""
    return think - beta * action


def penalty(
    entropy: Tensor, low: Tensor | float, high: Tensor, delta: float, smoothing: Literal["hinge", "indicator"]
) -> Tensor:
    """P of Eq. 11: what a token pays for an entropy outside its bounds [N, L].

    ``indicator`` pays ``delta`` wherever H > high or H ≤ low and has no gradient (the paper; EPO's code with its lower
    bound); ``hinge`` pays ``delta`` times the distance. An infinite bound is none.

    Args:
        entropy: H in nats [N, L].
        low, high: bounds that broadcast to [N, L]; constants.
    """
    if smoothing == "indicator":
        return delta * ((entropy > high) | (entropy <= low)).to(entropy.dtype)
    return delta * ((entropy - high).relu() + (low - entropy).relu())


@dataclass
class RunningMean:
    """A mean over all tokens of all past steps, as their sum and number."""

    total: float = 0.0
    count: int = 0

    def add(self, total: float, count: int) -> None:
        self.total, self.count = self.total + total, self.count + count

    @property
    def mean(self) -> float | None:
        """``None`` before the first token."""
        return self.total / self.count if self.count else None


@dataclass
class History:
    """Entropies of all past RL steps: H̄ of each segment (XXPO) and of each turn of an episode (EPO).

    EPO's code takes the plain mean over steps of each turn's mean and pads short episodes with zeros from the left,
    which moves their turns; here a token is a token, and a turn keeps its place.
    """

    think: RunningMean = field(default_factory=RunningMean)
    action: RunningMean = field(default_factory=RunningMean)
    turns: list[RunningMean] = field(default_factory=list)

    def add(self, entropy: Tensor, response_mask: Tensor, segments: Tensor, turn_index: Tensor) -> None:
        """Take in a step's whole batch.

        Args:
            entropy: H in nats [N, L], of the policy that acted.
            response_mask: true where a token counts [N, L].
            segments: ``NEITHER``, ``THINK`` or ``ACTION`` [N, L].
            turn_index: int64 [N], from 0.
        """
        mask = response_mask.bool()
        values = entropy.detach().double().masked_fill(~mask, 0)
        for mark, past in ((THINK, self.think), (ACTION, self.action)):
            chosen = mask & (segments == mark)
            past.add(float(values[chosen].sum()), int(chosen.sum()))
        if not mask.any():
            return
        last = int(turn_index[mask.any(dim=1)].max())
        self.turns += [RunningMean() for _ in range(last + 1 - len(self.turns))]
        for turn in range(last + 1):
            chosen = turn_index == turn
            self.turns[turn].add(float(values[chosen].sum()), int(mask[chosen].sum()))

    def state_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.think, self.action = RunningMean(**state["think"]), RunningMean(**state["action"])
        self.turns = [RunningMean(**turn) for turn in state["turns"]]


def segment_bounds(segments: Tensor, history: History, kappa_think: float, kappa_act: float) -> Tensor:
    """κ_seg·H̄_seg at each token, infinite at tokens of neither segment and before a history exists [N, L].

    Args:
        segments: ``NEITHER``, ``THINK`` or ``ACTION`` [N, L].
    """
    bounds = [math.inf] * 3
    for mark, past, kappa in ((THINK, history.think, kappa_think), (ACTION, history.action, kappa_act)):
        if past.mean is not None:
            bounds[mark] = kappa * past.mean
    return torch.tensor(bounds, device=segments.device)[segments.long()]


def turn_bounds(
    turn_index: Tensor, history: History, kappa_low: float, kappa_high: float
) -> tuple[Tensor, Tensor]:
    """EPO's κ_l·H̄_t and κ_r·H̄_t for each sample's turn, infinite where that turn has no history, 2 × [N, 1].

    EPO's code applies its penalty to a micro-batch only if that holds a turn of an episode's second half, and can
    fade it out over the run; as an indicator it has no gradient in either case.

    Args:
        turn_index: int64 [N], from 0.
    """
    means = [past.mean for past in history.turns]
    low = [-math.inf if mean is None else kappa_low * mean for mean in means] + [-math.inf]
    high = [math.inf if mean is None else kappa_high * mean for mean in means] + [math.inf]
    place = turn_index.clamp(max=len(means)).unsqueeze(1)
    return (torch.tensor(low, device=place.device)[place], torch.tensor(high, device=place.device)[place])


def group_advantages(
    rewards: Tensor, group_ids: Tensor, *, scale_by_std: bool, epsilon: float = 1e-6
) -> Tensor:
    """A = (r − mean r) / (std r + ε) within each group, Eq. 9; 0 in a group of one.

    One reward an episode, so that long episodes don't weigh more in the mean: ``group_advantages(…)[episodes]`` shares
    the result over an episode's turns. The standard deviation is the unbiased one, as in verl and TRL. With one
    return a turn, and identical observations as groups, it is GiGPO's step advantage.

    Args:
        rewards: [E].
        group_ids: int64 [E].
        scale_by_std: whether to divide (GRPO), or not (Dr. GRPO; GiGPO's ``mean_norm``).

    Returns:
        Float32 [E].
    """
    _, groups, counts = group_ids.unique(return_inverse=True, return_counts=True)
    zeros = torch.zeros(len(counts), dtype=torch.float64, device=rewards.device)
    means = zeros.index_add(0, groups, rewards.double()) / counts
    centred = torch.where(counts[groups] > 1, rewards.double() - means[groups], 0.0)
    if scale_by_std:
        variance = zeros.index_add(0, groups, centred.square()) / (counts - 1).clamp(min=1)
        centred = centred / (variance.sqrt()[groups] + epsilon)
    return centred.float()


def discounted_returns(rewards: Tensor, episode_ids: Tensor, turn_index: Tensor, gamma: float) -> Tensor:
    """Σ_{u ≥ t} γ^(u−t)·r_u of each turn: what GiGPO compares between identical observations, float32 [N].

    Args:
        rewards: of each turn [N].
        episode_ids: int64 [N].
        turn_index: int64 [N], from 0; a pair of episode and turn occurs once.
    """
    ids, episodes = episode_ids.unique(return_inverse=True)
    table = torch.zeros(len(ids), int(turn_index.max()) + 1, dtype=torch.float64, device=rewards.device)
    table[episodes, turn_index] = rewards.double()
    for turn in range(table.shape[1] - 2, -1, -1):
        table[:, turn] += gamma * table[:, turn + 1]
    return table[episodes, turn_index].float()
