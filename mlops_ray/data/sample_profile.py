"""The sample of a batch as the matrix and the reference profile that the drift check works on."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.data.column import Column
from mlops_ray.drift import Column as ProfileColumn
from mlops_ray.drift import ReferenceProfile, build_reference

__all__ = ["profile_of", "profiled", "sample_matrix"]

_LARGEST = 1e150  # the squares of larger numbers are no numbers
_VOCABULARY = 100  # categories that are counted apart, the most frequent ones


def profiled(columns: Iterable[Column], rows: pa.Table) -> list[ProfileColumn]:
    """The features as the drift check sees them; categories that the spec does not name are those of `rows`."""
    found = []
    for column in columns:
        if not column.feature or column.kind == "image" or column.name not in rows.column_names:
            continue
        if column.kind == "category":
            vocabulary = column.categories or _frequent(rows[column.name])
            found.append(ProfileColumn(column.name, "categorical", vocabulary))
        elif column.kind == "bool":
            found.append(ProfileColumn(column.name, "categorical", ("false", "true")))
        else:
            found.append(ProfileColumn(column.name, "numeric"))
    return found


def sample_matrix(
    columns: Sequence[ProfileColumn], rows: pa.Table, *, largest: float = _LARGEST
) -> npt.NDArray[np.float64]:
    """(n, d) float64: numbers, cut at `largest`, codes of categories with `len(categories)` for an unseen one, NaN for
    null."""
    matrix = np.empty((rows.num_rows, len(columns)))
    for place, column in enumerate(columns):
        values = rows[column.name].combine_chunks()
        if column.kind == "categorical":
            known = pa.array(column.categories, pa.string())
            codes = pc.fill_null(pc.index_in(values.cast(pa.string()), known), len(column.categories))
            values = pc.if_else(values.is_valid(), codes, pa.scalar(None, pa.int32()))
        numbers = pc.fill_null(values.cast(pa.float64(), safe=False), float("nan"))
        matrix[:, place] = np.clip(numbers.to_numpy(zero_copy_only=False), -largest, largest)
    return matrix


def profile_of(columns: Sequence[Column], rows: pa.Table, *, time: str | None) -> ReferenceProfile | None:
    """What later batches are held against; None without rows. `time` is the column that orders them, if there is."""
    if not rows.num_rows:
        return None
    chosen = profiled(columns, rows)
    ordered = rows.sort_by(time) if time is not None else rows
    # a sample is in no order by itself: without a time its blocks are all alike, and tell nothing
    return build_reference(chosen, sample_matrix(chosen, ordered))


def _frequent(values: pa.ChunkedArray) -> tuple[str, ...]:
    counted = values.drop_null().value_counts().to_pylist()
    ordered = sorted(counted, key=lambda item: (-item["counts"], item["values"]))
    return tuple(item["values"] for item in ordered[:_VOCABULARY])
