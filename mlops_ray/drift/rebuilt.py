"""Rows made again from the counts of a reference: as many as wanted, with the reference's own distributions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.feature_reference import FeatureReference
from mlops_ray.drift.reference import ReferenceProfile

__all__ = ["rebuilt_rows"]

Values = NDArray[np.float64]

# mean distance of an outermost value to its edge, in widths of the bin beside it: 1.2 of a normal column, 1.4 of an
# exponential one
_TAIL = 1.3


def rebuilt_rows(reference: ReferenceProfile, rows: int, *, seed: int) -> Values:
    """`rows` rows (rows, features) as `fold` takes them: each column follows the counts as closely as so many can.

    A column's values are spread evenly over each bin, those beyond the outermost edges fall off exponentially, and
    whole numbers stay whole. Columns are put together at random: what they had to do with each other is not kept.

    >>> from mlops_ray.drift import Column, build_reference
    >>> plans = np.array([[0.0], [0.0], [0.0], [1.0]])
    >>> reference = build_reference([Column("plan", "categorical", ("a", "b"))], plans)
    >>> sorted(rebuilt_rows(reference, 8, seed=1)[:, 0].tolist())
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    """
    generator = np.random.default_rng(seed)
    columns = [generator.permutation(_column(feature, rows)) for feature in reference.features]
    return np.column_stack(columns) if columns else np.empty((rows, 0))


def _column(feature: FeatureReference, rows: int) -> Values:
    """The values at `rows` evenly spaced places of all counted ones, lowest first, missing ones last."""
    ends = np.cumsum(feature.counts).astype(np.float64)
    places = (np.arange(rows) + 0.5) / rows * ends[-1]
    cells = np.searchsorted(ends, places, side="right")
    if feature.kind == "categorical":
        return np.where(cells == len(feature.categories) + 1, np.nan, cells.astype(np.float64))
    starts = np.concatenate(([0.0], ends[:-1]))
    shares = (places - starts[cells]) / np.maximum(ends - starts, 1.0)[cells]
    missing = cells == len(feature.counts) - 1
    values = np.full(rows, np.nan)
    values[~missing] = _numbers(feature, cells[~missing], shares[~missing])
    return values


def _numbers(feature: FeatureReference, bins: NDArray[np.int64], shares: Values) -> Values:
    """Values `shares` of the way through their bins."""
    edges = np.asarray(feature.edges)
    if not len(edges):
        return np.zeros(len(bins))
    if _only_edges(feature.counts):
        return edges[np.minimum(bins, len(edges) - 1)]
    lower, upper = edges[np.maximum(bins - 1, 0)], edges[np.minimum(bins, len(edges) - 1)]
    values = lower + shares * (upper - lower)
    first, last = bins == 0, bins == len(edges)
    values[first] = edges[0] + _TAIL * _width(edges, 0) * np.log(np.maximum(shares[first], 1e-3))
    values[last] = edges[-1] - _TAIL * _width(edges, -1) * np.log(np.maximum(1 - shares[last], 1e-3))
    if edges[0] >= 0:  # amounts and counts
        values = np.maximum(values, 0.0)
    whole = np.array_equal(np.round(edges, 6), np.round(edges))
    return np.ceil(np.round(values, 9)) + 0.0 if whole else values


def _only_edges(counts: Sequence[int]) -> bool:
    """Whether nothing lies beyond the outermost edges, as where each of a few values has a bin of its own."""
    return len(counts) > 3 and counts[0] == 0 and counts[-2] == 0


def _width(edges: Values, end: int) -> float:
    """Width of the outermost bin between two edges."""
    return 0.0 if len(edges) < 2 else float(edges[1] - edges[0] if end == 0 else edges[-1] - edges[-2])
