"""Served rows and the labels that came for them, as rows of the model's table: one task for some files of records.

Only rows that a user was answered: no shadow's copy, no request that asked for a version by name. The label is what
came back, never a score.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_ray.data.column import Column
from mlops_ray.errors import SchemaError
from mlops_ray.lake import Lake
from mlops_ray.records import LABELS, RecordLog, newest_labels, not_kept

__all__ = ["NOTE", "Joined", "Joining", "keys_in", "labels_of", "records_behind", "training_folder"]

NOTE = b"mlops_ray.records"
"""Key in the metadata of a file of joined rows: the files of records they are from, as JSON."""
_KEYS = ["request_id", "row"]
_NAMED = [f"mlops_ray.{name}" for name in _KEYS]
_UNSEEN = "<unseen>"
_ROWS_A_FILE = 500_000


@dataclass(frozen=True)
class Joined:
    """What one task wrote, and what it left out."""

    files: tuple[str, ...] = ()
    rows: int = 0
    known: int = 0  # that are in the table already; a label that was corrected since does not change them
    unusable: int = 0  # without a value that the model needs, or with a category that the records do not hold
    alarmed: int = 0  # served during a data_quality alert: zeros or other units are no lesson, also when it is over

    def __add__(self, other: "Joined") -> "Joined":
        return Joined(
            files=(*self.files, *other.files),
            rows=self.rows + other.rows,
            known=self.known + other.known,
            unusable=self.unusable + other.unusable,
            alarmed=self.alarmed + other.alarmed,
        )


@dataclass(frozen=True)
class Joining:
    """The work of one task."""

    lake: str
    model: str
    columns: tuple[Column, ...]
    roles: tuple[str | None, str | None, str]  # unit, timestamp, label
    classes: tuple[str, ...]
    served: tuple[str, ...]  # files
    labels: tuple[str, ...]  # files
    max_delay_s: float
    alarms: tuple[tuple[float, float], ...] = ()  # from and until when, in seconds, nothing served is learned from

    def run(self) -> Joined:
        """Join file by file, and write what is new as Parquet files named by their contents.

        Raises:
            SchemaError: a feature was hashed or dropped when it was recorded.
        """
        lake = Lake(self.lake)
        log = RecordLog(lake, self.model)
        labels = labels_of(log, self.labels)
        done, part, sources = Joined(), list[pa.Table](), list[str]()
        for path in self.served:
            table, left_out = self._of(log, path, labels)
            done += left_out
            if table.num_rows:
                part.append(table)
                sources.append(path)
            if sum(t.num_rows for t in part) >= _ROWS_A_FILE:
                done = self._written(lake, done, part, sources)
                part, sources = [], []
        return self._written(lake, done, part, sources) if part else done

    def _of(self, log: RecordLog, path: str, labels: pa.Table) -> tuple[pa.Table, Joined]:
        """Rows of one file of records that have a label, in the columns of the table; and how many are left out."""
        answered = pc.field("assigned").isin(["champion", "canary"]) & (pc.field("status") == 200)
        served = log.served_in(path).filter(answered & pc.field("role").isin(["champion", "canary"]))
        found = _joined(served, labels)
        delay = pc.subtract(found["received_s"], found["time_s"])
        in_time = found.filter(pc.less_equal(delay, self.max_delay_s))
        found = _outside(in_time, self.alarms)
        left_out = Joined(alarmed=in_time.num_rows - found.num_rows)
        if not found.num_rows:
            return found.select(_KEYS), left_out
        lost = sorted(not_kept(served.schema) & {c.name for c in self.columns if c.feature})
        if lost:
            raise SchemaError(
                f"retrain.data.from_records: {path} holds no values of feature {lost[0]!r}, which serve.capture.fields "
                "hashed or dropped; keep it, and train from records again once those are older than max_label_delay_s"
            )
        rows = self._rows(found)
        usable = _usable(rows, self.columns)
        good = rows.filter(usable)
        return good, replace(left_out, unusable=rows.num_rows - good.num_rows)

    def _rows(self, found: pa.Table) -> pa.Table:
        unit, timestamp, label = self.roles
        features = found["features"].combine_chunks()
        held = {f.name for f in features.type}
        columns: dict[str, pa.ChunkedArray | pa.Array] = {}
        for column in self.columns:
            if column.name == label:
                columns[label] = self._label(found["label"])
            elif column.name == unit:
                columns[unit] = pc.coalesce(found["unit"], found["request_id"])
            elif column.name == timestamp:
                micros = pc.cast(pc.multiply(found["time_s"], 1e6), pa.int64(), safe=False)
                columns[timestamp] = micros.cast(pa.timestamp("us", tz="UTC"))
            elif column.name in held:
                columns[column.name] = pc.struct_field(features, column.name)
            else:
                columns[column.name] = pa.nulls(found.num_rows, column.arrow_type)
        facts = {f"mlops_ray.{name}": found[name] for name in (*_KEYS, "time_s", "role", "version", "received_s")}
        return pa.table(columns | facts)

    def _label(self, places: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        """The number that came back; of a class, which came as its place, the name."""
        if not self.classes:
            return places
        return pa.array(self.classes).take(pc.cast(places, pa.int64()).combine_chunks())

    def _written(self, lake: Lake, done: Joined, part: Sequence[pa.Table], sources: Sequence[str]) -> Joined:
        joined = pa.concat_tables(part, promote_options="permissive")
        table = _without(lake, self.model, _once(joined))
        done = replace(done, known=done.known + joined.num_rows - table.num_rows)
        if not table.num_rows:
            return done
        note = {NOTE: json.dumps({"served": list(sources), "labels": list(self.labels)}).encode()}
        sink = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(note), sink, compression="zstd")
        content = sink.getvalue()
        path = f"{training_folder(self.model)}/{hashlib.sha256(content).hexdigest()[:32]}.parquet"
        if not lake.exists(path):
            lake.write_bytes(path, content)
        return replace(done, files=(*done.files, path), rows=done.rows + table.num_rows)


def training_folder(model: str) -> str:
    """Where joined rows lie in the lake: they are read from there as any raw file is."""
    return f"records/{model}/training"


def labels_of(log: RecordLog, files: Sequence[str]) -> pa.Table:
    """The outcomes in some files, of each row the one that came last, unless that took it back."""
    tables = [log.labels_in(path) for path in files]
    labels = newest_labels(pa.concat_tables(tables)) if tables else LABELS.empty_table()
    return labels.filter(pc.field("label").is_valid())


def keys_in(lake: Lake, model: str) -> Iterator[pa.Table]:
    """request_id and row of every row that was joined before, file by file."""
    for path in lake.list(training_folder(model), ".parquet"):
        with pq.ParquetFile(f"{lake.root}/{path}", filesystem=lake.filesystem) as file:
            yield file.read(columns=_NAMED).rename_columns(_KEYS)


def records_behind(lake: Lake, uri: str) -> dict[str, list[str]]:
    """The files of records that a file of joined rows was made from: `served` and `labels`; neither of another file.

    Of what was served only files that gave rows are named, of labels all that were looked at with it.
    """
    prefix = lake.uri_of("")
    path = uri.removeprefix(prefix.rstrip("/") + "/")
    if path == uri or not path.startswith("records/"):
        return {}
    with pq.ParquetFile(f"{lake.root}/{path}", filesystem=lake.filesystem) as file:
        note: dict[str, list[str]] = json.loads((file.metadata.metadata or {}).get(NOTE, b"{}"))
    return note


def _joined(served: pa.Table, labels: pa.Table) -> pa.Table:
    """An inner join by position: Arrow's own takes no struct column beside the keys."""
    keys = served.select(_KEYS).append_column("place", pa.array(np.arange(served.num_rows)))
    pairs = keys.join(labels, keys=_KEYS, join_type="inner").sort_by("place")
    found = served.take(pairs["place"])
    return found.append_column("label", pairs["label"]).append_column("received_s", pairs["received_s"])


def _outside(rows: pa.Table, spans: Sequence[tuple[float, float]]) -> pa.Table:
    """Rows that were served in none of the spans, whose ends belong to them."""
    for from_s, until_s in spans:
        rows = rows.filter((pc.field("time_s") < from_s) | (pc.field("time_s") > until_s))
    return rows


def _once(rows: pa.Table) -> pa.Table:
    """The first row of each key: a client may send a request again under the same id."""
    placed = rows.select(_NAMED).append_column("place", pa.array(np.arange(rows.num_rows)))
    first = placed.group_by(_NAMED).aggregate([("place", "min")])["place_min"]
    return rows if len(first) == rows.num_rows else rows.take(pc.take(first, pc.sort_indices(first)))


def _without(lake: Lake, model: str, rows: pa.Table) -> pa.Table:
    """Rows that no file of joined rows holds yet."""
    for known in keys_in(lake, model):
        if not rows.num_rows:
            break
        keys = rows.select(_NAMED).rename_columns(_KEYS).append_column("place", pa.array(np.arange(rows.num_rows)))
        left = keys.join(known, keys=_KEYS, join_type="left anti").sort_by("place")
        rows = rows.take(left["place"])
    return rows


def _usable(rows: pa.Table, columns: Sequence[Column]) -> pa.ChunkedArray:
    good = pa.chunked_array([pa.array(np.ones(rows.num_rows, dtype=bool))])
    for column in columns:
        values = rows[column.name]
        if column.feature and not column.nullable:
            good = pc.and_(good, values.is_valid())
        if column.kind == "category":
            good = pc.and_(good, pc.fill_null(pc.not_equal(values.cast(pa.string()), _UNSEEN), True))
    return good
