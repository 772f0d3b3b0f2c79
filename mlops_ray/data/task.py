"""One task of an ingest, in a worker: read pinned files or a query, part good rows from bad ones, write both."""

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table.metadata import TableMetadata

from mlops_ray.data.column import Column, arrow_schema
from mlops_ray.data.contents import FileDigest
from mlops_ray.data.digesting_io import DigestingIO
from mlops_ray.data.pinned_file import open_pinned
from mlops_ray.data.reader import check_names, read_part
from mlops_ray.data.rules import CheckedRows, ForeignValues, check_rows
from mlops_ray.data.source import SourceObject
from mlops_ray.data.sql import SqlRows
from mlops_ray.data.statistics import BatchCounter, BatchStatistics
from mlops_ray.data.unique_keys import RUN_KEYS, KeyRun, Keys, row_keys, write_run
from mlops_ray.data.work import Part, Work
from mlops_ray.errors import DataError, SourceError
from mlops_ray.lake import S3Connection
from mlops_ray.spec import Csv, Sql

__all__ = ["Outcome", "Task"]

_FLUSH_BYTES = 256 * 2**20  # of rows held in memory before a data file is written


@dataclass(frozen=True)
class Outcome:
    """What a task did; with an error, nothing else counts."""

    work: int
    files: tuple[DataFile, ...] = ()
    digests: tuple[FileDigest, ...] = ()  # of the same files
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
    csv: Csv = field(default_factory=Csv)
    sql: Sql | None = None  # the query, where the source is a database
    database: str = field(default="", repr=False)  # its URL, with the password
    foreign: tuple[ForeignValues, ...] = ()

    def run(self, work: Work) -> Outcome:
        """Read, check and write; an error of the data is part of the outcome, because it concerns the whole batch."""
        run = _Run(self, work)
        try:
            for part in work.parts:
                if self.sql is None:
                    run.read(part)
                else:
                    run.query(self.sql, part.source)
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
        self.io = DigestingIO(task.io)
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
            for table in read_part(stream, part, self.task.columns, self.task.csv):
                self._take(self._checked(table, source.uri), table.num_rows)
        if first:
            self.sources.append(source)

    def query(self, sql: Sql, source: SourceObject) -> None:
        rows = SqlRows(self.task.database, sql, source)
        kinds = {column.name: column.kind for column in self.task.columns}
        for table in rows.tables(kinds):
            check_names(table.column_names, self.task.columns, uri=source.uri)
            self._take(self._checked(table, source.uri), table.num_rows)
        known = self.task.known.get(source.uri, frozenset())
        if not rows.rows and not known:
            raise SourceError(f"{source.uri}: expected rows, found none")
        if rows.rows and rows.source.sha256 not in known:
            self.sources.append(rows.source)
            return
        self.unchanged.append(rows.source)
        self._forget()

    def _forget(self) -> None:
        """Nothing of what was read counts; files already written are removed with the attempt's folder."""
        self.counter = BatchCounter(self.task.columns, seed=self.work.index)
        self.files, self.runs, self._keys, self._good = [], [], [], []

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
            self.files += _dataframe_to_data_files(self.task.metadata, good, self.io, name, self._names)

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
            digests=tuple(
                FileDigest(file.file_path, file.file_size_in_bytes, self.io.sha256[file.file_path])
                for file in self.files
            ),
            statistics=self.counter.result(),
            sources=tuple(self.sources),
            unchanged=tuple(self.unchanged),
            keys=tuple(self.runs),
        )
