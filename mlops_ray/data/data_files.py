"""The data files of a version, as its manifests list them, and the rows in one of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table.snapshots import Snapshot

from mlops_ray.data.table import DatasetTable
from mlops_ray.data.version import DatasetVersion
from mlops_ray.errors import DataError, UnknownVersionError

__all__ = ["VersionFiles", "batches", "chunks"]

Item = TypeVar("Item")
_FIELD_ID = b"PARQUET:field_id"


@dataclass(frozen=True)
class VersionFiles:
    """What holds the rows of a version, without deletions."""

    files: tuple[DataFile, ...]
    io: FileIO
    field_ids: Mapping[str, int]  # column -> id of the field; files may spell a name otherwise

    @classmethod
    def of(cls, dataset: DatasetTable, version: DatasetVersion) -> "VersionFiles":
        """The files of a version.

        Raises:
            UnknownVersionError: the version is not in the catalog (any more).
            DataError: another engine deleted rows of these files, which are not what the version holds then.
        """
        table = dataset.load()
        snapshot: Snapshot | None = table.snapshot_by_id(int(version.snapshot_id)) if table is not None else None
        if table is None or snapshot is None:
            raise UnknownVersionError(f"{version.ref} (snapshot {version.snapshot_id}) is not in the catalog")
        tasks = list(table.scan(snapshot_id=snapshot.snapshot_id).plan_files())
        if any(task.delete_files for task in tasks):
            raise DataError(f"{version.ref}: expected files that hold its rows, found some with rows deleted elsewhere")
        schema = table.schemas()[snapshot.schema_id if snapshot.schema_id is not None else 0]
        return cls(tuple(task.file for task in tasks), table.io, {f.name: f.field_id for f in schema.fields})


def batches(
    io: FileIO, location: str, field_ids: Mapping[str, int], *, batch_rows: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """The rows of a data file, under the names and in the order of `field_ids`; a column it lacks is null."""
    with io.new_input(location).open() as stream:
        file = pq.ParquetFile(stream)
        spelled = {int(f.metadata[_FIELD_ID]): f.name for f in file.schema_arrow if _FIELD_ID in (f.metadata or {})}
        wanted = [spelled[field_id] for field_id in field_ids.values() if field_id in spelled]
        for batch in file.iter_batches(batch_rows, columns=wanted):
            arrays = [
                batch.column(spelled[field_id]) if field_id in spelled else pa.nulls(batch.num_rows)
                for field_id in field_ids.values()
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=list(field_ids))


def chunks(items: Sequence[Item], count: int) -> list[tuple[Item, ...]]:
    """`items` in their order, in at most `count` parts of about one size, none of them empty.

    >>> chunks([1, 2, 3], 2)
    [(1,), (2, 3)]
    """
    parts = min(count, len(items))
    return [tuple(items[i * len(items) // parts : (i + 1) * len(items) // parts]) for i in range(parts)]
