"""Performance that is to be expected where outcomes are not there yet, from calibrated probabilities.

Every row counts as what its probability says, in shares (CBPE, as NannyML calls it): such expected hits and
misses make the metrics. It is right as far as the probabilities are, and blind to concept drift: where the same
features mean other outcomes, nothing shows here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.evaluation.calibration import Calibration

__all__ = ["BLIND", "Estimated", "estimate_performance"]

Floats = NDArray[np.float64]
BLIND = "estimated from the probabilities; blind to concept drift"
_LABEL_AT = 0.5
_DRAWS = 100
_MOST_ROWS = 20_000
_Z = 1.959964
_METRICS = ("accuracy", "precision", "recall", "f1", "auc", "brier", "log_loss")


@dataclass(frozen=True)
class Estimated:
    """Expected metrics with bands, or why there are none."""

    rows: int
    metrics: Mapping[str, float]
    bands: Mapping[str, tuple[float, float]]
    """From draws of outcomes, widened by the calibration error of the holdout."""
    note: str


def estimate_performance(
    probabilities: Floats, calibration: Calibration | None, *, max_error: float, seed: int
) -> Estimated:
    """Expected metrics of binary answers with these probabilities of 1 (n,).

    Args:
        probabilities: of answers whose outcome is not known.
        calibration: of the holdout.
        max_error: calibration error of the holdout above which nothing is estimated.
        seed: of the draws that the bands are made of.
    """
    rows = len(probabilities)
    if calibration is None:
        return Estimated(rows, {}, {}, "not estimated: the holdout's calibration is not known")
    if calibration.error > max_error:
        reason = f"the holdout's calibration error is {calibration.error:.3f}, above {max_error:g}"
        return Estimated(rows, {}, {}, f"not estimated: {reason}")
    if rows < 2:
        return Estimated(rows, {}, {}, "not estimated: no answers")
    p = probabilities[-_MOST_ROWS:]
    expected = _metrics(p, p[None, :])
    drawn = _metrics(p, (np.random.default_rng(seed).random((_DRAWS, len(p))) < p).astype(np.float64))
    metrics, bands = {}, {}
    for name in _METRICS:
        value = float(expected[name][0])
        if np.isfinite(value):
            spread = float(np.nanstd(drawn[name])) * _Z + calibration.error
            low, high = value - spread, value + spread
            metrics[name] = value
            bands[name] = (max(0.0, low), high if name == "log_loss" else min(1.0, high))
    return Estimated(rows, metrics, bands, BLIND)


def _metrics(p: Floats, labels: Floats) -> dict[str, Floats]:
    """By name, metrics (d,) of the probabilities (n,) against d sets of labels or shares of labels (d, n)."""
    said = p >= _LABEL_AT
    tp, fn = labels[:, said].sum(axis=1), labels[:, ~said].sum(axis=1)
    fp, tn = said.sum() - tp, (~said).sum() - fn
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "accuracy": (tp + tn) / len(p),
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "auc": _auc(p, labels),
            "brier": (labels @ (1 - p) ** 2 + (1 - labels) @ p**2) / len(p),
            "log_loss": -(labels @ np.log(clipped) + (1 - labels) @ np.log1p(-clipped)) / len(p),
        }


def _auc(p: Floats, labels: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    _, starts = np.unique(p[order], return_index=True)
    ones = np.add.reduceat(labels[:, order], starts, axis=1)
    zeros = np.add.reduceat(1 - labels[:, order], starts, axis=1)
    below = np.cumsum(zeros, axis=1) - zeros
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((ones * (below + zeros / 2)).sum(axis=1) / (ones.sum(axis=1) * zeros.sum(axis=1)))
