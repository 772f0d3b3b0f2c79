"""Distances between two count vectors over the same cells, what chance makes of them, and how significant they are.

`reference` and `current` are counts per cell as `FeatureReference.counts` lists them: ordered bins then missing for a
numeric column; categories, unseen, missing for a categorical one. Sizes are n and m rows.

JS and PSI are taken on at most 16 groups of neighbouring bins (`psi_groups`), which keeps their noise small. Without
drift, PSI and 8 ln2 JS (bits) are (1/n + 1/m) times a chi-square variable of cells - 1 degrees of freedom.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, kolmogi, kolmogorov

from mlops_ray.drift.column import Kind

__all__ = ["chi_square_p", "js", "ks", "noise_js", "noise_ks", "noise_psi", "p_value", "psi", "psi_groups"]

_GROUPS = 16
_SPARSE = 5  # expected rows below which a cell makes the chi-square approximation wrong

Counts = NDArray[np.int64]


def ks(reference: Counts, current: Counts, kind: Kind) -> float:
    """Largest difference in probability, 0..1.

    Numeric: over all "at most x" (Kolmogorov-Smirnov on the bins, never above the exact one), missing values counting
    as largest. Categorical: over all sets of categories (total variation), its counterpart where there is no order.

    >>> ks(np.array([5, 5, 0]), np.array([2, 8, 0]), "numeric")
    0.3
    """
    difference = _shares(reference) - _shares(current)
    if kind == "categorical":
        return float(np.abs(difference).sum() / 2)
    return float(np.abs(np.cumsum(difference)).max())


def psi_groups(reference: Counts, kind: Kind) -> NDArray[np.int64]:
    """The group of each cell, 0, 1, ...: neighbouring bins joined to at most 16 of similar share, missing apart.

    >>> psi_groups(np.array([25, 25, 0, 50, 3]), "numeric").tolist()
    [0, 1, 2, 3, 4]
    """
    if kind == "categorical":
        return np.arange(len(reference))
    bins = reference[:-1]
    middle = (np.cumsum(bins) - bins / 2) / max(1, int(bins.sum()))
    groups = np.minimum((middle * _GROUPS).astype(np.int64), _GROUPS - 1)
    _, consecutive = np.unique(groups, return_inverse=True)
    return np.append(consecutive, consecutive[-1] + 1)


def js(reference: Counts, current: Counts, groups: NDArray[np.int64]) -> float:
    """Jensen-Shannon divergence in bits, 0..1.

    >>> js(np.array([10, 0]), np.array([0, 10]), np.array([0, 1]))
    1.0
    """
    p, q = _shares(_grouped(reference, groups)), _shares(_grouped(current, groups))
    middle = (p + q) / 2
    return max(0.0, float((_entropy_terms(p, middle) + _entropy_terms(q, middle)).sum() / 2))


def psi(reference: Counts, current: Counts, groups: NDArray[np.int64]) -> float:
    """Population stability index, sum of (p - q) ln(p / q), 0 or more.

    Cells empty on both sides are left out; the others get half a row of the smaller sample on both sides, in
    proportion, so that equal shares stay at 0 and a cell empty on one side stays finite.

    >>> round(psi(np.array([50, 50]), np.array([80, 20]), np.array([0, 1])), 3)
    0.406
    """
    a, b = _grouped(reference, groups), _grouped(current, groups)
    used = (a + b) > 0
    smallest = max(1, min(a.sum(), b.sum()))
    p, q = _shares(a[used]) + 0.5 / smallest, _shares(b[used]) + 0.5 / smallest
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def p_value(reference: Counts, current: Counts, kind: Kind) -> float:
    """Chance of a distance this large without drift: Kolmogorov-Smirnov for numbers, chi-square for categories.

    The first is asymptotic and, on bins and ties, conservative. The second joins cells too rare for it.

    >>> round(p_value(np.array([500, 500, 0]), np.array([440, 560, 0]), "numeric"), 4)
    0.0546
    >>> round(p_value(np.array([500, 500, 0]), np.array([440, 560, 0]), "categorical"), 4)
    0.0072
    """
    n, m = float(reference.sum()), float(current.sum())
    if not n or not m:
        return 1.0
    if kind == "numeric":
        return float(kolmogorov(ks(reference, current, kind) * np.sqrt(n * m / (n + m))))
    return chi_square_p(reference, current)


def chi_square_p(reference: Counts, current: Counts) -> float:
    """Chance of shares this different without drift, by the chi-square test; cells too rare for it are joined.

    >>> round(chi_square_p(np.array([500, 500, 0]), np.array([440, 560, 0])), 4)
    0.0072
    """
    n, m = float(reference.sum()), float(current.sum())
    a, b = _without_sparse_cells(reference, current)
    if len(a) < 2:
        return 1.0
    expected_a, expected_b = (a + b) * n / (n + m), (a + b) * m / (n + m)
    statistic = ((a - expected_a) ** 2 / expected_a + (b - expected_b) ** 2 / expected_b).sum()
    return float(chdtrc(len(a) - 1, statistic))


def noise_ks(n: int, m: int, level: float, *, kind: Kind, cells: int) -> float:
    """The distance that chance exceeds with probability `level` at most, for `n` and `m` rows.

    Numeric: Kolmogorov's asymptotic quantile. Categorical: from the chi-square quantile by Cauchy-Schwarz.

    >>> round(noise_ks(1000, 1000, 0.05, kind="numeric", cells=17), 4)
    0.0607
    """
    if kind == "numeric":
        return min(1.0, float(kolmogi(level) * np.sqrt(1 / n + 1 / m)))
    return min(1.0, float(np.sqrt(_noise(n, m, level, cells=cells)) / 2))


def noise_js(n: int, m: int, level: float, *, cells: int) -> float:
    """As `noise_ks`, for JS in bits."""
    return min(1.0, _noise(n, m, level, cells=cells) / (8 * float(np.log(2))))


def noise_psi(n: int, m: int, level: float, *, cells: int) -> float:
    """As `noise_ks`, for PSI."""
    return _noise(n, m, level, cells=cells)


def _noise(n: int, m: int, level: float, *, cells: int) -> float:
    return float(chdtri(max(1, cells - 1), level) * (1 / n + 1 / m))


def _shares(counts: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(counts / max(1, counts.sum()), dtype=np.float64)


def _grouped(counts: Counts, groups: NDArray[np.int64]) -> Counts:
    return np.bincount(groups, weights=counts).astype(np.int64)


def _entropy_terms(p: NDArray[np.float64], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """p log2(p / middle), with 0 log 0 = 0."""
    some = p > 0
    terms = np.zeros_like(p)
    terms[some] = p[some] * np.log2(p[some] / middle[some])
    return terms


def _without_sparse_cells(reference: Counts, current: Counts) -> tuple[Counts, Counts]:
    """Both counts without empty cells, and with all cells rare in the smaller sample joined to the smallest other."""
    used = (reference + current) > 0
    a, b = reference[used], current[used]
    small = a if a.sum() < b.sum() else b
    expected = (a + b) * small.sum() / (a.sum() + b.sum())
    # a cell that the smaller sample really holds stays, however little was expected: that is drift, not sparseness
    rare = (expected < _SPARSE) & (small < _SPARSE)
    if not rare.any() or rare.all():
        return a[~rare], b[~rare]
    kept_a, kept_b = a[~rare].copy(), b[~rare].copy()
    smallest = int(np.argmin(kept_a + kept_b))
    kept_a[smallest] += a[rare].sum()
    kept_b[smallest] += b[rare].sum()
    return kept_a, kept_b
