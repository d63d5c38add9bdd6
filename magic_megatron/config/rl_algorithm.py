"""What the policy optimises: advantage, clipped surrogate, KL and the entropy terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from recipes.command import InputError


@dataclass(frozen=True)
class AlgorithmConfig:
    """One entry of ``recipes/rl/algorithm``; the mathematics is in ``magic_megatron/rl/xxpo.py``.

    GRPO, EPO and XXPO are settings of one objective, J_GRPO + λ1·L_H − λ2·L_smooth + λ3·L_IB (Eq. 13), so that what
    separates them can be switched on one by one.

    Attributes:
        advantage: ``episode`` is Eq. 9 over the episodes of a task instance; ``episode_and_step`` adds
            ``step_weight`` times GiGPO's advantage among identical observations.
        scale_by_std: whether advantages are divided by the group's standard deviation.
        step_weight, discount: ω and γ of GiGPO; only for ``episode_and_step``.
        clip_ratio_low, clip_ratio_high: the surrogate's ratio is clipped to [1 − low, 1 + high].
        clip_ratio_c: bound of the ratio where the advantage is negative (dual clip).
        kl_coef, kl_type: weight and estimator of the KL to the SFT policy; 0 keeps no reference policy.
        loss_aggregation: how verl averages surrogate and KL over a batch's tokens.
        lambda1, lambda2, lambda3: weights of entropy, smoothing and information bottleneck.
        entropy_weighting: ``turn`` weighs each turn of an episode alike and each episode alike (Eq. 10), ``token``
            each token (EPO).
        history: whose past entropy bounds a token's: that of its ``segment`` (Eq. 11) or of its ``turn`` (EPO).
        smoothing: ``indicator`` as published, without gradient; ``hinge`` trains.
        delta: δ of Eq. 11; EPO's α.
        kappa_think, kappa_act: upper bounds, in means of the segment; for ``history: segment``.
        kappa_low, kappa_high: bounds in means of the turn; for ``history: turn``.
        beta: β of Eq. 12.
    """

    name: str
    advantage: Literal["episode", "episode_and_step"]
    scale_by_std: bool
    step_weight: float
    discount: float
    clip_ratio_low: float
    clip_ratio_high: float
    clip_ratio_c: float
    kl_coef: float
    kl_type: Literal["kl", "abs", "mse", "low_var_kl"]
    loss_aggregation: Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"]
    lambda1: float
    lambda2: float
    lambda3: float
    entropy_weighting: Literal["turn", "token"]
    history: Literal["segment", "turn"]
    smoothing: Literal["hinge", "indicator"]
    delta: float
    kappa_think: float
    kappa_act: float
    kappa_low: float
    kappa_high: float
    beta: float

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise problem

    def _problems(self) -> Iterator[InputError]:
        """Ranges that a type can't express. A λ below 0 rewards low entropy, so it isn't refused."""
        for key in (
            *("step_weight", "clip_ratio_low", "clip_ratio_high", "kl_coef", "delta"),
            *("kappa_think", "kappa_act", "kappa_low", "kappa_high", "beta"),
        ):
            if getattr(self, key) < 0:
                yield InputError(
                    f"algorithm.{key}={getattr(self, key)}: must not be negative; try algorithm.{key}=0"
                )
        if not 0 <= self.discount <= 1:
            yield InputError(
                f"algorithm.discount={self.discount}: must lie in [0, 1]; try algorithm.discount=0.95"
            )
        if self.clip_ratio_low >= 1:
            yield InputError(
                f"algorithm.clip_ratio_low={self.clip_ratio_low}: must be below 1, as ratios are positive;"
                " try algorithm.clip_ratio_low=0.2"
            )
        if self.clip_ratio_c <= 1:
            yield InputError(
                f"algorithm.clip_ratio_c={self.clip_ratio_c}: must be above 1; try algorithm.clip_ratio_c=3"
            )
        if self.kappa_low > self.kappa_high:
            yield InputError(
                f"algorithm.kappa_low={self.kappa_low}: must not be above"
                f" algorithm.kappa_high={self.kappa_high}; try algorithm.kappa_low=0"
            )
