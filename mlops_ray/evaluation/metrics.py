"""How good predictions are. A metric is a function of a few weighted sums over rows, so that resampling is a product.

Equal to scikit-learn's metrics of the same name (probabilities are cut at 0.5 for accuracy and f1). Predictions of a
multiclass task are probabilities (n, classes), and labels the places of the classes; f1 is the mean over the classes
(`average="macro"`), of which one that is neither there nor predicted counts 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.spec import METRICS, Metric, Task

__all__ = ["Summary", "check_rows", "drop_of", "score", "scores", "summary_of"]

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


def drop_of(metric: Metric, task: Task, *, known: float, now: float) -> float:
    """By how much `now` is worse than `known`, in units of the metric; negative when it is better.

    >>> drop_of("auc", "binary", known=0.75, now=0.5), drop_of("log_loss", "binary", known=0.25, now=0.75)
    (0.25, 0.5)
    """
    return known - now if METRICS[task][metric] else now - known


def score(metric: Metric, labels: Array, predictions: Array) -> float:
    """The metric of `predictions` (n,) or (n, classes) against `labels` (n,).

    Binary metrics take labels 0 / 1 and probabilities of 1, those of several classes places from 0 on and
    probabilities. A metric that the rows leave undefined is an error: AUC with one class, R2 with a constant label.

    Raises:
        ValidationError: no rows, lengths that differ, values that are not finite or not what the metric takes.

    >>> score("auc", np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    labels, predictions = check_rows(metric, labels, predictions)
    if metric == "auc":
        return _auc(labels, predictions)
    summary = summary_of(metric, predictions)
    return float(summary.combine(summary.terms(labels, predictions).mean(axis=0)))


def scores(task: Task, labels: Array, predictions: Array) -> dict[str, float]:
    """Every metric of the task; raises as `score` does.

    >>> scores("regression", np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    {'rmse': 0.5773502691896257, 'mae': 0.3333333333333333, 'r2': 0.5}
    """
    metrics: tuple[Metric, ...] = tuple(METRICS[task])  # type: ignore[arg-type]
    return {metric: score(metric, labels, predictions) for metric in metrics}


def check_rows(metric: Metric, labels: Array, predictions: Array) -> tuple[Array, Array]:
    """Both as float64, after every check that `score` makes; raises ValidationError."""
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if y.ndim != 1 or p.ndim not in (1, 2) or len(y) != len(p) or not len(y):
        raise ValidationError(f"{metric}: expected as many predictions as labels, found {p.shape} and {y.shape}")
    for name, values in (("labels", y), ("predictions", p)):
        broken = int((~np.isfinite(values)).sum())
        if broken:
            raise ValidationError(f"{metric}: expected finite {name}, found {broken:,} of {len(values):,} that are not")
    if p.ndim == 2:
        _check_classes(metric, y, p)
    elif metric in METRICS["binary"]:
        _check_binary(metric, y, p)
    if metric == "r2" and y.min() == y.max():
        raise ValidationError(f"r2: undefined, because all {len(y):,} labels are {y[0]:g}")
    return y, p


def summary_of(metric: Metric, predictions: Array) -> Summary:
    """The metric for predictions of this shape; not AUC, which needs ranks."""
    return _OF_CLASSES[metric] if predictions.ndim == 2 else _SUMMARIES[metric]


def _check_classes(metric: Metric, labels: Array, predictions: Array) -> None:
    if metric not in METRICS["multiclass"]:
        raise ValidationError(f"{metric}: is not for several classes; expected {', '.join(METRICS['multiclass'])}")
    classes = predictions.shape[1]
    strange = labels[(labels != np.floor(labels)) | (labels < 0) | (labels >= classes)]
    if len(strange):
        raise ValidationError(f"{metric}: expected labels from 0 to {classes - 1}, found {strange[0]:g}")
    if predictions.min() < 0 or predictions.max() > 1:
        raise ValidationError(
            f"{metric}: expected probabilities, found predictions from {predictions.min():g} to {predictions.max():g}"
        )


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


def _classes_log_loss(labels: Array, predictions: Array) -> Array:
    shares = predictions / predictions.sum(axis=1, keepdims=True)  # float32 probabilities add up to 1 but nearly
    own = np.take_along_axis(shares, labels.astype(np.int64)[:, None], axis=1)
    return -np.log(np.clip(own, _EPSILON, 1 - _EPSILON))


def _classes_f1_terms(labels: Array, predictions: Array) -> Array:
    """By class: right, and predicted and actual rows by two."""
    codes = np.arange(predictions.shape[1])
    actual, said = labels[:, None] == codes, predictions.argmax(axis=1)[:, None] == codes
    return np.concatenate([actual & said, (actual.astype(np.float64) + said) / 2], axis=1).astype(np.float64)


def _classes_f1(means: Array) -> Array:
    right, both = np.split(means, 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(both > 0, right / both, 0.0).mean(axis=-1)


_OF_CLASSES: Mapping[Metric, Summary] = {
    "accuracy": Summary(lambda y, p: _column((p.argmax(axis=1) == y).astype(np.float64)), _only),
    "log_loss": Summary(_classes_log_loss, _only),
    "f1": Summary(_classes_f1_terms, _classes_f1),
}

_SUMMARIES: Mapping[Metric, Summary] = {
    "log_loss": Summary(_log_loss_terms, _only),
    "accuracy": Summary(lambda y, p: _column(((p >= 0.5) == y).astype(np.float64)), _only),
    "brier": Summary(lambda y, p: _column((y - p) ** 2), _only),
    "f1": Summary(_f1_terms, _f1),
    "rmse": Summary(lambda y, p: _column((y - p) ** 2), lambda means: np.sqrt(means[..., 0])),
    "mae": Summary(lambda y, p: _column(np.abs(y - p)), _only),
    "r2": Summary(_r2_terms, _r2),
}
