"""Which files a read takes, found once; reading itself is Ray Data's own Iceberg source."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.manifest import ManifestContent
from pyiceberg.table import FileScanTask, Table
from pyiceberg.utils.concurrent import ExecutorFactory
from ray.data._internal.datasource.iceberg_datasource import IcebergDatasource

__all__ = ["PinnedDatasource", "plan"]

_ALL = AlwaysTrue()


def plan(table: Table, snapshot_id: int, row_filter: BooleanExpression = _ALL) -> list[FileScanTask]:
    """The data files of a snapshot that may have rows which pass the filter.

    The same as pyiceberg's own planning in half the time or less. That makes some hundred small objects a file, none of
    them garbage, and Python's collector would look through all of them again and again; and it holds the statistics of
    every file against the filter, even where there is none.
    """
    scan = table.scan(row_filter, snapshot_id=snapshot_id)
    with _no_collection():
        snapshot = scan.snapshot()
        manifests = snapshot.manifests(table.io) if snapshot is not None else []
        if row_filter != _ALL or any(manifest.content != ManifestContent.DATA for manifest in manifests):
            return list(scan.plan_files())
        found = ExecutorFactory.get_or_create().map(lambda manifest: manifest.fetch_manifest_entry(table.io), manifests)
        files = (entry.data_file for entries in found for entry in entries)
        return [FileScanTask(file) for file in files if file.record_count]


class PinnedDatasource(IcebergDatasource):
    """One snapshot of a table that is loaded already.

    `ray.data.read_iceberg` would load the table again, and plan its files anew whenever columns are selected, though
    these do not change which files are read.
    """

    _plan_files: list[FileScanTask] | None  # kept by the base; None before the first look

    def __init__(self, table: Table, snapshot_id: int, row_filter: BooleanExpression = _ALL) -> None:
        super().__init__(".".join(table.name()), row_filter=row_filter, snapshot_id=snapshot_id)
        self._table = table

    @property
    def plan_files(self) -> list[FileScanTask]:
        """The files to read."""
        if self._plan_files is None:
            self._plan_files = plan(self.table, self._scan_kwargs["snapshot_id"], self._get_combined_filter())
        return self._plan_files

    def apply_projection(self, projection_map: dict[str, str] | None) -> Any:
        """The same files with these columns only."""
        clone = super().apply_projection(projection_map)
        clone._plan_files = self._plan_files
        return clone


@contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
