"""What is counted of a batch, merged over its parts, and the checks that refuse a whole batch; pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mlops_ray.data.column import Column
from mlops_ray.errors import ValidationError
from mlops_ray.spec import Checks

__all__ = ["BatchStatistics", "check_batch", "merge", "repeated_keys", "row_keys"]

Keys = npt.NDArray[np.uint64]  # (rows, 2): 128 bits that stand for the unique columns of a row
_SALTS = ("mlops_ray unique", "unique mlops_ray")  # 16 characters each, as pandas wants them


@dataclass(frozen=True)
class BatchStatistics:
    """Counts over the rows of a batch or of a part of it."""

    rows: int = 0
    good_rows: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)

    @property
    def quarantined_rows(self) -> int:
        """Rows that broke at least one rule."""
        return self.rows - self.good_rows


def merge(parts: Iterable[BatchStatistics]) -> BatchStatistics:
    """The statistics of all parts together."""
    rows = good_rows = 0
    reasons: Counter[str] = Counter()
    nulls: Counter[str] = Counter()
    for part in parts:
        rows += part.rows
        good_rows += part.good_rows
        reasons.update(part.reasons)
        nulls.update(part.nulls)
    return BatchStatistics(rows, good_rows, dict(sorted(reasons.items())), dict(sorted(nulls.items())))


def row_keys(table: pa.Table, unique: Sequence[str]) -> Keys:
    """(rows, 2) uint64: equal rows have equal keys, in every process; others do not (128 bits)."""
    frame = table.select(list(unique)).to_pandas()
    halves = [pd.util.hash_pandas_object(frame, index=False, hash_key=salt).to_numpy() for salt in _SALTS]
    return np.stack(halves, axis=1)


def repeated_keys(parts: Sequence[Keys]) -> int:
    """How many rows repeat one before them."""
    keys = np.concatenate(parts) if parts else np.empty((0, 2), np.uint64)
    ordered = keys[np.lexsort((keys[:, 1], keys[:, 0]))]
    return int((ordered[1:] == ordered[:-1]).all(axis=1).sum())


def check_batch(statistics: BatchStatistics, columns: Sequence[Column], checks: Checks, *, repeated: int = 0) -> None:
    """The checks on a whole batch.

    Raises:
        ValidationError: for the first one that is broken; it says what was expected and found.
    """
    for column in (c for c in columns if c.feature):
        _check_nulls(column, statistics)
    share = statistics.quarantined_rows / statistics.rows if statistics.rows else 0.0
    if share > checks.max_quarantined_share:
        raise ValidationError(
            f"expected at most {checks.max_quarantined_share:.2%} bad rows (checks.max_quarantined_share), found "
            f"{statistics.quarantined_rows:,} of {statistics.rows:,} ({share:.2%}): {_worst(statistics.reasons)}"
        )
    if statistics.good_rows < checks.min_rows:
        raise ValidationError(
            f"expected at least {checks.min_rows:,} good rows (checks.min_rows), found {statistics.good_rows:,} "
            f"among {statistics.rows:,}" + (f": {_worst(statistics.reasons)}" if statistics.reasons else "")
        )
    if repeated:
        raise ValidationError(
            f"expected {', '.join(checks.unique)} to name each row once (checks.unique), found {repeated:,} of "
            f"{statistics.good_rows:,} rows that repeat another one"
        )


def _check_nulls(column: Column, statistics: BatchStatistics) -> None:
    nulls, rows = statistics.nulls.get(column.name, 0), statistics.rows
    if rows and nulls == rows and column.max_null_share < 1:
        raise ValidationError(f"column {column.name!r}: expected values, found null in all {rows:,} rows of the batch")
    if column.nullable and nulls > column.max_null_share * rows:
        raise ValidationError(
            f"column {column.name!r}: expected at most {column.max_null_share:.2%} nulls (max_null_share), found "
            f"{nulls:,} of {rows:,} ({nulls / rows:.2%})"
        )


def _worst(reasons: Mapping[str, int]) -> str:
    worst = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:5]
    return ", ".join(f"{reason} ({count:,} rows)" for reason, count in worst)
