"""What is counted of a batch, merged over its parts; pure."""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from mlops_ray.data.column import Column, arrow_schema
from mlops_ray.data.column_statistics import ColumnCounter, ColumnStatistics
from mlops_ray.data.hash_counts import HashCounter, HashCounts
from mlops_ray.data.hashing import combined
from mlops_ray.data.row_sample import RowSample, RowSampler
from mlops_ray.data.rules import Broken, CheckedRows

__all__ = ["BatchCounter", "BatchStatistics", "merge", "sampled_columns"]

_SLICE_ROWS = 65_536  # a column of so many rows stays in the cache while it is counted
_SAMPLED = ("float", "int", "bool", "category", "flag", "time")
_DUPLICATES = 65_536  # rows kept by hash: the share of duplicates is told within 0.2 %


@dataclass(frozen=True)
class BatchStatistics:
    """Counts over the rows of a batch or of a part of it; of a size that does not grow with the rows."""

    rows: int = 0
    good_rows: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, Broken] = field(default_factory=dict)  # by "column.rule"
    columns: Mapping[str, ColumnStatistics] = field(default_factory=dict)  # of the good rows, as what follows
    whole_rows: HashCounts = field(default_factory=lambda: HashCounts.empty(_DUPLICATES))
    sample: RowSample | None = None

    @property
    def quarantined_rows(self) -> int:
        """Rows that broke at least one rule whose rows are put aside."""
        return self.rows - self.good_rows


def merge(parts: Iterable[BatchStatistics]) -> BatchStatistics:
    """The statistics of all parts together; takes one at a time."""
    return functools.reduce(_merged, parts, BatchStatistics())


def sampled_columns(columns: Iterable[Column]) -> pa.Schema:
    """Schema of the rows in a sample: what is compared and plotted, without the unit and whatever is large."""
    return arrow_schema(tuple(column for column in columns if column.kind in _SAMPLED))


class BatchCounter:
    """Counts the rows of one task; the seed is to be another one for each task."""

    def __init__(self, columns: tuple[Column, ...], *, seed: int) -> None:
        self._columns = {column.name: ColumnCounter(column.arrow_type) for column in columns}
        self._whole_rows = HashCounter(_DUPLICATES)
        self._sampler = RowSampler(sampled_columns(columns), seed=seed)
        self._rows = self._good_rows = 0
        self._reasons: Counter[str] = Counter()
        self._nulls: Counter[str] = Counter()
        self._broken: dict[str, Broken] = {}

    def add(self, checked: CheckedRows, rows: int) -> None:
        """Count `rows` rows, parted."""
        self._rows += rows
        self._good_rows += checked.good.num_rows
        self._reasons.update(checked.reasons)
        self._nulls.update(checked.nulls)
        self._broken = _merged_broken(self._broken, checked.broken)
        for start in range(0, checked.good.num_rows, _SLICE_ROWS):
            self._count(checked.good.slice(start, _SLICE_ROWS).combine_chunks())

    def result(self) -> BatchStatistics:
        """What was counted."""
        return BatchStatistics(
            self._rows,
            self._good_rows,
            dict(sorted(self._reasons.items())),
            dict(sorted(self._nulls.items())),
            dict(sorted(self._broken.items())),
            {name: counter.result() for name, counter in self._columns.items()},
            self._whole_rows.result(),
            self._sampler.result(),
        )

    def _count(self, rows: pa.Table) -> None:
        hashes = (counter.add(rows[name].chunk(0)) for name, counter in self._columns.items())
        self._whole_rows.add(combined(hashes))
        self._sampler.add(rows)


def _merged(one: BatchStatistics, other: BatchStatistics) -> BatchStatistics:
    columns = dict(one.columns)
    for name, found in other.columns.items():
        columns[name] = columns[name].merge(found) if name in columns else found
    samples = [part.sample for part in (one, other) if part.sample is not None]
    return BatchStatistics(
        one.rows + other.rows,
        one.good_rows + other.good_rows,
        _added(one.reasons, other.reasons),
        _added(one.nulls, other.nulls),
        _merged_broken(one.broken, other.broken),
        columns,
        one.whole_rows.merge(other.whole_rows),
        functools.reduce(RowSample.merge, samples) if samples else None,
    )


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    both = Counter(one)
    both.update(other)
    return dict(sorted(both.items()))


def _merged_broken(one: Mapping[str, Broken], other: Mapping[str, Broken]) -> dict[str, Broken]:
    names = sorted({*one, *other})
    return {name: one.get(name, Broken()).merge(other.get(name, Broken())) for name in names}
