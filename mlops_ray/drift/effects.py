"""How far a numeric column moved, in standard deviations of the reference, from counts of its bins."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, erfcinv, ndtri

from mlops_ray.drift.feature_reference import FeatureReference

__all__ = [
    "bin_means",
    "expected_mean_z",
    "noise_shift",
    "shift_and_deviation",
    "shift_p_value",
    "wasserstein",
]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def shift_and_deviation(reference: Counts, current: Counts) -> tuple[float, float]:
    """Difference of the means of normal scores, and its standard deviation without drift: infinite where a side has no
    values. Of a normal column it is the shift of its mean in standard deviations.

    The score of a bin is the normal quantile of its middle rank in the reference (van der Waerden, 1952): no outlier
    and no heavy tail makes it noisy. Missing values, the last count, are left out.

    >>> round(shift_and_deviation(np.array([25, 25, 25, 25, 0]), np.array([10, 20, 30, 40, 5]))[0], 3)
    0.377
    """
    n, m = int(reference[:-1].sum()), int(current[:-1].sum())
    if not n or not m:
        return 0.0, float("inf")
    p, q = reference[:-1] / n, current[:-1] / m
    scores = ndtri(np.clip(np.cumsum(p) - p / 2, 0.005, 0.995))
    mean = float(p @ scores)
    variance = float(p @ scores**2) - mean**2
    return float(q @ scores) - mean, float(np.sqrt(max(0.0, variance) * (1 / n + 1 / m)))


def noise_shift(deviation: float, level: float) -> float:
    """The absolute shift that chance exceeds with probability `level`.

    >>> round(noise_shift(0.1, 0.05), 3)
    0.196
    """
    return float(np.sqrt(2) * erfcinv(level)) * deviation


def shift_p_value(moved: float, deviation: float) -> float:
    """Chance of an absolute shift this large without drift (a two-sample z test of the scores).

    >>> round(shift_p_value(0.196, 0.1), 3)
    0.05
    """
    if not np.isfinite(deviation) or deviation == 0:
        return 1.0
    return float(erfc(abs(moved) / deviation / np.sqrt(2)))


def wasserstein(
    feature: FeatureReference, reference: Counts, current: Counts, current_means: Floats | None = None
) -> float:
    """Earth mover's distance of the finite values, in standard deviations of the reference.

    The area between the two distribution functions is exact in every bin in which they do not cross, and where all of
    the reference's values in it are one and those of the window are near each other.

    Args:
        feature: the column.
        reference: counts that are compared with; those of the feature, or of a part of its season.
        current: counts of the window.
        current_means: of the window's values in each bin (bins,); None takes the reference's.
    """
    a, b = reference[:-1], current[:-1]
    if not a.sum() or not b.sum():
        return 0.0
    means = _bin_means(feature)
    theirs = means if current_means is None else current_means
    p, q = a / a.sum(), b / b.sum()
    if not feature.edges:
        return float(abs(theirs[0] - means[0]) / _scale(feature))
    edges = np.asarray(feature.edges)
    outer = abs(p[0] * (edges[0] - means[0]) - q[0] * (edges[0] - theirs[0]))
    outer += abs(p[-1] * (means[-1] - edges[-1]) - q[-1] * (theirs[-1] - edges[-1]))
    difference = np.cumsum(p - q)[:-1]  # at the edges
    left, right, low, high = difference[:-1], difference[1:], edges[:-1], edges[1:]
    width, m, w = high - low, means[1:-1], theirs[1:-1]
    inner = np.abs(left * width + p[1:-1] * (high - m) - q[1:-1] * (high - w))
    span = np.where(left * right < 0, np.abs(left) + np.abs(right), np.inf)
    inner = np.where(left * right < 0, width * (left**2 + right**2) / (2 * span), inner)
    one_value = m >= high
    inner = np.where(one_value, np.abs(left) * (w - low) + np.abs(left - q[1:-1]) * (high - w), inner)
    return float((outer + inner.sum()) / _scale(feature))


def bin_means(feature: FeatureReference, current: Counts, sums: Floats) -> Floats | None:
    """Means of a window's values in each bin, from a profile's sums of z; None where it has none.

    A bin without values has the mean of the reference.
    """
    if not sums.any():
        return None
    counts = current[:-1]
    means = np.where(
        counts > 0, feature.mean + _scale(feature) * sums[:-1] / np.maximum(1, counts), _bin_means(feature)
    )
    if feature.edges:  # sums are on a grid: never beyond the edges
        means[:-1] = np.minimum(means[:-1], feature.edges)
        means[1:] = np.maximum(means[1:], feature.edges)
    return means


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
    if not feature.edges:
        return np.array([feature.mean])
    edges = np.asarray(feature.edges)
    return np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
