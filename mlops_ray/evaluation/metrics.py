"""How good predictions are. A metric is a function of a few weighted sums over rows, so that resampling is a product.

Equal to scikit-learn's metrics of the same name (probabilities are cut at 0.5 for accuracy and f1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.spec import METRICS, Metric, Task

__all__ = ["SUMMARIES", "Summary", "check_rows", "score", "scores"]

Array = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Summary:
    """A metric as `combine(means)` of per-row terms.

    `terms(labels, predictions)` is (n, s); `combine` maps weighted means (..., s) to values (...), so that all
    resamples are combined at once.
    """

    terms: Callable[[Array, Array], Array]
    combine: Callable[[Array], Array]


def score(metric: Metric, labels: Array, predictions: Array) -> float:
    """The metric of `predictions` (n,) against `labels` (n,).

    Binary metrics take labels 0 / 1 and probabilities of 1. A metric that the rows leave undefined is an error: AUC
    with one class, R2 with a constant label.

    Raises:
        ValidationError: no rows, lengths that differ, values that are not finite or not what the metric takes.

    >>> score("auc", np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    labels, predictions = check_rows(metric, labels, predictions)
    if metric == "auc":
        return _auc(labels, predictions)
    summary = SUMMARIES[metric]
    return float(summary.combine(summary.terms(labels, predictions).mean(axis=0)))


def scores(task: Task, labels: Array, predictions: Array) -> dict[str, float]:
    """Every metric of the task; raises as `score` does.

    >>> scores("regression", np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    {'rmse': 0.5773502691896257, 'mae': 0.3333333333333333, 'r2': 0.5}
    """
    metrics: tuple[Metric, ...] = tuple(METRICS[task])  # type: ignore[arg-type]
    return {metric: score(metric, labels, predictions) for metric in metrics}


def check_rows(metric: Metric, labels: Array, predictions: Array) -> tuple[Array, Array]:
    """Both as float64 (n,), after every check that `score` makes; raises ValidationError."""
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape or not len(y):
        raise ValidationError(f"{metric}: expected as many predictions as labels, found {p.shape} and {y.shape}")
    for name, values in (("labels", y), ("predictions", p)):
        broken = int((~np.isfinite(values)).sum())
        if broken:
            raise ValidationError(f"{metric}: expected finite {name}, found {broken:,} of {len(values):,} that are not")
    if metric in METRICS["binary"]:
        _check_binary(metric, y, p)
    if metric == "r2" and y.min() == y.max():
        raise ValidationError(f"r2: undefined, because all {len(y):,} labels are {y[0]:g}")
    return y, p


def _check_binary(metric: Metric, labels: Array, predictions: Array) -> None:
    strange = np.setdiff1d(labels, (0.0, 1.0))
    if len(strange):
        raise ValidationError(f"{metric}: expected labels 0 and 1, found {strange[0]:g}")
    if metric in ("log_loss", "brier") and (predictions.min() < 0 or predictions.max() > 1):
        raise ValidationError(
            f"{metric}: expected probabilities, found predictions from {predictions.min():g} to {predictions.max():g}"
        )
    if metric == "auc" and labels.min() == labels.max():
        raise ValidationError(f"auc: expected labels of both classes, found {len(labels):,} times {labels[0]:g}")


def _auc(labels: Array, predictions: Array) -> float:
    """Share of (positive, negative) pairs in the right order, ties counting half (Mann and Whitney 1947)."""
    negatives = np.sort(predictions[labels == 0])
    positives = predictions[labels == 1]
    below = np.searchsorted(negatives, positives, side="left").sum()
    not_above = np.searchsorted(negatives, positives, side="right").sum()
    return float((below + not_above) / (2 * len(negatives) * len(positives)))


def _column(values: Array) -> Array:
    return values[:, None]


def _only(means: Array) -> Array:
    return means[..., 0]


def _log_loss_terms(labels: Array, predictions: Array) -> Array:
    p = np.clip(predictions, _EPSILON, 1 - _EPSILON)
    return _column(-np.where(labels == 1, np.log(p), np.log1p(-p)))


def _f1_terms(labels: Array, predictions: Array) -> Array:
    said = predictions >= 0.5
    return np.stack([said * labels, (said + labels) / 2], axis=1)


def _f1(means: Array) -> Array:
    """2 TP / (predicted + actual positives); 0 where there are neither."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(means[..., 1] > 0, means[..., 0] / means[..., 1], 0.0)


def _r2_terms(labels: Array, predictions: Array) -> Array:
    centred = labels - labels.mean()  # the same ratio, and no cancellation of large squares
    return np.stack([(labels - predictions) ** 2, centred, centred**2], axis=1)


def _r2(means: Array) -> Array:
    variance = means[..., 2] - means[..., 1] ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, 1 - means[..., 0] / variance, np.nan)


SUMMARIES: Mapping[Metric, Summary] = {
    "log_loss": Summary(_log_loss_terms, _only),
    "accuracy": Summary(lambda y, p: _column(((p >= 0.5) == y).astype(np.float64)), _only),
    "brier": Summary(lambda y, p: _column((y - p) ** 2), _only),
    "f1": Summary(_f1_terms, _f1),
    "rmse": Summary(lambda y, p: _column((y - p) ** 2), lambda means: np.sqrt(means[..., 0])),
    "mae": Summary(lambda y, p: _column(np.abs(y - p)), _only),
    "r2": Summary(_r2_terms, _r2),
}
"""Every metric but AUC, which needs ranks."""
