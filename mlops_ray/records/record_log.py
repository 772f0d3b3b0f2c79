"""Append and read the records of one model: immutable Parquet files under records/<model>/ in the lake."""

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_ray.errors import NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.records.newest import newest_labels
from mlops_ray.records.schema import LABELS, SERVED, not_kept, not_kept_note

__all__ = ["RecordLog"]

_HOUR_S = 3600


class RecordLog:
    """Served requests and outcomes of one model.

    A file is written once, under the name its writer gives it, so that a hand-over repeated after a crash adds
    nothing twice.
    """

    def __init__(self, lake: Lake, model: str) -> None:
        self._lake = lake
        self._model = model

    def append_served(self, name: str, table: pa.Table, time_s: float) -> bool:
        """Keep served requests; False when a file of that name is there already."""
        return self._append("served", name, table, time_s)

    def append_labels(self, name: str, table: pa.Table, time_s: float) -> bool:
        """Keep outcomes; False when a file of that name is there already."""
        return self._append("labels", name, table, time_s)

    def served(self, since_s: float, columns: Sequence[str] | None = None) -> pa.Table:
        """Served requests at or after `since_s`; `not_kept(table.schema)` are features that some files do not hold."""
        table = self._read("served", since_s, SERVED, columns)
        return table.filter(pc.field("time_s") >= since_s) if table.num_rows else table

    def served_files(self, since_s: float) -> list[str]:
        """Paths of the files that may hold requests served at or after `since_s`, sorted."""
        return self._paths("served", since_s)

    def note_of(self, path: str) -> Mapping[bytes, bytes]:
        """The metadata that a file's table was written with."""
        with pq.ParquetFile(f"{self._lake.root}/{path}", filesystem=self._lake.filesystem) as file:
            return dict(file.metadata.metadata or {})

    def served_in(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """These columns of one file of served requests, or all; one that the file does not have yet is null."""
        with pq.ParquetFile(f"{self._lake.root}/{path}", filesystem=self._lake.filesystem) as file:
            if columns is None:
                return file.read()
            known = set(file.schema_arrow.names)
            table = file.read(columns=[name for name in columns if name in known])
        for name in columns:
            if name not in table.column_names:
                kind = SERVED.field(name).type
                table = table.append_column(name, pa.nulls(table.num_rows, kind))
        return table.select(list(columns))

    def label_files(self, since_s: float) -> list[str]:
        """Paths of the files that may hold outcomes received at or after `since_s`, sorted."""
        return self._paths("labels", since_s)

    def labels_in(self, path: str) -> pa.Table:
        """The outcomes of one file."""
        return pq.read_table(io.BytesIO(self._lake.read_bytes(path))).select(LABELS.names)

    def labels(self, since_s: float) -> pa.Table:
        """Outcomes received at or after `since_s`, the newest of each request and row only."""
        table = self._read("labels", since_s, LABELS, None).filter(pc.field("received_s") >= since_s)
        return newest_labels(table).select(LABELS.names)

    def checkpoint(self, name: str) -> bytes | None:
        """What was kept under that name by whoever reads the records step by step; None without one."""
        path = f"{self._folder('checkpoints')}/{name}.json"
        return self._lake.read_bytes(path) if self._lake.exists(path) else None

    def keep_checkpoint(self, name: str, content: bytes) -> None:
        """Keep how far a reader has come, in place of what was kept under that name before."""
        self._lake.write_bytes(f"{self._folder('checkpoints')}/{name}.json", content)

    def find(self, request_id: str) -> dict[str, Any]:
        """The record of what a request was answered, its first row; what a shadow made of its copy is another thing.

        Raises:
            NotFoundError: no such request was recorded.
        """
        wanted = (pc.field("request_id") == request_id) & (pc.field("role") != "shadow")
        folder = self._folder("served")
        for hour in reversed(self._lake.folders(folder)):
            for path in self._lake.list(f"{folder}/{hour}", ".parquet"):
                file = io.BytesIO(self._lake.read_bytes(path))
                found = pq.read_table(file, filters=wanted)
                if found.num_rows:
                    record: dict[str, Any] = found.slice(0, 1).to_pylist()[0]
                    return record
        raise NotFoundError(
            f"request {request_id!r} is not among the records of model {self._model!r} in {self._lake.uri}"
        )

    def _append(self, kind: str, name: str, table: pa.Table, time_s: float) -> bool:
        hour = dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%dT%H")
        path = f"{self._folder(kind)}/{hour}/{name}.parquet"
        if self._lake.exists(path):
            return False
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        self._lake.write_bytes(path, sink.getvalue())
        return True

    def _read(self, kind: str, since_s: float, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
        names = list(columns) if columns is not None else None
        paths = self._paths(kind, since_s)
        tables = [pq.read_table(io.BytesIO(self._lake.read_bytes(path)), columns=names) for path in paths]
        if not tables:
            return schema.empty_table()
        # Of several schemas' metadata only the first one's would remain.
        missing = frozenset[str]().union(*(not_kept(table.schema) for table in tables))
        whole = pa.concat_tables(tables, promote_options="permissive")
        return whole.replace_schema_metadata(not_kept_note(missing))

    def _paths(self, kind: str, since_s: float) -> list[str]:
        # A file lies in the hour of its first record, so the hour before may reach into ours.
        first = dt.datetime.fromtimestamp(since_s - _HOUR_S, dt.UTC).strftime("%Y-%m-%dT%H")
        folder = self._folder(kind)
        hours = [hour for hour in self._lake.folders(folder) if hour >= first]
        return [path for hour in hours for path in self._lake.list(f"{folder}/{hour}", ".parquet")]

    def _folder(self, kind: str) -> str:
        return f"records/{self._model}/{kind}"
