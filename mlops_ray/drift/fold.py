"""From rows to a profile: a sorted column is searched for the edges of its bins; no value is looked at alone."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.cells import as_matrix, categorical_counts
from mlops_ray.drift.numeric_fold import NumericPlan
from mlops_ray.drift.profile import Profile, empty, merge
from mlops_ray.drift.reference import ReferenceProfile

__all__ = ["fold"]

_CHUNK_ROWS = 4_096
_BLOCK_VALUES = 65_536  # with its copies this fits the cache of a core


def fold(
    reference: ReferenceProfile, matrix: NDArray[np.float64], times_s: NDArray[np.float64] | None = None
) -> Profile:
    """The profile of the rows in `matrix`. Cheap from ~256 rows on.

    Args:
        reference: whose cells are counted.
        matrix: (n, d) in the order of the reference's features, NaN where a value is missing, codes for categories.
        times_s: (n,) Unix times, for a reference with a season; without them the whole reference stands for the rows.

    Raises:
        ValidationError: not one column per feature.

    >>> from mlops_ray.drift import Column, build_reference
    >>> reference = build_reference([Column("plan", "categorical", ("a", "b"))], np.array([[0.0], [1.0]]))
    >>> fold(reference, np.array([[1.0], [2.0], [np.nan]])).counts[0].tolist()
    [0, 1, 1, 1]
    """
    values = as_matrix(matrix, len(reference.features))
    total = empty(reference)
    if times_s is not None and reference.season is not None:
        slots = reference.season.counts(np.asarray(times_s, dtype=np.float64))
        total = replace(total, slots=slots)
    for start in range(0, len(values), _CHUNK_ROWS):
        total = merge(total, _fold_chunk(reference, values[start : start + _CHUNK_ROWS]))
    return total


def _fold_chunk(reference: ReferenceProfile, values: NDArray[np.float64]) -> Profile:
    blank = empty(reference)
    cells, sums = blank.cells.copy(), blank.sums.copy()
    moments, ranges = blank.moments.copy(), blank.ranges.copy()
    plan: NumericPlan = reference.prepared(NumericPlan.of)
    step = max(1, _BLOCK_VALUES // max(1, len(values)))
    for start in range(0, len(plan.places), step):
        part = plan.part(start, start + step)
        cells[part.cells], sums[part.cells], moments[part.places], ranges[part.places] = part.fold(values)
    offsets = np.cumsum(blank.lengths) - blank.lengths
    for i, feature in enumerate(reference.features):
        if feature.kind == "categorical":
            counts = categorical_counts(values[:, i], len(feature.categories))
            cells[offsets[i] : offsets[i] + len(counts)] = counts
    return Profile(len(values), blank.lengths, cells, sums, moments, ranges, blank.slots)
