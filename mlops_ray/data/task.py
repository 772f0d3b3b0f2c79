"""One task of an ingest, in a worker: read pinned row groups, part good rows from bad ones, write both."""

import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table.metadata import TableMetadata

from mlops_ray.data.column import Column, arrow_schema
from mlops_ray.data.pinned_file import open_pinned
from mlops_ray.data.rules import CheckedRows, ForeignValues, check_rows, check_schema
from mlops_ray.data.source import SourceObject
from mlops_ray.data.statistics import BatchCounter, BatchStatistics
from mlops_ray.data.unique_keys import RUN_KEYS, KeyRun, Keys, row_keys, write_run
from mlops_ray.data.work import Part, Work
from mlops_ray.errors import DataError, SourceError
from mlops_ray.lake import S3Connection

__all__ = ["Outcome", "Task"]

_FLUSH_BYTES = 256 * 2**20  # of rows held in memory before a data file is written


@dataclass(frozen=True)
class Outcome:
    """What a task did; with an error, nothing else counts."""

    work: int
    files: tuple[DataFile, ...] = ()
    statistics: BatchStatistics = field(default_factory=BatchStatistics)
    sources: tuple[SourceObject, ...] = ()  # with sha256, those whose first part the task read
    unchanged: tuple[SourceObject, ...] = ()  # their bytes were ingested before
    keys: tuple[KeyRun, ...] = ()  # of the unique columns, in files
    error: DataError | None = None


@dataclass(frozen=True)
class Task:
    """Everything a worker needs besides its `Work`; travels by pickle.

    Names of the files it writes follow from `attempt` and the work, so that a task run twice overwrites its own.
    """

    columns: tuple[Column, ...]
    unique: tuple[str, ...]
    metadata: TableMetadata  # of the table, data files going to a folder of this attempt
    io: FileIO
    quarantine: str  # location of the folder for bad rows
    keys: str  # location of the folder for the keys of unique columns
    attempt: uuid.UUID
    connection: S3Connection
    known: Mapping[str, frozenset[str]]  # URI -> sha256 of what was ingested from there before
    foreign: tuple[ForeignValues, ...] = ()

    def run(self, work: Work) -> Outcome:
        """Read, check and write; an error of the data is part of the outcome, because it concerns the whole batch."""
        run = _Run(self, work)
        try:
            for part in work.parts:
                run.read(part)
            run.flush()
            run.flush_keys()
        except DataError as error:
            return Outcome(work.index, error=error)
        return run.outcome()


class _Run:
    """The state of one task."""

    def __init__(self, task: Task, work: Work) -> None:
        self.task, self.work = task, work
        self.files: list[DataFile] = []
        self.counter = BatchCounter(task.columns, seed=work.index)
        self.sources: list[SourceObject] = []
        self.unchanged: list[SourceObject] = []
        self.runs: list[KeyRun] = []
        self._keys: list[Keys] = []
        self._good: list[pa.Table] = []
        self._names = itertools.count()
        self._bad_names = itertools.count()

    def read(self, part: Part) -> None:
        first = part.index == 0
        with open_pinned(part.source, self.task.connection, digest=first) as (stream, sha256):
            source = SourceObject(**vars(part.source) | {"sha256": sha256})
            if first and sha256 in self.task.known.get(source.uri, frozenset()):
                self.unchanged.append(source)
                return
            for table in _row_groups(stream, part, self.task.columns):
                self._take(self._checked(table, source.uri), table.num_rows)
        if first:
            self.sources.append(source)

    def _checked(self, table: pa.Table, uri: str) -> CheckedRows:
        return check_rows(table, self.task.columns, source=uri, foreign=self.task.foreign)

    def _take(self, checked: CheckedRows, rows: int) -> None:
        self.counter.add(checked, rows)
        self._good.append(checked.good)
        if self.task.unique:
            self._keys.append(row_keys(checked.good, self.task.unique))
            if sum(map(len, self._keys)) >= RUN_KEYS:
                self.flush_keys()
        if checked.bad.num_rows:
            name = f"{self.work.index:05}-{next(self._bad_names):05}.parquet"
            with self.task.io.new_output(f"{self.task.quarantine}/{name}").create(overwrite=True) as stream:
                pq.write_table(checked.bad, stream)
        if sum(table.nbytes for table in self._good) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        good = pa.concat_tables(self._good) if self._good else arrow_schema(self.task.columns).empty_table()
        self._good = []
        if good.num_rows:
            name = uuid.uuid5(self.task.attempt, str(self.work.index))
            self.files += _dataframe_to_data_files(self.task.metadata, good, self.task.io, name, self._names)

    def flush_keys(self) -> None:
        keys = np.concatenate(self._keys) if self._keys else np.empty((0, 2), np.uint64)
        self._keys = []
        if len(keys):
            name = f"{self.task.keys}/{self.work.index:05}-{len(self.runs):05}"
            self.runs.append(write_run(keys, self.task.io, name))

    def outcome(self) -> Outcome:
        return Outcome(
            work=self.work.index,
            files=tuple(self.files),
            statistics=self.counter.result(),
            sources=tuple(self.sources),
            unchanged=tuple(self.unchanged),
            keys=tuple(self.runs),
        )


def _row_groups(stream: Any, part: Part, columns: tuple[Column, ...]) -> Iterator[pa.Table]:
    uri = part.source.uri
    try:
        file = pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{uri}: expected a whole Parquet file, found {_bytes(part)} that are not: {error}") from None
    check_schema(file.schema_arrow, columns, uri=uri)
    if file.metadata.num_rows == 0:
        raise SourceError(f"{uri}: expected rows, found a Parquet file without any; remove it")
    for group in part.row_groups(file.num_row_groups):
        try:
            table = file.read_row_group(group)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{uri}: row group {group} cannot be read, the file is damaged: {error}") from None
        if table.num_rows:
            yield table


def _bytes(part: Part) -> str:
    return f"{part.source.size_bytes:,} bytes"
