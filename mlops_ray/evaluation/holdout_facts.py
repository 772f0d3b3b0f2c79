"""What a version's holdout and training say about the outcomes that may be expected of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlops_ray.evaluation.calibration import Calibration, calibration_of
from mlops_ray.evaluation.label_counts import LabelCounts, count_labels
from mlops_ray.evaluation.proportions import wilson
from mlops_ray.spec import Task

__all__ = ["HoldoutFacts", "errors_of", "facts_of"]

Floats = NDArray[np.float64]
_LABEL_AT = 0.5
_LARGE = 0.9  # quantile of the absolute error above which an answer of a regression counts as wrong
_BLOCKS = 10
_MIN_BLOCK_ROWS = 30


@dataclass(frozen=True)
class HoldoutFacts:
    """Kept with a version."""

    rows: int
    error: float
    """Share of wrong answers on the holdout."""
    error_limit: float | None
    """Of a regression: an absolute error above it counts as wrong, the holdout's 90 % quantile. None otherwise."""
    block_errors: tuple[float, ...]
    """The share in consecutive parts of the holdout."""
    calibration: Calibration | None
    """Of a binary task whose predictions are probabilities."""
    labels: LabelCounts
    """Of the training."""

    def error_bound(self, level: float = 0.95) -> float:
        """An upper confidence limit of the error: Wilson's, or that over the holdout's blocks where it is higher.

        Real rows are not independent, and the blocks show by how much the error varies in time.
        """
        bound = wilson(self.error, self.rows, float(stats.norm.ppf(level)))[1]
        blocks = np.array(self.block_errors)
        if len(blocks) < 3:
            return bound
        t = float(stats.t.ppf(level, len(blocks) - 1))
        return min(1.0, max(bound, float(blocks.mean() + t * blocks.std(ddof=1) / np.sqrt(len(blocks)))))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "block_errors": list(self.block_errors), "labels": self.labels.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        calibration = content["calibration"]
        values: dict[str, Any] = {
            "block_errors": tuple(content["block_errors"]),
            "calibration": None if calibration is None else Calibration(**calibration),
            "labels": LabelCounts.from_json(content["labels"]),
        }
        return cls(**{**content, **values})


def facts_of(task: Task, labels: Floats, predictions: Floats, training_labels: Floats) -> HoldoutFacts:
    """From the holdout's labels (n,) and predictions (n,) or (n, classes), in the order of time as far as known, and
    the labels of the training.

    >>> facts_of("binary", np.array([0.0, 1.0]), np.array([0.7, 0.8]), np.array([0.0, 1.0])).error
    0.5
    """
    limit = float(np.quantile(np.abs(labels - predictions), _LARGE)) if task == "regression" else None
    errors = errors_of(task, labels, predictions, limit=limit)
    parts = np.array_split(errors, max(1, min(_BLOCKS, len(errors) // _MIN_BLOCK_ROWS)))
    is_probability = task == "binary" and predictions.min() >= 0 and predictions.max() <= 1
    classes = predictions.shape[1] if predictions.ndim == 2 else 2
    return HoldoutFacts(
        rows=len(labels),
        error=float(errors.mean()),
        error_limit=limit,
        block_errors=tuple(float(part.mean()) for part in parts),
        calibration=calibration_of(labels, predictions) if is_probability else None,
        labels=count_labels(task, training_labels, classes=classes),
    )


def errors_of(task: Task, labels: Floats, predictions: Floats, *, limit: float | None) -> NDArray[np.bool_]:
    """Which answers (n,) are wrong.

    Args:
        task: binary predictions are cut at 0.5; several classes come as probabilities (n, classes) or as places (n,).
        labels: (n,).
        predictions: as the task has them.
        limit: of a regression, the absolute error above which an answer counts as wrong.
    """
    if task == "regression":
        return np.asarray(np.abs(labels - predictions) > (np.inf if limit is None else limit))
    if task == "binary":
        return np.asarray((predictions >= _LABEL_AT) != (labels >= _LABEL_AT))
    return np.asarray((predictions.argmax(axis=1) if predictions.ndim == 2 else predictions) != labels)
