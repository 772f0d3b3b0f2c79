"""What a batch is held against besides its own rows: the version before it, and other datasets."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from mlops_ray.data.column import Column
from mlops_ray.data.read import load_version
from mlops_ray.data.rules import ForeignValues
from mlops_ray.data.table import PREFIX, DatasetTable, summary_of, version_tags
from mlops_ray.data.version_statistics import VersionStatistics
from mlops_ray.errors import SchemaError
from mlops_ray.lake import Lake
from mlops_ray.spec import ForeignKey, ModelSpec, Workspace

__all__ = ["Baseline", "PastVersion", "baseline_of"]


_HISTORY = 100  # versions that a report tells of


@dataclass(frozen=True)
class PastVersion:
    """One version of the dataset, for the history of row counts."""

    ref: str
    rows: int  # in the whole version
    added_rows: int
    committed_s: float


@dataclass(frozen=True)
class Baseline:
    """Everything that was there before the batch, as far as the rules ask for it."""

    history: tuple[PastVersion, ...] = ()  # oldest first; the last is the version before
    statistics: VersionStatistics | None = None  # of the rows the version before added
    foreign: tuple[ForeignValues, ...] = ()
    data_files: tuple[str, ...] = field(default=())  # of the version before, where unique columns are to be in all

    @property
    def previous(self) -> PastVersion | None:
        """The version before."""
        return self.history[-1] if self.history else None


def baseline_of(
    spec: ModelSpec, workspace: Workspace, table: Table | None, head: int | None, columns: Sequence[Column]
) -> Baseline:
    """What there is now; `table` is the dataset's own, None before its first version, `head` what the batch goes on.

    Raises:
        UnknownVersionError: a foreign key names a version that is not there.
        SchemaError: it names a column that is not there, or is of another type.
    """
    by_name = {column.name: column for column in columns}
    foreign = tuple(_foreign(key, by_name[key.column], workspace) for key in spec.data.checks.foreign_keys)
    if table is None or head is None:
        return Baseline(foreign=foreign)
    files: tuple[str, ...] = ()
    if spec.data.checks.unique_in == "table":
        files = tuple(sorted(task.file.file_path for task in table.scan(snapshot_id=head).plan_files()))
    return Baseline(_history(spec.table, table), _statistics(table, head, Lake(workspace.lake)), foreign, files)


def _history(name: str, table: Table) -> tuple[PastVersion, ...]:
    found = []
    for number, snapshot_id in sorted(version_tags(table).items()):
        snapshot = table.snapshot_by_id(snapshot_id)
        summary = summary_of(snapshot) if snapshot is not None else {}
        if f"{PREFIX}committed_s" in summary:
            added, rows = int(summary.get("added-records", 0)), int(summary["total-records"])
            found.append(PastVersion(f"{name}@v{number}", rows, added, float(summary[f"{PREFIX}committed_s"])))
    return tuple(found[-_HISTORY:])


def _statistics(table: Table, head: int, lake: Lake) -> VersionStatistics | None:
    snapshot = table.snapshot_by_id(head)
    path = summary_of(snapshot).get(f"{PREFIX}statistics.uri") if snapshot is not None else None
    return VersionStatistics.from_json(lake.read_bytes(path)) if path is not None else None


def _foreign(key: ForeignKey, column: Column, workspace: Workspace) -> ForeignValues:
    name = key.dataset.partition("@")[0]
    version = DatasetTable(name, catalog=workspace.catalog, lake=workspace.lake).resolve(key.dataset)
    if key.key not in version.schema:
        raise SchemaError(
            f"checks.foreign_keys: {version.ref} has no column {key.key!r}; it has {', '.join(version.schema)}"
        )
    values = pc.unique(load_version(workspace, version, columns=[key.key])[key.key]).drop_null()
    try:
        values = values.cast(column.arrow_type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise SchemaError(
            f"checks.foreign_keys: expected {version.ref} to have {key.key!r} as {column.arrow_type}, like column "
            f"{column.name!r}, found {values.type}"
        ) from None
    return ForeignValues(column.name, f"{version.ref}.{key.key}", values, key.severity)
