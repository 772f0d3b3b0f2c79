"""How far the rows of some data files lie from those of others, column by column, from counts that tasks merge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyiceberg.io import FileIO

from mlops_ray.data.data_files import batches, chunks
from mlops_ray.data.ray_data import run_tasks
from mlops_ray.drift import Column, DriftReport, Profile, ReferenceProfile, build_reference, empty, fold, judge, merge
from mlops_ray.spec import Thresholds
from mlops_ray.verdict import Verdict

__all__ = ["ColumnDrift", "Rows", "column_drift"]

MIN_ROWS = 100  # on either side, to say anything
_MOST_TASKS = 64
_SAMPLE_ROWS = 100_000  # that place the bins; all rows are counted into them
_SAMPLE_CELLS = 10_000_000
_VOCABULARY = 100
_NUMERIC = ("double", "float", "long", "int", "boolean")
_FEW = 20  # distinct texts that are never taken for names of rows


@dataclass(frozen=True)
class ColumnDrift:
    """The judgement, and the columns that were left out, with the reason."""

    report: DriftReport
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Rows:
    """Data files and what opens them."""

    io: FileIO
    locations: tuple[str, ...]
    count: int
    field_ids: Mapping[str, int]  # column -> id of the field in the files


def column_drift(reference: Rows, current: Rows, types: Mapping[str, str], thresholds: Thresholds) -> ColumnDrift:
    """Judge the rows of `current` against those of `reference`; needs an initialised Ray.

    Bins are placed at quantiles of a sample of the reference, then every row of both is counted into them, in tasks
    that hold a few batches. The judge is the one of served traffic: significant, and by enough.

    Args:
        reference: rows to compare with.
        current: rows to judge.
        types: column -> Iceberg type of the columns to look at. Numbers and booleans are compared by quantiles, texts
            by their most frequent values; other types and texts that name single rows are left out.
        thresholds: when a column counts as drifted.
    """
    left_out = {name: f"of type {kind}" for name, kind in types.items() if kind not in (*_NUMERIC, "string")}
    wanted = [name for name in types if name not in left_out]
    if min(reference.count, current.count) < MIN_ROWS or not wanted:
        message = f"{reference.count:,} rows against {current.count:,}; a judgement needs {MIN_ROWS} of each"
        return ColumnDrift(DriftReport(Verdict.INCONCLUSIVE, current.count, (), message), left_out)
    stride = max(1, -(-reference.count // max(1000, min(_SAMPLE_ROWS, _SAMPLE_CELLS // len(wanted)))))
    sample = _sampled(reference, wanted, stride)
    columns, names = _columns(sample, types)
    left_out |= names
    if not columns:
        return ColumnDrift(DriftReport(Verdict.INCONCLUSIVE, current.count, (), "no column to compare"), left_out)
    profile = build_reference(columns, _matrix(columns, sample))
    if stride > 1:
        profile = _recounted(profile, _folded(reference, columns, profile))
    report = judge(profile, _folded(current, columns, profile), thresholds, min_rows=MIN_ROWS)
    return ColumnDrift(report, left_out)


def _sampled(rows: Rows, names: Sequence[str], stride: int) -> pa.Table:
    task = _Sample(rows.io, {name: rows.field_ids[name] for name in names}, stride)
    return pa.concat_tables(run_tasks(task.run, chunks(rows.locations, _MOST_TASKS)), promote_options="permissive")


def _folded(rows: Rows, columns: Sequence[Column], reference: ReferenceProfile) -> Profile:
    field_ids = {column.name: rows.field_ids[column.name] for column in columns}
    task = _Fold(rows.io, field_ids, tuple(columns), reference)
    total = empty(reference)
    for part in run_tasks(task.run, chunks(rows.locations, _MOST_TASKS)):
        total = merge(total, Profile.from_bytes(part))
    return total


@dataclass(frozen=True)
class _Sample:
    """In a worker: every `stride`-th row."""

    io: FileIO
    field_ids: Mapping[str, int]
    stride: int

    def run(self, locations: Sequence[str]) -> pa.Table:
        taken, seen = [], 0
        for location in locations:
            for batch in batches(self.io, location, self.field_ids):
                places = np.arange(-seen % self.stride, batch.num_rows, self.stride)
                taken.append(pa.Table.from_batches([batch]).take(pa.array(places, pa.int64())))
                seen += batch.num_rows
        return pa.concat_tables(taken, promote_options="permissive")


@dataclass(frozen=True)
class _Fold:
    """In a worker: all rows as counts."""

    io: FileIO
    field_ids: Mapping[str, int]
    columns: tuple[Column, ...]
    reference: ReferenceProfile

    def run(self, locations: Sequence[str]) -> bytes:
        total = empty(self.reference)
        for location in locations:
            for batch in batches(self.io, location, self.field_ids):
                matrix = _matrix(self.columns, pa.Table.from_batches([batch]))
                total = merge(total, fold(self.reference, matrix))
        return total.to_bytes()


def _columns(sample: pa.Table, types: Mapping[str, str]) -> tuple[list[Column], dict[str, str]]:
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for name in sample.column_names:
        if types[name] in _NUMERIC:
            columns.append(Column(name, "numeric"))
            continue
        counted = pc.value_counts(sample[name].cast(pa.string()).drop_null()).to_pylist()
        if len(counted) > max(_FEW, sum(item["counts"] for item in counted) / 2):
            left_out[name] = f"names rows: {len(counted):,} different values in {sample.num_rows:,}"
            continue
        frequent = sorted(counted, key=lambda item: (-item["counts"], item["values"]))[:_VOCABULARY]
        columns.append(Column(name, "categorical", tuple(item["values"] for item in frequent)))
    return columns, left_out


def _matrix(columns: Sequence[Column], table: pa.Table) -> NDArray[np.float64]:
    matrix = np.empty((table.num_rows, len(columns)))
    for place, column in enumerate(columns):
        values = table[column.name]
        if column.kind == "categorical":
            texts = values.cast(pa.string())
            codes = pc.fill_null(pc.index_in(texts, value_set=pa.array(column.categories, pa.string())), _VOCABULARY)
            values = pc.if_else(pc.is_null(texts), None, codes)
        numbers = pc.fill_null(values.cast(pa.float64(), safe=False), float("nan"))
        matrix[:, place] = numbers.to_numpy()
    return matrix


def _recounted(reference: ReferenceProfile, profile: Profile) -> ReferenceProfile:
    """The same bins, with the counts of all rows in the place of the sample's."""
    features = tuple(
        replace(feature, counts=tuple(counts.tolist()))
        for feature, counts in zip(reference.features, profile.counts, strict=True)
    )
    return ReferenceProfile(profile.rows, features)
