"""What was seen of one kind of bad event: counts and log e-values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from mlops_ray.rollout.mixture import (
    EXCESS_GRID,
    RATIO_GRID,
    log_excess_factors,
    log_ratio_factors,
    log_share_process,
)
from mlops_ray.spec import Analysis

__all__ = ["Exceedances", "MetricEvidence"]


@dataclass(frozen=True)
class MetricEvidence:
    """Log e-values and counts of one kind of bad event; see `mlops_ray.rollout.mixture` for the processes."""

    worse: tuple[float, ...]
    """Against "the ratio is at most tolerated_ratio", one per alternative of RATIO_GRID."""
    fine: tuple[float, ...]
    """Against "the ratio is at least max_ratio", one per alternative."""
    excess: tuple[float, ...]
    """Against "the share of bad events is at most max_bad_share", where all units are on the canary; EXCESS_GRID."""
    absolute: float
    """Against "the canary's share of bad events is at least max_bad_share"."""
    canary_requests: int
    champion_requests: int
    canary_bad: int
    champion_bad: int
    canary_repeated: int = 0
    """Further bad requests of units that are counted already."""
    champion_repeated: int = 0
    compared_bad: tuple[float, float] = (0.0, 0.0)
    """All bad requests of (canary, champion), those of a block weighed by the other side's share of its requests: their
    ratio is that of Mantel and Haenszel, which shares and base rates that move together do not confound."""

    @classmethod
    def none(cls) -> Self:
        """Nothing seen: every e-value is 1."""
        zeros = (0.0,) * len(RATIO_GRID)
        return cls(zeros, zeros, (0.0,) * len(EXCESS_GRID), 0.0, 0, 0, 0, 0)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The value that `dataclasses.asdict` or JSON made of it."""
        tuples = {name: tuple(content[name]) for name in ("worse", "fine", "excess", "compared_bad")}
        return cls(**{**content, **tuples})

    def after(
        self,
        requests: tuple[int, int],
        bad: tuple[int, int],
        repeated: tuple[int, int],
        *,
        share: float,
        analysis: Analysis,
    ) -> Self:
        """With (canary, champion) requests, bad events and repeated ones of one more block; `share` is the epoch's.

        Where `share` is 1 there is nothing to compare with, and the block counts for the absolute tests only. Where it
        is 0 the canary answers copies, which are hardly ever the first bad request of a unit: all of its bad ones
        count against "fine".
        """
        compared = _compared(requests, share)
        all_bad = (bad[0] + repeated[0], bad[1] + repeated[1])
        against_fine = all_bad[0] if share == 0.0 else bad[0]
        worse = log_ratio_factors(*bad, compared, null_ratio=analysis.tolerated_ratio, worse=True)
        fine = log_ratio_factors(against_fine, bad[1], compared, null_ratio=analysis.max_ratio, worse=False)
        excess = self.excess
        if share >= 1.0:
            excess = _sum(excess, log_excess_factors(bad[0], requests[0], null_share=analysis.max_bad_share))
        canary_requests = self.canary_requests + requests[0]
        ever_bad = self.canary_bad + self.canary_repeated + all_bad[0]
        weighed = (all_bad[0] * (1.0 - compared), all_bad[1] * compared) if compared else (0.0, 0.0)
        return replace(
            self,
            worse=_sum(self.worse, worse),
            fine=_sum(self.fine, fine),
            excess=excess,
            absolute=log_share_process(ever_bad, canary_requests, null_share=analysis.max_bad_share),
            canary_requests=canary_requests,
            champion_requests=self.champion_requests + requests[1],
            canary_bad=self.canary_bad + bad[0],
            champion_bad=self.champion_bad + bad[1],
            canary_repeated=self.canary_repeated + repeated[0],
            champion_repeated=self.champion_repeated + repeated[1],
            compared_bad=(self.compared_bad[0] + weighed[0], self.compared_bad[1] + weighed[1]),
        )


@dataclass(frozen=True)
class Exceedances:
    """Log e-values and counts of the time in the model above one quantile of the champion's."""

    worse: tuple[float, ...]
    """Against "the canary is above the shifted threshold no more often than the champion above its quantile"."""
    canary_requests: int
    champion_requests: int
    canary_above: int
    champion_above: int

    @classmethod
    def none(cls) -> Self:
        """Nothing seen."""
        return cls((0.0,) * len(RATIO_GRID), 0, 0, 0, 0)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The value that `dataclasses.asdict` or JSON made of it."""
        return cls(**{**content, "worse": tuple(content["worse"])})

    def after(self, timed: tuple[int, int], above: tuple[int, int], *, share: float) -> Self:
        """With (canary, champion) requests compared with the thresholds, and first ones of a unit above them."""
        worse = log_ratio_factors(*above, _compared(timed, share), null_ratio=1.0, worse=True)
        return type(self)(
            worse=_sum(self.worse, worse),
            canary_requests=self.canary_requests + timed[0],
            champion_requests=self.champion_requests + timed[1],
            canary_above=self.canary_above + above[0],
            champion_above=self.champion_above + above[1],
        )


def _compared(requests: tuple[int, int], share: float) -> float:
    """The chance that a unit with its first bad request is the canary's, if both versions are alike.

    Units are assigned by a hash, so it is the share of units, however busy single ones are. Copies, at share 0, are
    drawn by the request. At share 1 there is nothing to compare with.
    """
    total = sum(requests)
    if not total or share >= 1.0:
        return 0.0
    return requests[0] / total if share == 0.0 else share


def _sum(logs: tuple[float, ...], factors: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(logs, factors, strict=True))
