"""A version as plain Parquet files in a folder of this machine, for tools that know no Iceberg."""

import shutil
import uuid
from pathlib import Path

import pyarrow.parquet as pq

from mlops_ray.data.data_files import VersionFiles, batches
from mlops_ray.data.table import DatasetTable
from mlops_ray.data.version import DatasetVersion
from mlops_ray.errors import DataError, SourceError

__all__ = ["check_out"]


def check_out(dataset: DatasetTable, version: DatasetVersion, folder: Path) -> int:
    """Write the rows of a version into a new folder, one file for each of the table's; returns their number.

    Rows are streamed; the folder appears when all of it is written, or not at all.

    Raises:
        UnknownVersionError: the version is not in the catalog (any more).
        DataError: something is at `folder` already.
        SourceError: a data file is lost, or the folder cannot be written to.
    """
    target = folder.expanduser().resolve()
    if target.exists():
        raise DataError(f"{target}: expected nothing there, found a {'folder' if target.is_dir() else 'file'}")
    source = VersionFiles.of(dataset, version)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        rows = sum(
            _copy(source, file.file_path, temporary / f"part-{number:05}.parquet")
            for number, file in enumerate(source.files)
        )
        temporary.rename(target)
    except OSError as error:
        raise SourceError(f"{version.ref} cannot be written to {target}: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return rows


def _copy(source: VersionFiles, location: str, target: Path) -> int:
    rows, writer = 0, None
    try:
        for batch in batches(source.io, location, source.field_ids):
            writer = writer or pq.ParquetWriter(target, batch.schema)
            writer.write_batch(batch)
            rows += batch.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows
