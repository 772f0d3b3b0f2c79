"""What is different between two versions of a dataset: rows, schema, and how their columns are distributed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pyiceberg.manifest import DataFile

from mlops_ray.data.column_drift import ColumnDrift, Rows, column_drift
from mlops_ray.data.data_files import VersionFiles
from mlops_ray.data.table import DatasetTable, ancestry
from mlops_ray.data.version import DatasetVersion
from mlops_ray.spec import Thresholds

__all__ = ["VersionDiff", "diff_versions"]


@dataclass(frozen=True)
class VersionDiff:
    """From version `a` to version `b`."""

    a: str
    b: str
    rows_a: int
    rows_b: int
    added_rows: int  # in data files that only b has
    removed_rows: int  # in data files that only a has
    exact: bool  # one comes from the other; else equal rows in files of both sides count as removed and as added
    columns_added: Mapping[str, str]  # name -> type
    columns_removed: Mapping[str, str]
    columns_changed: Mapping[str, tuple[str, str]]  # name -> types in a and b
    compared: Literal["added", "all"]  # which rows of b were judged against those of a
    drift: ColumnDrift


def diff_versions(
    dataset: DatasetTable, a: DatasetVersion, b: DatasetVersion, thresholds: Thresholds | None = None
) -> VersionDiff:
    """Compare two versions; needs an initialised Ray.

    Rows are told by the data files of the two snapshots, which never change. The drift is that of the rows that `b`
    has and `a` has not against the rows of `a`, so that many old rows do not hide what came new; when `b` has none of
    its own, all rows of `b` are compared.

    Raises:
        UnknownVersionError: a version is not in the catalog (any more).
    """
    of_a, of_b = VersionFiles.of(dataset, a), VersionFiles.of(dataset, b)
    locations_a, locations_b = ({file.file_path for file in files.files} for files in (of_a, of_b))
    added = tuple(file for file in of_b.files if file.file_path not in locations_a)
    removed = tuple(file for file in of_a.files if file.file_path not in locations_b)
    common = {name: kind for name, kind in a.schema.items() if b.schema.get(name) == kind}
    return VersionDiff(
        a=a.ref,
        b=b.ref,
        rows_a=a.rows,
        rows_b=b.rows,
        added_rows=sum(file.record_count for file in added),
        removed_rows=sum(file.record_count for file in removed),
        exact=_related(dataset, a, b),
        columns_added={name: kind for name, kind in b.schema.items() if name not in a.schema},
        columns_removed={name: kind for name, kind in a.schema.items() if name not in b.schema},
        columns_changed={
            name: (kind, b.schema[name]) for name, kind in a.schema.items() if b.schema.get(name, kind) != kind
        },
        compared="added" if added else "all",
        drift=column_drift(
            _rows(of_a, of_a.files),
            _rows(of_b, added or of_b.files),
            common,
            thresholds or Thresholds(),
        ),
    )


def _rows(version: VersionFiles, files: tuple[DataFile, ...]) -> Rows:
    return Rows(
        version.io, tuple(file.file_path for file in files), sum(file.record_count for file in files), version.field_ids
    )


def _related(dataset: DatasetTable, a: DatasetVersion, b: DatasetVersion) -> bool:
    table = dataset.load()
    if table is None:
        return False
    lines = ({str(s.snapshot_id) for s in ancestry(table, int(version.snapshot_id))} for version in (a, b))
    line_a, line_b = lines
    return a.snapshot_id in line_b or b.snapshot_id in line_a
