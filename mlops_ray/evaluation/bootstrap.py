"""How much better a candidate is than the champion on the same rows, with an interval: the paired bootstrap.

Rows are drawn with replacement, the same draw for both models, and the percentiles of the resampled differences are
the interval (Efron and Tibshirani 1993, chapter 13). A draw is a weight per row (how often it came), so nothing is
sorted or copied twice: metrics are products of weights and per-row terms, AUC is a cumulative sum over ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation.metrics import check_rows, score, summary_of
from mlops_ray.spec import METRICS, Metric

__all__ = ["Interval", "paired_difference", "resampled_metric"]

Array = NDArray[np.float64]
Resampled = Callable[[Array], Array]  # weights (b, n) -> the metric of each draw (b,)
_MAX_UNDEFINED = 0.2  # share of draws; a single row of a class gives .37, two give .13
_CHUNK_CELLS = 2_000_000  # weights held at a time: 16 MB


@dataclass(frozen=True)
class Interval:
    """Candidate minus champion in units of the metric, turned so that positive means that the candidate is better."""

    difference: float
    low: float
    high: float


def paired_difference(
    metric: Metric,
    labels: Array,
    candidate: Array,
    champion: Array,
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The difference on all rows, and its bootstrap interval at confidence `level`.

    Args:
        metric: which one; its direction is taken care of.
        labels: (n,), as for `score`.
        candidate: predictions (n,) or (n, classes) of the new model.
        champion: predictions of the present one, for the same rows.
        seed: of the draws; the same seed gives the same interval.

    Draws that leave the metric undefined (one class only) are left out.

    Raises:
        ValidationError: as `score`, or more than a fifth of the draws are undefined: too few rows of one class.

    >>> y = np.tile([0.0, 1.0], 200)
    >>> noise = np.random.default_rng(0).normal(size=(2, 400))
    >>> paired_difference("auc", y, 2 * y + noise[0], y + noise[1], seed=0).low > 0
    True
    """
    y, new = check_rows(metric, labels, candidate)
    _, old = check_rows(metric, labels, champion)
    sign = 1.0 if any(known.get(metric) for known in METRICS.values()) else -1.0
    difference = sign * (score(metric, y, new) - score(metric, y, old))
    draws = sign * _resampled_differences(
        _resampled(metric, y, new), _resampled(metric, y, old), len(y), seed, resamples
    )
    defined = draws[np.isfinite(draws)]
    if len(defined) < (1 - _MAX_UNDEFINED) * resamples:
        raise ValidationError(
            f"{metric}: undefined in {resamples - len(defined)} of {resamples} draws from {len(y)} rows; "
            "an interval needs more rows of each class"
        )
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(difference=difference, low=float(low), high=float(high))


def resampled_metric(metric: Metric, labels: Array, predictions: Array, *, seed: int, resamples: int) -> Array:
    """The metric of each of the draws (resamples,), NaN where a draw leaves it undefined; raises as `score` does."""
    y, p = check_rows(metric, labels, predictions)
    return _resampled_over(_resampled(metric, y, p), len(y), seed, resamples)


def _resampled_differences(new: Resampled, old: Resampled, rows: int, seed: int, resamples: int) -> Array:
    return _resampled_over(lambda weights: new(weights) - old(weights), rows, seed, resamples)


def _resampled_over(value: Resampled, rows: int, seed: int, resamples: int) -> Array:
    random = np.random.default_rng(seed)
    together = max(1, _CHUNK_CELLS // rows)
    chunks = []
    for start in range(0, resamples, together):
        weights = np.stack(
            [
                np.bincount(random.integers(rows, size=rows, dtype=np.int32), minlength=rows)
                for _ in range(min(together, resamples - start))
            ]
        ).astype(np.float64)
        chunks.append(value(weights))
    return np.concatenate(chunks)


def _resampled(metric: Metric, labels: Array, predictions: Array) -> Resampled:
    """The metric as a function of weights, everything that the draws share computed once."""
    if metric == "auc":
        return _resampled_auc(labels, predictions)
    summary = summary_of(metric, predictions)
    terms = summary.terms(labels, predictions)
    return lambda weights: summary.combine(weights @ terms / len(labels))


def _resampled_auc(labels: Array, predictions: Array) -> Resampled:
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    negatives = negatives[np.argsort(predictions[negatives], kind="stable")]
    # in the order of the predictions, what follows reads the cumulative sums almost in a row
    positives = positives[np.argsort(predictions[positives], kind="stable")]
    below = np.searchsorted(predictions[negatives], predictions[positives], side="left")
    not_above = np.searchsorted(predictions[negatives], predictions[positives], side="right")

    def auc(weights: Array) -> Array:
        values = np.empty(len(weights))
        for i, row in enumerate(weights):
            of_positives = row[positives]
            until = np.concatenate([[0.0], np.cumsum(row[negatives])])
            pairs = of_positives @ (until[below] + until[not_above])
            total = 2.0 * of_positives.sum() * until[-1]
            values[i] = pairs / total if total else np.nan
        return values

    return auc
