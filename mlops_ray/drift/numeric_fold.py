"""Counts and sums of numeric columns, many at a time: sorting them takes most of the work."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.cells import just_below
from mlops_ray.drift.feature_reference import FeatureReference

__all__ = ["NumericPlan"]

_CUT = 4_096.0  # of z: one wild value does not hide all others
_GRID = 65_536.0
_LARGEST = float(np.finfo(np.float64).max)
_SMALLEST = float(np.finfo(np.float64).tiny)  # what is smaller counts as 0: a library may flush it to that

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NumericPlan:
    """What the k numeric columns of a reference need, as arrays of one row for each."""

    places: Integers
    """Among the features (k,)."""
    edges: Floats
    """(k, e), filled up with the last one, or with -inf where there is none."""
    limits: Floats
    """(k, 7): just below the smallest value of the reference, the largest one, the numbers next to 0, and -inf, the
    largest number and inf."""
    center: Floats
    scale: Floats
    kept: NDArray[np.bool_]
    """(k, e + 2): which of the counts between these edges are cells; the others are between equal ones."""
    cells: Integers
    """Places of the cells among those of all features, in order."""
    cells_before: Integers
    """(k + 1,) cells of the columns before each."""

    @classmethod
    def of(cls, features: Sequence[FeatureReference]) -> "NumericPlan":
        """For these features; the categorical ones are left out."""
        numeric = [(i, feature) for i, feature in enumerate(features) if feature.kind == "numeric"]
        widest = max([len(feature.edges) for _, feature in numeric], default=0)
        edges, kept = np.full((len(numeric), widest), -np.inf), np.ones((len(numeric), widest + 2), dtype=np.bool_)
        for row, (_, feature) in enumerate(numeric):
            known = len(feature.edges)
            edges[row, :known] = feature.edges
            edges[row, known:] = feature.edges[-1] if known else -np.inf
            kept[row, known:widest] = False
        lengths = np.array([len(feature.counts) for feature in features], dtype=np.int64)
        ends = np.cumsum(lengths)
        cells = [np.arange(ends[i] - lengths[i], ends[i]) for i, _ in numeric]
        return cls(
            places=np.array([i for i, _ in numeric], dtype=np.int64),
            edges=edges,
            limits=np.array([_limits(feature) for _, feature in numeric]).reshape(-1, 7),
            center=np.array([[feature.mean] for _, feature in numeric]).reshape(-1, 1),
            scale=np.array([[1 / feature.std if feature.std > 0 else 1.0] for _, feature in numeric]).reshape(-1, 1),
            kept=kept,
            cells=np.concatenate([np.empty(0, dtype=np.int64), *cells]),
            cells_before=np.concatenate([[0], np.cumsum([len(part) for part in cells])]).astype(np.int64),
        )

    def part(self, start: int, stop: int) -> "NumericPlan":
        """Of the columns start .. stop - 1 only."""
        rows, before = slice(start, stop), self.cells_before[start : stop + 1]
        return NumericPlan(
            self.places[rows],
            self.edges[rows],
            self.limits[rows],
            self.center[rows],
            self.scale[rows],
            self.kept[rows],
            self.cells[before[0] : before[-1]],
            before - before[0],
        )

    def fold(self, values: Floats) -> tuple[Integers, Floats, Floats, Integers]:
        """Of rows (n, d): counts and sums of `cells`, moments (k, 6) and ranges (k, 4) as a `Profile` has them."""
        k, n = len(self.places), len(values)
        buffer = np.zeros(k * n + 1)  # one more, where a sum over nothing begins
        block = buffer[:-1].reshape(k, n)
        block[:] = self._columns(values).T
        block.sort(axis=1)  # NaN is last
        below = np.empty((k, self.edges.shape[1]), dtype=np.int64)
        limits = np.empty(self.limits.shape, dtype=np.int64)
        for row in range(k):
            below[row] = block[row].searchsorted(self.edges[row], side="right")
            limits[row] = block[row].searchsorted(self.limits[row], side="right")
        under, within, negative, zero, first, end, infinite = limits.T
        ends = np.column_stack((first, below, end))
        counted = np.column_stack((np.diff(ends, axis=1), n - (end - first)))
        ranges = np.column_stack((zero - negative, under - first, end - within, first + infinite - end))
        # what is not finite, and for the logarithms what is 0, counts as a value that adds nothing
        neutral = [(row, slice(0, int(first[row]))) for row in np.flatnonzero(first).tolist()]
        neutral += [(row, slice(int(end[row]), n)) for row in np.flatnonzero(end < n).tolist()]
        zeros = [(row, slice(int(negative[row]), int(zero[row]))) for row in np.flatnonzero(zero > negative).tolist()]
        for column, places in neutral:
            block[column, places] = self.center[column, 0]
        logs = self._log_sums(block, [*neutral, *zeros])
        sums, squares = self._sums(block, buffer, ends)
        moments = np.column_stack((end - first, sums.sum(axis=1), squares, end - first - (zero - negative), *logs))
        sums = np.column_stack((sums, np.zeros(k)))
        return counted[self.kept], _on_grid(sums[self.kept]), _on_grid(moments), ranges

    def _columns(self, values: Floats) -> Floats:
        first, last = int(self.places[0]), int(self.places[-1])
        together = last - first + 1 == len(self.places)
        return values[:, first : last + 1] if together else values[:, self.places]

    def _sums(self, block: Floats, buffer: Floats, ends: Integers) -> tuple[Floats, Floats]:
        """z between the edges (k, e + 1), and z^2 (k,); z takes the place of the values."""
        k, n = block.shape
        with np.errstate(over="ignore"):
            block -= self.center
            block *= self.scale
        if n and max(-block.min(), block.max()) > _CUT:
            np.clip(block, -_CUT, _CUT, out=block)
        starts = ends[:, :-1].copy()
        starts[:, 0] = 0  # what is there before the first value is 0
        starts += (np.arange(k) * n)[:, None]
        sums = np.add.reduceat(buffer, starts.ravel()).reshape(starts.shape)
        sums[np.diff(ends, axis=1) == 0] = 0.0
        return sums, np.einsum("ij,ij->i", block, block)

    @staticmethod
    def _log_sums(block: Floats, neutral: Sequence[tuple[int, slice]]) -> list[Floats]:
        sizes = np.abs(block)
        for row, places in neutral:
            sizes[row, places] = 1.0
        np.log(sizes, out=sizes)
        return [sizes.sum(axis=1), np.einsum("ij,ij->i", sizes, sizes)]


def _on_grid(values: Floats) -> Floats:
    return np.rint(values * _GRID) / _GRID


def _limits(feature: FeatureReference) -> list[float]:
    low = -np.inf if feature.low is None else float(just_below(np.array([feature.low]))[0])
    high = _LARGEST if feature.high is None else feature.high
    return [low, high, -_SMALLEST, _SMALLEST, -np.inf, _LARGEST, np.inf]
