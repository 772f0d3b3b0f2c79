"""Counting a column into cells: between edges for numbers, by code for categories, and one cell for what is missing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError

__all__ = ["MAX_EDGES", "as_matrix", "categorical_counts", "edges_of", "just_below", "numeric_counts", "sorted_columns"]

MAX_EDGES = 63
"""Inner edges of a numeric column at most, which makes 64 bins."""


def as_matrix(matrix: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """`matrix` as float64 (n, columns).

    Raises:
        ValidationError: another number of dimensions or columns.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != columns:
        raise ValidationError(f"expected a matrix of {columns} columns, found the shape {values.shape}")
    return values


def sorted_columns(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The columns of (n, d) as sorted rows of (d, n); infinities become NaN, and NaN is last."""
    columns = np.ascontiguousarray(matrix.T)
    columns = np.where(np.isfinite(columns), columns, np.nan)
    columns.sort(axis=1)
    return columns


def edges_of(ordered: NDArray[np.float64]) -> tuple[float, ...]:
    """Edges e_0 < e_1 < ... of at most 64 bins (-inf, e_0], (e_0, e_1], ..., (e_last, inf) for sorted finite values.

    With few distinct values each gets a bin of its own, and so do the values below and above all of them. Otherwise
    bins hold equal shares, and a value so frequent that several quantiles fall on it gets a bin of its own.

    >>> edges_of(np.array([0.0, 0.0, 1.0, 1.0, 1.0]))
    (-2.2250738585072014e-308, 0.0, 1.0)
    >>> len(edges_of(np.arange(1000.0)))
    63
    """
    if not len(ordered):
        return ()
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
    if len(distinct) < MAX_EDGES:
        return tuple(np.concatenate([just_below(distinct[:1]), distinct]).tolist())
    ranks = np.ceil(np.arange(1, MAX_EDGES + 1) * len(ordered) / (MAX_EDGES + 1)).astype(np.int64) - 1
    values, hits = np.unique(ordered[ranks], return_counts=True)
    atoms = values[hits > 1]
    return tuple(np.union1d(values, just_below(atoms)).tolist())


def just_below(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest number below each value (n,)."""
    # not the denormal next to 0: a library that flushes denormals in this thread would make it 0
    return np.where(values == 0, -np.finfo(np.float64).tiny, np.nextafter(values, -np.inf))


def numeric_counts(ordered: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """Counts per bin, then of missing values; `ordered` is a row of `sorted_columns`.

    >>> numeric_counts(np.array([0.0, 1.0, 1.0, 7.0, np.nan]), (0.0, 1.0)).tolist()
    [1, 2, 1, 1]
    """
    finite = int(np.searchsorted(ordered, np.inf, side="left"))
    below = np.searchsorted(ordered, np.asarray(edges, dtype=np.float64), side="right")
    return np.diff(np.concatenate([[0], below, [finite, len(ordered)]])).astype(np.int64)


def categorical_counts(codes: NDArray[np.float64], categories: int) -> NDArray[np.int64]:
    """Counts per category, then of unseen ones (any code that is none of 0 .. categories - 1), then of missing ones.

    >>> categorical_counts(np.array([0.0, 1.0, 1.0, 2.0, 9.0, np.nan]), 2).tolist()
    [1, 2, 2, 1]
    """
    known = (codes >= 0) & (codes < categories) & (codes == np.floor(codes))
    cells = np.where(np.isnan(codes), categories + 1, categories)
    cells[known] = codes[known]
    return np.bincount(cells.astype(np.int64), minlength=categories + 2).astype(np.int64)
