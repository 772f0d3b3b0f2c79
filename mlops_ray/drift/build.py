"""Makes the reference of a model version out of its training rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from mlops_ray.drift.blocks import block_distances, time_blocks
from mlops_ray.drift.cells import as_matrix, edges_of
from mlops_ray.drift.column import Column
from mlops_ray.drift.distances import psi_groups
from mlops_ray.drift.feature_reference import QUANTILES, FeatureReference
from mlops_ray.drift.reference import ReferenceProfile
from mlops_ray.drift.season import Season, season_of
from mlops_ray.errors import ValidationError

__all__ = ["build_reference"]

_SEASON_LEVEL = 0.001

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _InTime:
    """How the rows lie in time."""

    season: Season | None
    slots: Counts | None
    """The slot of each row (n,)."""
    blocks: tuple[slice, ...]


def build_reference(
    columns: Sequence[Column],
    matrix: Floats,
    *,
    blocks: int = 10,
    times_s: Floats | None = None,
    window_s: float | None = None,
    season: Season | None = None,
) -> ReferenceProfile:
    """The profile of the rows in `matrix`, (n, d) float64, one column per `columns`.

    Row order is taken as time order: consecutive blocks of rows are held against the rest, and how far they lie from it
    is remembered, so that a later window has to differ by more than the reference itself. With times, the blocks are as
    long as the windows that will be judged, and where the hours of the day or the week differ, each is counted apart.

    Args:
        columns: what the columns of the matrix are.
        matrix: the rows, oldest first.
        blocks: that the rows are cut into (of 50 rows at least) where their times are not known.
        times_s: (n,) Unix times, ascending.
        window_s: length of the windows that will be judged.
        season: by which rows with times are counted apart; by default the one that there are enough rows for.

    Raises:
        ValidationError: no rows, a name twice, not one matrix column per column, or not one time per row.

    >>> values = np.random.default_rng(0).normal(size=(1000, 1))
    >>> reference = build_reference([Column("x", "numeric")], values)
    >>> reference.rows, len(reference.features[0].counts), round(reference.features[0].std, 2)
    (1000, 65, 0.98)
    """
    values = as_matrix(matrix, len(columns))
    names = [column.name for column in columns]
    if not len(values) or len(set(names)) < len(names):
        raise ValidationError(f"expected rows and distinct column names, found {len(values)} rows and {names}")
    if times_s is not None and times_s.shape != (len(values),):
        raise ValidationError(f"expected {len(values)} times, one for each row, found the shape {times_s.shape}")
    if times_s is not None and season is None:
        season = season_of(times_s, columns=len(columns))
    in_time = _InTime(
        season,
        season.slot_of(times_s) if season is not None and times_s is not None else None,
        time_blocks(len(values), blocks, times_s, window_s),
    )
    features = tuple(_feature(column, values[:, i], in_time) for i, column in enumerate(columns))
    used = any(feature.seasonal for feature in features)
    return ReferenceProfile(len(values), features, season if used else None)


def _feature(column: Column, values: Floats, in_time: _InTime) -> FeatureReference:
    numeric = column.kind == "numeric"
    finite = np.sort(values[np.isfinite(values)]) if numeric else np.empty(0)
    edges = edges_of(finite)
    cells, places = _cells(column, values, edges)
    counts = np.bincount(places, minlength=cells)
    seasonal = _seasonal(places, cells, in_time)
    of_blocks: dict[str, Any] = dict(
        block_distances(places, cells, column.kind, in_time.blocks, seasonal=seasonal, slots=in_time.slots)
    )
    return FeatureReference(
        name=column.name,
        kind=column.kind,
        edges=edges,
        categories=column.categories,
        counts=tuple(counts.tolist()),
        mean=float(finite.mean()) if len(finite) else 0.0,
        std=float(finite.std()) if len(finite) else 0.0,
        **of_blocks,
        **(_magnitudes(finite, edges) if numeric and len(finite) else {}),
        seasonal=tuple(tuple(row) for row in seasonal.tolist()) if seasonal is not None else (),
    )


def _cells(column: Column, values: Floats, edges: tuple[float, ...]) -> tuple[int, Counts]:
    """How many cells there are, and that of each row."""
    if column.kind == "categorical":
        known = len(column.categories)
        places = np.where(np.isnan(values), known + 1, known)
        seen = (values >= 0) & (values < known) & (values == np.floor(values))
        places[seen] = values[seen]
        return known + 2, places.astype(np.int64)
    places = np.searchsorted(edges, values, side="left")
    places[~np.isfinite(values)] = len(edges) + 1
    return len(edges) + 2, places.astype(np.int64)


def _magnitudes(finite: Floats, edges: tuple[float, ...]) -> dict[str, Any]:
    starts = np.concatenate([[0], np.searchsorted(finite, edges, side="right")])
    ends = np.append(starts[1:], len(finite))
    sums = np.add.reduceat(np.append(finite, 0.0), starts)
    middles = np.convolve(np.concatenate([edges[:1], edges, edges[-1:]]), [0.5, 0.5], "valid")
    means = np.where(ends > starts, sums / np.maximum(1, ends - starts), middles)
    logs = np.log(np.abs(finite[finite != 0]))
    return {
        "low": float(finite[0]),
        "high": float(finite[-1]),
        "bin_means": tuple(means.tolist()),
        "quantiles": tuple(np.quantile(finite, QUANTILES).tolist()),
        "zeros": int((finite == 0).sum()),
        "log_mean": float(logs.mean()) if len(logs) else 0.0,
        "log_std": float(logs.std()) if len(logs) else 0.0,
    }


def _seasonal(places: Counts, cells: int, in_time: _InTime) -> Counts | None:
    """Counts (slots, cells), or None where the slots differ by no more than chance (a chi-square test)."""
    if in_time.season is None or in_time.slots is None:
        return None
    slots = in_time.season.slots
    counted = np.bincount(in_time.slots * cells + places, minlength=slots * cells).reshape(slots, cells)
    groups = psi_groups(counted.sum(axis=0), "numeric")
    grouped = np.array([np.bincount(groups, weights=row) for row in counted])
    grouped = grouped[grouped.sum(axis=1) > 0][:, grouped.sum(axis=0) >= slots]
    expected = grouped.sum(axis=1, keepdims=True) * grouped.sum(axis=0) / max(1.0, grouped.sum())
    statistic = ((grouped - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    freedom = max(1, (grouped.shape[0] - 1) * (grouped.shape[1] - 1))
    return counted if statistic > chdtri(freedom, _SEASON_LEVEL) else None
