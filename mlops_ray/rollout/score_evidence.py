"""Whether the scores of two versions are distributed alike: an e-process over bins of scores.

A block holds first scores of n_c units on the canary and n_v on the champion, X_b and Y_b of them in bin b, and
rho = n_c / (n_c + n_v). Under the null both sides draw from one distribution pi over the bins, whatever it is in this
block. An alternative gives each bin a ratio r_b of the canary's share to the champion's; a unit in bin b is then the
canary's with probability theta_b = rho r_b / (rho r_b + 1 - rho), where the null says rho. The block's factor is the
product over units of the one probability over the other,

    prod_b a_b^X_b c_b^Y_b,   a_b = r_b / (rho r_b + 1 - rho),   c_b = 1 / (rho r_b + 1 - rho).

Given n_c and n_v its mean under the null is A^n_c C^n_v with A = sum_b pi_b a_b and C = sum_b pi_b c_b. In every bin
rho a_b + (1 - rho) c_b = 1, hence rho A + (1 - rho) C = 1, and by the inequality of weighted means
A^rho C^(1 - rho) <= rho A + (1 - rho) C = 1: the mean (A^rho C^(1 - rho))^(n_c + n_v) is at most 1. So the product over
blocks is a supermartingale for every vector of ratios, and so is every mixture of vectors that is fixed beforehand.

The mixture is half of each: (1) every bin by itself keeps its share (weight 1/2) or has one of RATIOS; the sum over
all such vectors is the product over bins of the bins' own mixtures; (2) vectors for a whole distribution that moves or
spreads: r_b = exp(s z_b) and exp(s (z_b^2 - 1)), z_b the normal quantile of the bin's middle, for the slopes of
SLOPES: what a shift of normal scores by s standard deviations does to bins of equal weight.

Copies of a shadow put a unit on both sides, with what the two versions said of one row. Where both scores fall into one
bin, the pair's mean is sum_b pi_b a_b c_b, which is at most A C, since a_b = (1 - (1 - rho) c_b) / rho falls where c_b
rises (Chebyshev's sum inequality): versions that agree row by row are on the safe side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mlops_ray.errors import RolloutError
from mlops_ray.rollout.mixture import log_mean_exp

__all__ = ["RATIOS", "SLOPES", "ScoreEvidence"]

RATIOS = (1 / 3, 2 / 3, 3 / 2, 3.0)
"""Alternatives for the share of one bin, canary's over champion's."""

SLOPES = (-0.4, -0.1, 0.1, 0.4)
"""Alternatives for shift and spread of all bins."""


@dataclass(frozen=True)
class ScoreEvidence:
    """Units by bin of their first score, and the log e-values of the alternatives; see the module."""

    canary: tuple[int, ...] = ()
    champion: tuple[int, ...] = ()
    bins: tuple[tuple[float, ...], ...] = ()
    """For each bin one log e-value per ratio of RATIOS."""
    tilts: tuple[float, ...] = ()
    """Log e-values of the shifts, then of the spreads."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The value that `dataclasses.asdict` or JSON made of it."""
        return cls(
            canary=tuple(content["canary"]),
            champion=tuple(content["champion"]),
            bins=tuple(tuple(logs) for logs in content["bins"]),
            tilts=tuple(content["tilts"]),
        )

    def after(self, canary: tuple[int, ...], champion: tuple[int, ...]) -> Self:
        """With the units of one more block, by bin.

        Raises:
            RolloutError: another number of bins than before.

        >>> seen = ScoreEvidence().after((30, 10), (100, 300))
        >>> round(seen.log_e, 2), round(ScoreEvidence().after((10, 30), (100, 300)).log_e, 2)
        (14.85, -0.73)
        """
        if not any(canary) and not any(champion):
            return self
        if self.canary and len(self.canary) != len(canary):
            raise RolloutError(f"block: expected scores in {len(self.canary)} bins as before, found {len(canary)}")
        x, y = np.array(canary), np.array(champion)
        known = self if self.canary else type(self)._none(len(canary))
        share = float(x.sum() / (x.sum() + y.sum()))
        per_bin = np.array(known.bins) + _log_factors(x[:, None], y[:, None], share, np.array([RATIOS]))
        tilts = np.array(known.tilts) + _log_factors(x, y, share, _tilts(len(canary))).sum(axis=1)
        return type(self)(
            canary=tuple((np.array(known.canary) + x).tolist()),
            champion=tuple((np.array(known.champion) + y).tolist()),
            bins=tuple(tuple(logs) for logs in per_bin.tolist()),
            tilts=tuple(tilts.tolist()),
        )

    @property
    def log_e(self) -> float:
        """Log e-value against "both versions' scores are distributed alike"; 0 as long as nothing was seen."""
        if not self.bins:
            return 0.0
        bin_by_bin = sum(log_mean_exp((0.0, log_mean_exp(logs))) for logs in self.bins)
        return log_mean_exp((bin_by_bin, log_mean_exp(self.tilts)))

    @property
    def distance(self) -> float:
        """Total variation distance of the two sides' shares of bins, 0 .. 1; 0 where one side has no units."""
        n_canary, n_champion = sum(self.canary), sum(self.champion)
        if not n_canary or not n_champion:
            return 0.0
        pairs = zip(self.canary, self.champion, strict=True)
        return sum(abs(x / n_canary - y / n_champion) for x, y in pairs) / 2.0

    @classmethod
    def _none(cls, bins: int) -> Self:
        return cls((0,) * bins, (0,) * bins, ((0.0,) * len(RATIOS),) * bins, (0.0,) * (2 * len(SLOPES)))


def _log_factors(
    canary: NDArray[np.int64], champion: NDArray[np.int64], share: float, ratios: NDArray[np.float64]
) -> NDArray[np.float64]:
    """X log a + Y log c of the module, by broadcasting."""
    return canary * np.log(ratios) - (canary + champion) * np.log1p(share * (ratios - 1.0))


def _tilts(bins: int) -> NDArray[np.float64]:
    """Ratios by alternative and bin, shape (2 len(SLOPES), bins)."""
    z = ndtri((np.arange(bins) + 0.5) / bins)
    slopes = np.array(SLOPES)[:, None]
    return np.exp(np.concatenate([slopes * z, slopes * (z**2 - 1.0)]))
