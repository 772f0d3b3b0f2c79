"""The numbers behind the plots of a training; JSON-ready dictionaries, so that each can be drawn again elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "calibration",
    "confusion",
    "confusion_of_classes",
    "curves",
    "parallel",
    "permutation_drop",
    "precision_recall",
    "ranked",
    "residuals",
    "roc",
]

Array = NDArray[np.float64]

_POINTS = 400  # of a curve, at most
_SCATTERED = 2000  # points of a scatter plot, at most
_BINS = 10


def curves(trials: Sequence[Any]) -> dict[str, Any]:
    """Of each trial: number, outcome, and its validation metric by iteration."""
    return {
        "trials": [
            {"number": t.number, "outcome": t.outcome, "points": [list(point) for point in t.curve]} for t in trials
        ]
    }


def confusion(labels: Array, predictions: Array) -> dict[str, Any]:
    """Rows by label and by prediction cut at 0.5: `counts[label][predicted]`.

    >>> confusion(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.9, 0.1]))["counts"]
    [[1, 0], [1, 1]]
    """
    predicted = predictions >= 0.5
    counts = [[int(((labels == a) & (predicted == b)).sum()) for b in (0, 1)] for a in (0, 1)]
    return {"cut": 0.5, "labels": ["0", "1"], "counts": counts}


def confusion_of_classes(labels: Array, predictions: Array, classes: Sequence[str]) -> dict[str, Any]:
    """Rows by label and by the likeliest of the probabilities (n, classes).

    >>> confusion_of_classes(np.array([0.0, 1.0]), np.array([[0.9, 0.1], [0.6, 0.4]]), ("a", "b"))["counts"]
    [[1, 0], [1, 0]]
    """
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (labels.astype(np.int64), predictions.argmax(axis=1)), 1)
    return {"cut": None, "labels": list(classes), "counts": counts.tolist()}


def roc(labels: Array, predictions: Array) -> dict[str, Any]:
    """Receiver operating characteristic: a point for each distinct prediction, thinned out.

    >>> roc(np.array([0.0, 1.0]), np.array([0.2, 0.9]))["true_positive_rate"]
    [0.0, 1.0, 1.0]
    """
    true, false = _cumulated(labels, predictions)
    places = _thinned(len(true))
    return {
        "false_positive_rate": [0.0, *(false / false[-1])[places].tolist()],
        "true_positive_rate": [0.0, *(true / true[-1])[places].tolist()],
    }


def precision_recall(labels: Array, predictions: Array) -> dict[str, Any]:
    """Precision and recall for each distinct prediction as the cut, thinned out.

    >>> precision_recall(np.array([0.0, 1.0]), np.array([0.2, 0.9]))["precision"]
    [1.0, 0.5]
    """
    true, false = _cumulated(labels, predictions)
    places = _thinned(len(true))
    return {
        "recall": (true / true[-1])[places].tolist(),
        "precision": (true / (true + false))[places].tolist(),
        "share_positive": float(labels.mean()),
    }


def calibration(labels: Array, predictions: Array) -> dict[str, Any]:
    """Mean prediction and share of ones in ten parts of equal size, by prediction."""
    parts = [p for p in np.array_split(np.argsort(predictions, kind="stable"), _BINS) if len(p)]
    return {
        "predicted": [float(predictions[part].mean()) for part in parts],
        "observed": [float(labels[part].mean()) for part in parts],
        "rows": [len(part) for part in parts],
    }


def residuals(labels: Array, predictions: Array) -> dict[str, Any]:
    """Actual and predicted values of up to 2,000 rows, evenly from all of them."""
    places = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _SCATTERED)).astype(np.int64))
    return {"actual": labels[places].tolist(), "predicted": predictions[places].tolist()}


def ranked(names: Sequence[str], values: Sequence[float], *, kind: str) -> dict[str, Any]:
    """Importances, the largest first."""
    order = sorted(range(len(names)), key=lambda i: -values[i])
    return {"kind": kind, "features": [names[i] for i in order], "importance": [float(values[i]) for i in order]}


def permutation_drop(matrix: Array, value_of: Callable[[Array], float], *, maximize: bool, seed: int) -> list[float]:
    """How much worse the metric gets when one column is shuffled (Breiman 2001), of each column of (rows, columns)."""
    generator = np.random.default_rng(seed)
    sign, before, drops = (1.0 if maximize else -1.0), value_of(matrix), []
    for place in range(matrix.shape[1]):
        shuffled = matrix.copy()
        shuffled[:, place] = generator.permutation(matrix[:, place])
        drops.append(sign * (before - value_of(shuffled)))
    return drops


def parallel(trials: Sequence[Any], *, metric: str) -> dict[str, Any]:
    """Hyperparameters that differ between the trials, and the value each trial came to."""
    known = [t for t in trials if t.value is not None and np.isfinite(t.value)]
    names = [n for n in (known[0].params if known else ()) if len({_text(t.params.get(n)) for t in known}) > 1]
    return {
        "metric": metric,
        "parameters": names,
        "trials": [
            {
                "number": t.number,
                "outcome": t.outcome,
                "value": t.value,
                "params": {name: t.params.get(name) for name in names},
            }
            for t in known
        ],
    }


def _text(value: Any) -> str:
    return repr(dict(value) if isinstance(value, Mapping) else value)


def _cumulated(labels: Array, predictions: Array) -> tuple[Array, Array]:
    """True and false positives when the cut is each distinct prediction, from the largest down."""
    order = np.argsort(-predictions, kind="stable")
    last = np.append(np.flatnonzero(np.diff(predictions[order])), len(order) - 1)
    true = np.cumsum(labels[order])[last]
    return true, (last + 1) - true


def _thinned(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, _POINTS)).astype(np.int64))
