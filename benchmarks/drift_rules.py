"""How drift is judged elsewhere: one exact test or distance a column, window by window, without memory.

Evidently's own code takes tens of seconds for a window of this size; its rules for numbers at the defaults of 0.7.23
are few, and are applied here to the same rows: with more than 1,000 rows in the reference a column of more than five
distinct values has drifted when its Wasserstein distance is at least .1 standard deviations of the reference, another
one when its Jensen-Shannon distance is at least .1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov

__all__ = ["Exact"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    """One column of the reference, sorted (n,)."""

    ordered: Floats
    std: float
    few: Floats | None
    """Its distinct values where these are five or fewer."""
    ties: bool
    """Whether values come more than once."""

    @classmethod
    def of(cls, values: Floats) -> "Exact":
        """For the values (n,) of a column."""
        distinct = np.unique(values)
        return cls(
            np.sort(values), float(values.std()), distinct if len(distinct) <= 5 else None, len(distinct) < len(values)
        )

    def ks(self, ordered: Floats) -> float:
        """The exact two-sample distance to sorted values (m,)."""
        n, m = len(self.ordered), len(ordered)
        places = np.searchsorted(self.ordered, ordered, side="right") / n
        if not self.ties:
            ranks = np.arange(m + 1) / m
            return float(max(np.abs(ranks[1:] - places).max(), np.abs(ranks[:-1] - places).max()))
        # of equal values the last one's rank is that of all
        ranks = np.searchsorted(ordered, ordered, side="right") / m
        before = np.searchsorted(self.ordered, ordered, side="left") / n
        ranks_before = np.searchsorted(ordered, ordered, side="left") / m
        return float(max(np.abs(ranks - places).max(), np.abs(ranks_before - before).max()))

    def ks_p(self, ordered: Floats) -> float:
        """Its asymptotic p-value."""
        n, m = len(self.ordered), len(ordered)
        return float(kolmogorov(self.ks(ordered) * np.sqrt(n * m / (n + m))))

    def wasserstein(self, ordered: Floats) -> float:
        """In standard deviations: the mean distance of quantiles at the middles of the window's ranks."""
        ranks = ((np.arange(len(ordered)) + 0.5) / len(ordered) * len(self.ordered)).astype(np.int64)
        return float(np.abs(ordered - self.ordered[ranks]).mean() / (self.std or 1.0))

    def evidently_drifted(self, ordered: Floats) -> bool:
        """Whether Evidently's default rule says so."""
        if self.few is None:
            return self.wasserstein(ordered) >= 0.1
        p, q = (
            np.searchsorted(v, self.few, side="right") - np.searchsorted(v, self.few) for v in (self.ordered, ordered)
        )
        return _jensen_shannon(p / p.sum(), q / max(1, q.sum())) >= 0.1


def _jensen_shannon(p: Floats, q: Floats) -> float:
    middle = (p + q) / 2
    terms = [(side[side > 0] * np.log(side[side > 0] / middle[side > 0])).sum() for side in (p, q)]
    return float(np.sqrt(max(0.0, sum(terms) / 2)))
