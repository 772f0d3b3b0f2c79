"""How well probabilities say how often it happens."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "calibration_of"]

Floats = NDArray[np.float64]
_CLIPPED_AT = 1e-6
_STEPS = 50
_BIN_ROWS = 20  # at least: of fewer the share of ones is chance


@dataclass(frozen=True)
class Calibration:
    """Of probabilities of the label 1."""

    error: float
    """Expected calibration error: mean distance of the share of ones to the mean probability, in bins of equal rows."""
    slope: float | None
    """Of the label's log odds over the probability's; below 1: too sure of itself. None where no fit is to be had."""
    intercept: float | None
    """The same fit's log odds at a probability of one half."""


def calibration_of(labels: Floats, probabilities: Floats, *, bins: int = 10) -> Calibration:
    """Calibration of probabilities (n,) against labels 0 and 1 (n,), n at least 1.

    Bins hold about equally many rows (Nguyen and O'Connor 2015); slope and intercept are Cox's (1958).

    >>> calibration_of(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.75, 0.75, 0.75, 0.75])).error
    0.0
    """
    parts = max(1, min(bins, len(labels) // _BIN_ROWS))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, parts + 1)[1:-1]))
    places = np.searchsorted(edges, probabilities, side="left")  # equal probabilities are in one bin
    over = np.bincount(places, weights=labels - probabilities)
    gaps = np.abs(over).sum()
    slope, intercept = _cox(labels, probabilities)
    return Calibration(error=float(gaps) / len(labels), slope=slope, intercept=intercept)


def _cox(labels: Floats, probabilities: Floats) -> tuple[float | None, float | None]:
    """Logistic regression of the label on the log odds, by Newton's method."""
    p = np.clip(probabilities, _CLIPPED_AT, 1 - _CLIPPED_AT)
    odds = np.log(p / (1 - p))
    if len(labels) < 20 or labels.min() == labels.max() or np.ptp(odds) < 1e-9:
        return None, None
    design = np.stack([np.ones(len(odds)), odds], axis=1)
    weights = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        curvature = design.T @ (design * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(curvature) > 1e10:
            return None, None  # labels that the probabilities separate: no finite fit
        step = np.linalg.solve(curvature, design.T @ (labels - fitted))
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            return float(weights[1]), float(weights[0])
    return None, None
