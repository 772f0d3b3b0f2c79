"""Every metric of a set of outcomes with its confidence interval, cheap enough to be made at every look.

Shares have Wilson's interval, AUC DeLong's (1988); the others the percentiles of a bootstrap with a seed, on the newest
rows where there are many.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation.bootstrap import resampled_metric
from mlops_ray.evaluation.metrics import score
from mlops_ray.evaluation.proportions import wilson
from mlops_ray.spec import METRICS, Metric, Task

__all__ = ["Limits", "Measurement", "average_precision", "measure_outcomes", "metric_limits"]

Floats = NDArray[np.float64]
Limits = tuple[float, float]
_RESAMPLES = 200
_MOST_ROWS = 20_000
_LABEL_AT = 0.5


@dataclass(frozen=True)
class Measurement:
    """Metrics by name, and the limits of those that have some."""

    metrics: Mapping[str, float]
    limits: Mapping[str, Limits]


def measure_outcomes(task: Task, labels: Floats, predictions: Floats, *, level: float, seed: int) -> Measurement:
    """Every metric of the task that the rows allow, of a binary one precision, recall and PR-AUC as well.

    >>> y, p = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.4, 0.6])
    >>> found = measure_outcomes("binary", y, p, level=0.95, seed=0)
    >>> found.metrics["precision"], found.metrics["recall"], round(found.metrics["pr_auc"], 3)
    (0.5, 0.5, 0.833)
    """
    metrics: dict[str, float] = {}
    limits: dict[str, Limits] = {}
    names: tuple[Metric, ...] = tuple(METRICS[task])  # type: ignore[arg-type]
    for name in names:
        try:
            metrics[name] = score(name, labels, predictions)
            found = metric_limits(name, labels, predictions, level=level, seed=seed)
        except ValidationError:
            continue
        if found is not None:
            limits[name] = found
    if task == "binary" and metrics:
        _add_binary(labels, predictions, level, metrics, limits)
    return Measurement(metrics, limits)


def metric_limits(metric: Metric, labels: Floats, predictions: Floats, *, level: float, seed: int) -> Limits | None:
    """Lower and upper limit; None where the rows are too few of one kind to tell. Raises as `score` does.

    >>> low, high = metric_limits("accuracy", np.ones(100), np.full(100, 0.9), level=0.95, seed=0)
    >>> round(low, 3), high
    (0.963, 1.0)
    """
    z = float(stats.norm.ppf(0.5 + level / 2))
    if metric == "accuracy":
        return wilson(score(metric, labels, predictions), len(labels), z)
    if metric == "auc":
        return _delong(labels, predictions, z)
    newest = slice(max(0, len(labels) - _MOST_ROWS), None)
    draws = resampled_metric(metric, labels[newest], predictions[newest], seed=seed, resamples=_RESAMPLES)
    defined = draws[np.isfinite(draws)]
    if len(defined) < _RESAMPLES / 2:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def average_precision(labels: Floats, scores: Floats) -> float:
    """Mean precision over the steps of recall, as scikit-learn's `average_precision_score`; NaN without a label 1."""
    if not labels.sum():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(labels[order])
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _add_binary(
    labels: Floats, scores: Floats, level: float, metrics: dict[str, float], limits: dict[str, Limits]
) -> None:
    z = float(stats.norm.ppf(0.5 + level / 2))
    said, actual = scores >= _LABEL_AT, labels == 1
    for name, among in (("precision", said), ("recall", actual)):
        if among.any():
            rate = float((said & actual)[among].mean())
            metrics[name], limits[name] = rate, wilson(rate, int(among.sum()), z)
    if actual.any():
        metrics["pr_auc"] = average_precision(labels, scores)


def _delong(labels: Floats, predictions: Floats, z: float) -> Limits | None:
    """From the variances of the placements, by ranks (Sun and Xu 2014)."""
    positives, negatives = predictions[labels == 1], predictions[labels == 0]
    m, n = len(positives), len(negatives)
    if m < 2 or n < 2:
        return None
    ranks = stats.rankdata(np.concatenate([positives, negatives]))
    above = (ranks[:m] - stats.rankdata(positives)) / n
    below = 1 - (ranks[m:] - stats.rankdata(negatives)) / m
    auc = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))
    return max(0.0, auc - z * error), min(1.0, auc + z * error)
