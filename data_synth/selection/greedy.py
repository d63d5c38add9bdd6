"""NovelSum's greedy selection (Eq. 1), exactly as the loop that scores everything at every step, at a fraction of it.

A score is Σ value/rank^α over the selected points, so that each point selected changes all ranks after its own. But it
changes them little, and by how much at most is known without looking: so a few *contenders* are kept exact, the others
have an upper bound that grows with each step, and while the best contender beats all bounds, nobody else is scored.
When it doesn't, those whose bounds are highest are scored from scratch and become the contenders.

How far a score can grow at one step:

- ``published``. Value and key are one, so inserting t at rank p of m + 1 raises Σ t/r by
  t/p − Σ_{r ≥ p} t_r·(1/r − 1/(r+1)) ≤ t/(m+1), since t_r ≥ t there and the differences add up to 1/p − 1/(m+1).
  With t ≤ (ρ_x + ρ_j)·reach_x no distance is needed.
- ``paper``. A dense point may raise it by its value/rank, less what those behind it lose. Of each candidate some
  quantiles of its distances are kept, and the losses behind them, as they were when it was last scored. The rank is at
  least the quantile's before the new point; and who stood at rank r then, and is s ranks further back by now, loses at
  least (r/(r+s))² of what he would have lost.

Both hold for every α ≥ 0 with 1/r^α for 1/r and (r/(r+s))^(1+α). Arithmetic is float32; scores that agree to ``NEAR``
are compared in float64, and where they agree to ``TIE`` the lower index wins, in whatever order a device adds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from data_synth.selection.density import Density, Mode
from data_synth.selection.scores import Scorer

NEAR, TIE = 2e-5, 1e-9
"""Shares of the best score: beyond float32's error at any budget, and beyond float64's."""
ROUNDING, LOSS_ERROR = 1e-6, 1e-4
"""Of a distance and of a difference of sums in float32."""
NUM_CONTENDERS, MOST_LOOKED_AT = 512, 128
CHUNK_BYTES = 1 << 26
QUANTILE_RATIO = 1.1
"""Between the ranks at which distances are kept for ``paper``'s bound."""


def select(
    points: Tensor,
    density: Density,
    budget: int,
    mode: Mode,
    alpha: float,
    first: int,
    report: Callable[[int], object] = int,
) -> list[int]:
    """Indices of ``budget`` points in the order of their selection.

    Args:
        points: unit vectors, float32 [n, d], on any device.
        alpha: of the ranks' weights.
        first: where to begin, since all scores are 0 before anything is selected.
        report: told 1 for every point selected.

    Raises:
        ValueError: ``budget`` is not from 1 to n.
    """
    if not 1 <= budget <= len(points):
        raise ValueError(f"budget={budget}: not from 1 to {len(points)}, the number of points")
    scorer = Scorer(points, density, mode, alpha, budget)
    pool, number = _Pool(scorer, first), NUM_CONTENDERS
    report(1)
    while len(pool.selected) < budget:
        before = len(pool.selected)
        contenders = pool.contenders(min(number, pool.num_left))
        while len(pool.selected) < budget:
            picked = contenders.best(pool)
            if picked is None:
                break
            pool.take(picked)
            contenders.follow(picked)
            report(1)
        number = (
            NUM_CONTENDERS if len(pool.selected) > before else 2 * number
        )  # many equal ones, all to be compared
    return pool.selected


class _Pool:
    """Bounds of all candidates; those of contenders are ignored while they contend."""

    def __init__(self, scorer: Scorer, first: int) -> None:
        self.scorer = scorer
        size, device = len(scorer.points), scorer.points.device
        self.selected = [first]
        self.places = torch.tensor([first], device=device)
        self.bounds = torch.full((size,), torch.inf, device=device)
        self.bounds[first] = -torch.inf
        self.fresh = torch.zeros(size, dtype=torch.bool, device=device)
        self.outside = torch.ones(size, dtype=torch.bool, device=device)
        self.quantile_ranks = _quantile_ranks(scorer.most_ranks if scorer.mode == "paper" else 0).to(device)
        self.quantiles = torch.full((size, len(self.quantile_ranks) - 2), torch.inf, device=device)
        self.losses = torch.zeros((size, len(self.quantile_ranks) - 1), device=device)
        self.scored_at = torch.zeros(size, device=device)

    @property
    def num_left(self) -> int:
        return len(self.bounds) - len(self.selected)

    def contenders(self, number: int) -> _Contenders:
        """The ``number`` candidates of the highest scores, as far as bounds tell, all scored now."""
        asked = number
        while True:
            top = torch.topk(self.bounds, number, sorted=False).indices
            stale = top[~self.fresh[top]]
            if not len(stale):
                break
            asked = min(
                2 * asked, self.num_left
            )  # each time more, since these too are likely to be asked for
            likely = torch.topk(self.bounds, asked, sorted=False).indices
            self._score(likely[~self.fresh[likely]])
        self.outside.fill_(True)
        self.outside[top] = False
        return _Contenders(self.scorer, top.sort().values, self.places)

    def all_outside_below(self, score: float) -> bool:
        """Whether nobody but the contenders reaches ``score``. Where few bounds do, their scores are looked at."""
        reaching = torch.nonzero(self.outside & (self.bounds >= score))[:, 0]
        if len(reaching) > MOST_LOOKED_AT:
            return False
        if len(reaching):
            self._score(reaching)
        return bool((self.bounds[reaching] < score).all())

    def take(self, index: int) -> None:
        """Select; all bounds grow by what this may add to them."""
        self._grow(index)
        self.bounds[index] = -torch.inf
        self.selected.append(index)
        self.places = torch.cat([self.places, torch.tensor([index], device=self.places.device)])
        self.fresh.zero_()

    def _grow(self, index: int) -> None:
        scorer, density, size = self.scorer, self.scorer.density, len(self.selected)
        weights = density.single
        if scorer.mode == "published":
            self.bounds += (weights + weights[index]) * density.reach * scorer.rank_weights[size]
            return
        distances = (1 - scorer.points @ scorer.points[index]).clamp_(min=0)
        around = torch.stack([distances - ROUNDING, distances + ROUNDING], dim=1)
        places = torch.searchsorted(self.quantiles, around)
        ranks = self.quantile_ranks[places]
        behind = self.quantile_ranks[places[:, 1] + 1] + 1.0
        lost = self.losses.gather(1, places[:, 1:])[:, 0]
        lost *= (behind / (behind + size - self.scored_at)) ** (1 + scorer.alpha)
        self.bounds += distances * weights[index] * scorer.rank_weights[ranks[:, 0]] - lost

    def _score(self, rows: Tensor) -> None:
        """From scratch, a chunk at a time."""
        size = len(self.selected)
        step = max(1, CHUNK_BYTES // (8 * size))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            keys, values = self.scorer.sorted_rows(some, self.places)
            self.bounds[some] = values @ self.scorer.rank_weights[:size]
            if self.scorer.mode == "paper":
                self._keep_quantiles(some, keys, values)
        self.fresh[rows] = True

    def _keep_quantiles(self, rows: Tensor, keys: Tensor, values: Tensor) -> None:
        """The keys at some ranks, and what a shift by one would cost all behind each of these ranks."""
        size, weights = len(self.selected), self.scorer.rank_weights
        known = self.quantile_ranks[1:-1][self.quantile_ranks[1:-1] <= size]
        self.quantiles[rows, : len(known)] = keys[:, known - 1]
        losses = values * (weights[:size] - weights[1 : size + 1])
        until = losses.cumsum(dim=1)
        behind = (until[:, -1:] - until[:, known - 1]).clamp_(min=0)
        self.losses[rows, : len(known)] = behind * (1 - LOSS_ERROR)
        self.scored_at[rows] = size


def _quantile_ranks(most: int) -> Tensor:
    """0, ranks from 1 to ``most`` in a geometric row, and one beyond."""
    ranks = [0]
    while (rank := max(ranks[-1] + 1, int(ranks[-1] * QUANTILE_RATIO))) <= most:
        ranks.append(rank)
    return torch.tensor([*ranks, most + 1])


class _Contenders:
    """Candidates whose scores are kept exact, by the rank of each selected point for each of them."""

    def __init__(self, scorer: Scorer, rows: Tensor, places: Tensor) -> None:
        self.scorer, self.rows, self.places = scorer, rows, places
        self.size = len(places)
        keys, values = scorer.sorted_rows(rows, places)
        shape, device = (len(rows), len(scorer.rank_weights)), rows.device
        self.keys, self.values, self.ranks = (torch.empty(shape, device=device) for _ in range(3))
        self.keys[:, : self.size], self.values[:, : self.size] = keys, values
        self.ranks[:, : self.size] = torch.arange(1, self.size + 1, device=device)
        self.left = torch.ones(len(rows), dtype=torch.bool, device=device)
        self.embedded = scorer.points[rows]

    def scores(self) -> Tensor:
        weights = self.ranks[:, : self.size].pow(-self.scorer.alpha)
        scores = (self.values[:, : self.size] * weights).sum(dim=1)
        return torch.where(self.left, scores, -torch.inf)

    def best(self, pool: _Pool) -> int | None:
        """The candidate of the highest score; None where one that doesn't contend may have a higher one."""
        scores = self.scores()
        highest = float(scores.max())
        if highest == -torch.inf or not pool.all_outside_below(highest * (1 - 2 * NEAR)):
            return None
        near = self.rows[scores >= highest * (1 - NEAR)]
        if len(near) == 1:
            return int(near[0])
        exact = self.scorer.exact(near, self.places)
        return int(near[exact >= exact.max() * (1 - TIE)][0])

    def follow(self, index: int) -> None:
        """Insert a point just selected."""
        column = torch.tensor([index], device=self.rows.device)
        distances = (1 - self.embedded @ self.scorer.points[column].T).clamp_(min=0)
        keys, values = self.scorer.keys_and_values(distances, self.rows, column)
        behind = self.keys[:, : self.size] > keys
        self.ranks[:, : self.size] += behind
        self.keys[:, self.size] = keys[:, 0]
        self.values[:, self.size] = values[:, 0]
        self.ranks[:, self.size] = self.size + 1 - behind.sum(dim=1)
        self.left &= self.rows != index
        self.places = torch.cat([self.places, column])
        self.size += 1
