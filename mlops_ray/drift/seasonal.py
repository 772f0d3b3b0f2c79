"""The reference for the hours that a window covers."""

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.feature_reference import FeatureReference

__all__ = ["expected_counts", "mixture"]

_MIN_ROWS = 50  # of a slot, to stand for its hour

Counts = NDArray[np.int64]


def expected_counts(feature: FeatureReference, slots: Counts) -> Counts:
    """Counts of the feature's cells as they would be at the hours of `slots`, rows (s,) of a window by slot.

    All of the reference where the feature has no season, or the hours of the window are not known.
    """
    overall = np.array(feature.counts, dtype=np.int64)
    if not feature.seasonal or len(slots) != len(feature.seasonal) or not slots.sum():
        return overall
    return mixture(np.array(feature.seasonal, dtype=np.int64), overall, slots)


def mixture(seasonal: Counts, overall: Counts, slots: Counts) -> Counts:
    """The cells (c,) of a reference whose rows are spread over the slots as `slots` (s,) are.

    A slot of fewer than 50 rows in `seasonal` (s, c) is replaced by `overall` (c,). The sum is what the mixture is
    worth: as many independent rows as have the variance of its shares, and not more than there are.

    >>> mixture(np.array([[100, 0], [0, 300]]), np.array([100, 300]), np.array([5, 5])).tolist()
    [150, 150]
    """
    rows = seasonal.sum(axis=1)
    weights = slots / slots.sum()
    known = rows >= _MIN_ROWS
    shares = (weights[known] / rows[known]) @ seasonal[known]
    variance = (weights[known] ** 2 / rows[known]).sum()
    rest = weights[~known].sum()
    if rest > 0:
        shares = shares + rest * overall / overall.sum()
        variance += rest**2 / overall.sum()
    return np.rint(shares * min(1 / variance, float(overall.sum()))).astype(np.int64)
