"""How far a numeric column moved, in standard deviations of the reference, from counts of its bins."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, erfcinv, ndtri

from mlops_ray.drift.feature_reference import FeatureReference

__all__ = ["expected_mean_z", "noise_shift", "shift", "shift_p_value", "tail_means", "wasserstein"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def shift(reference: Counts, current: Counts) -> float:
    """Difference of the means of normal scores; of a normal column the shift of its mean in standard deviations.

    The score of a bin is the normal quantile of its middle rank in the reference (van der Waerden, 1952): no outlier
    and no heavy tail makes it noisy. Missing values, the last count, are left out.

    >>> round(shift(np.array([25, 25, 25, 25, 0]), np.array([10, 20, 30, 40, 5])), 3)
    0.377
    """
    scores, p, q = _scored(reference, current)
    return float(((q - p) * scores).sum())


def noise_shift(reference: Counts, current: Counts, level: float) -> float:
    """The absolute shift that chance exceeds with probability `level`, at these sizes.

    >>> round(noise_shift(np.array([2500, 2500, 2500, 2500, 0]), np.array([100, 100, 100, 100, 0]), 0.05), 3)
    0.084
    """
    return float(np.sqrt(2) * erfcinv(level)) * _deviation(reference, current)


def shift_p_value(reference: Counts, current: Counts) -> float:
    """Chance of an absolute shift this large without drift (a two-sample z test of the scores)."""
    deviation = _deviation(reference, current)
    if not np.isfinite(deviation) or deviation == 0:
        return 1.0
    return float(erfc(abs(shift(reference, current)) / deviation / np.sqrt(2)))


def wasserstein(
    feature: FeatureReference, reference: Counts, current: Counts, tails: tuple[float, float] | None = None
) -> float:
    """Earth mover's distance of the finite values, in standard deviations of the reference.

    Inside a bin both sides are taken to be spread alike; the outermost bins count with both sides' own means.

    Args:
        feature: the column.
        reference: counts that are compared with; those of the feature, or of a part of its season.
        current: counts of the window.
        tails: mean of the window's values in the lowest and in the highest bin; None takes the reference's.
    """
    a, b = reference[:-1], current[:-1]
    if not a.sum() or not b.sum():
        return 0.0
    if not feature.edges:
        return abs(tails[1] - feature.mean) / _scale(feature) if tails is not None else 0.0
    edges, means = np.asarray(feature.edges), _bin_means(feature)
    p, q = a / a.sum(), b / b.sum()
    low, high = tails if tails is not None else (means[0], means[-1])
    outer = abs(p[0] * (edges[0] - means[0]) - q[0] * (edges[0] - low))
    outer += abs(p[-1] * (means[-1] - edges[-1]) - q[-1] * (high - edges[-1]))
    difference = np.cumsum(p - q)[:-1]  # at the edges
    left, right, width = difference[:-1], difference[1:], np.diff(edges)
    inner = left * width + (right - left) * (edges[1:] - means[1:-1])
    crossing = left * right < 0
    span = np.where(crossing, np.abs(left) + np.abs(right), 1.0)
    inner[crossing] = (width * (left**2 + right**2) / (2 * span))[crossing]
    return float((outer + np.abs(inner).sum()) / _scale(feature))


def tail_means(feature: FeatureReference, current: Counts, z_low: float, z_high: float) -> tuple[float, float] | None:
    """Means of a window's values in the outermost bins, from the sums `z_low` and `z_high` of a profile's moments.

    None where the profile has no sums; a bin without values has the mean of the reference.
    """
    if not feature.edges or (z_low == 0 and z_high == 0):
        return None
    means, scale = _bin_means(feature), _scale(feature)
    low = feature.mean + scale * z_low / current[0] if current[0] else float(means[0])
    high = feature.mean + scale * z_high / current[-2] if current[-2] else float(means[-1])
    # on a grid: never beyond the edge of its bin
    return min(low, feature.edges[0]), max(high, feature.edges[-1])


def expected_mean_z(feature: FeatureReference, reference: Counts) -> float:
    """Mean of (x - mean) / std in a part of the reference with these counts; 0 in all of it."""
    if tuple(reference.tolist()) == feature.counts or not feature.edges or not reference[:-1].sum():
        return 0.0
    shares = reference[:-1] / reference[:-1].sum()
    return float((shares @ _bin_means(feature) - feature.mean) / _scale(feature))


def _scale(feature: FeatureReference) -> float:
    return feature.std if feature.std > 0 else 1.0


def _bin_means(feature: FeatureReference) -> Floats:
    if feature.bin_means:
        return np.asarray(feature.bin_means)
    edges = np.asarray(feature.edges)
    return np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])


def _scored(reference: Counts, current: Counts) -> tuple[Floats, Floats, Floats]:
    p = reference[:-1] / max(1, reference[:-1].sum())
    q = current[:-1] / max(1, current[:-1].sum())
    middle = np.clip(np.cumsum(p) - p / 2, 0.005, 0.995)
    return ndtri(middle), p, q


def _deviation(reference: Counts, current: Counts) -> float:
    """Standard deviation of the shift without drift; infinite where a side has no values."""
    n, m = int(reference[:-1].sum()), int(current[:-1].sum())
    if not n or not m:
        return float("inf")
    scores, p, _ = _scored(reference, current)
    variance = float((p * scores**2).sum() - (p * scores).sum() ** 2)
    return float(np.sqrt(max(0.0, variance) * (1 / n + 1 / m)))
