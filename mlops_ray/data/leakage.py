"""How well one feature alone predicts the label: what is almost perfect was most often not known at that time; pure."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

__all__ = ["MIN_OF_EACH", "label_power"]

Numbers = npt.NDArray[np.float64]
MIN_OF_EACH = 20
"""Rows of each class, or in all for a regression, below which nothing is said."""


def label_power(values: Numbers, labels: Numbers, *, binary: bool, categorical: bool) -> float | None:
    """Between 0.5 and 1 the AUC of the feature for a binary label, whichever way round; else the absolute rank
    correlation (Spearman). None when too few rows have a label.

    A category stands for the mean label of its rows in the other half of the sample, so that a category of its own in
    each row predicts nothing. A missing number is below all others. Both see relations that go one way only.

    Args:
        values: (n,), codes for a category; NaN is missing.
        labels: (n,), NaN where not known.
        binary: whether labels are 0 and 1.
        categorical: whether values are codes.

    >>> label = np.tile([0.0, 1.0], 50)
    >>> label_power(7 - label, label, binary=True, categorical=False)
    1.0
    >>> label_power(np.arange(100.0), label, binary=True, categorical=True)
    0.5
    """
    known = np.isfinite(labels)
    values, labels = values[known], labels[known]
    negative, positive = int((labels == 0).sum()), int((labels == 1).sum())
    if (min(negative, positive) if binary else len(labels)) < MIN_OF_EACH:
        return None
    scores = _mean_labels(values, labels) if categorical else np.where(np.isnan(values), -np.inf, values)
    ranks = rankdata(scores)
    if binary:
        positives = labels == 1
        above = ranks[positives].sum() - positive * (positive + 1) / 2
        auc = float(above / (negative * positive))
        return max(auc, 1 - auc)
    if ranks.min() == ranks.max() or labels.min() == labels.max():
        return 0.0
    return abs(float(np.corrcoef(ranks, rankdata(labels))[0, 1]))


def _mean_labels(codes: Numbers, labels: Numbers) -> Numbers:
    """The mean label of each row's category among the rows of the other half; of all of that half if it has none."""
    places = np.unique(codes, return_inverse=True)[1]  # all NaN are one
    # neighbours may come from one source, and every second row may be of one kind: halves by chance, always the same
    half = np.random.default_rng(7).permutation(len(codes)) % 2 == 0
    scores = np.empty(len(codes))
    for own in (half, ~half):
        rows = np.bincount(places[~own], minlength=places.max() + 1)
        sums = np.bincount(places[~own], weights=labels[~own], minlength=places.max() + 1)
        overall = labels[~own].mean()
        # no more trust than there are rows: without it the sign of a constant category would tell the other half's mean
        means = np.where(rows > 1, sums / np.maximum(1, rows), overall)
        scores[own] = means[places[own]] - overall
    return scores
