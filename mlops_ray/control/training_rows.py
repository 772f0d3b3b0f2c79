"""The rows a retraining learns from: joined records go into the table, a window of the table becomes a table."""

import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_ray.control.drift_weights import kept_by_weight
from mlops_ray.control.joined_rows import Joined, Joining, training_folder
from mlops_ray.control.operations import tell_of_versions
from mlops_ray.control.window_table import window_table
from mlops_ray.data import DatasetTable, DatasetVersion, ingest, load_version
from mlops_ray.data.column import columns_of
from mlops_ray.data.data_files import chunks
from mlops_ray.data.ray_data import run_tasks
from mlops_ray.errors import ValidationError
from mlops_ray.lake import Lake
from mlops_ray.records import RecordLog
from mlops_ray.spec import Checks, ModelSpec, Monitor, Workspace
from mlops_ray.store import AlertRecord, Store

__all__ = ["add_records", "alarm_spans", "join_records", "window_of"]

_TASKS = 16
_LABELS_AT_ONCE = 1_000_000  # rows
_OVERLAP_S = 6 * 3600.0  # labels that came shortly before the records of their answers did


def add_records(
    store: Store,
    spec: ModelSpec,
    workspace: Workspace,
    *,
    actor: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> DatasetVersion | None:
    """Put served rows whose labels have come on top of the table, as its next version; None where none are new.

    They are written to files of their own, which are ingested as any raw file is: the same checks of each row, and a
    lineage that leads from the version to these files, whose metadata name the files of records. A row is added once,
    with the newest label there is then; one that is corrected later stays as it is, as versions do not change. What was
    served during a data_quality alert is never added.

    Raises:
        SchemaError: a feature was hashed or dropped when it was recorded.
        DataError: as an ingest raises.
    """
    joined = join_records(store, spec, workspace, progress=progress)
    lake, folder = Lake(workspace.lake), training_folder(spec.name)
    if not lake.list(folder, ".parquet"):
        return None
    # The checks of a batch are those of the source's batches; of one row they hold here too.
    old = spec.data.checks
    checks = Checks(unique=old.unique, unique_in=old.unique_in, foreign_keys=old.foreign_keys)
    source = {"source": lake.uri_of(folder), "format": "parquet", "sql": None, "events": None, "checks": checks}
    own = spec.model_copy(update={"data": spec.data.model_copy(update=source)})
    result = ingest(own, workspace, now_s=clock(), run_id=uuid.uuid4().hex, progress=progress)
    tell_of_versions(store, DatasetTable.of(spec, workspace), actor=actor, now_s=clock())
    if not result.committed:
        return None
    progress(f"{result.version.ref}: {result.version.added_rows:,} served rows with labels, {_left_out(joined)}")
    return result.version


def join_records(store: Store, spec: ModelSpec, workspace: Workspace, *, progress: Callable[[str], None]) -> Joined:
    """Write the joined rows that no file of them holds yet; needs an initialised Ray.

    Labels are taken up to a million at a time, the newest first, and files of records one after the other, so memory
    does not grow with either. Killed anywhere, the next run writes what is missing.
    """
    lake, data = Lake(workspace.lake), spec.retrain.data
    log = RecordLog(lake, spec.name)
    # Resolved ones too: the labels of what was served meanwhile may come long after.
    alarms = alarm_spans(store.alerts(spec.name), spec.monitor)
    mark = f"records/{spec.name}/training_labels.json"
    since_s = json.loads(lake.read_bytes(mark))["until_s"] - _OVERLAP_S if lake.exists(mark) else 0.0
    files = log.label_files(max(since_s, 0.0))
    total, until_s = Joined(), since_s + _OVERLAP_S
    for group, first_s, last_s in _groups(log, files):
        served = [p for p in log.served_files(max(0.0, first_s - data.max_label_delay_s)) if _hour_s(p) <= last_s]
        joinings = [_joining(spec, workspace, part, group, alarms) for part in chunks(served, _TASKS)]
        for done in run_tasks(Joining.run, joinings) if joinings else ():
            total += done
        until_s = max(until_s, last_s)
    if files:
        lake.write_bytes(mark, json.dumps({"until_s": until_s}).encode())
        progress(f"records of {spec.name}: {total.rows:,} rows got their labels, {_left_out(total)}")
    return total


def alarm_spans(alerts: Iterable[AlertRecord], monitor: Monitor) -> tuple[tuple[float, float], ...]:
    """From and until when (seconds since 1970) what was served may be broken, by the data_quality alerts of a model.

    From the beginning of the rows in which it was seen, but at least from the last look that did not see it; to the end
    of the alert, which is open until no broken row is in the window any more.
    """
    return tuple(
        (_broken_since(alert, monitor), alert.updated_s if alert.state == "resolved" else np.inf)
        for alert in alerts
        if alert.kind == "data_quality"
    )


def _broken_since(alert: AlertRecord, monitor: Monitor) -> float:
    """The first look may have seen only the newest rows, and broken ones may have come ever since the look before."""
    window, seen = monitor.window, alert.evidence
    from_s = float(seen.get("from_s", np.inf))
    # Features that joined the alert later brought the rows of that time with them, in place of the first.
    told_again = float(seen.get("to_s", alert.at_s)) > alert.at_s
    if told_again or "from_s" not in seen:
        from_s = min(from_s, alert.at_s - window.size_s)
    return min(from_s, alert.at_s - monitor.quality.persist[0] * window.every_s)


def window_of(
    store: Store,
    spec: ModelSpec,
    workspace: Workspace,
    base: DatasetVersion,
    *,
    actor: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> tuple[ModelSpec, DatasetVersion]:
    """The spec and the dataset version to train on: `base` as it is, or the window of it that the spec asks for.

    A window is a table of its own with one version, named after `base` and by its contents: made again, it is the same.

    Raises:
        ValidationError: the window holds no labelled row.
    """
    if not spec.retrain.data.of_its_own or base.number is None:
        return spec, base
    rows = _window_rows(spec, load_version(workspace, base, columns=list(spec.data.columns)))
    if not rows.num_rows:
        raise ValidationError(f"retrain.data.window {spec.retrain.data.window}: no labelled row of {base.ref} is in it")
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    id = uuid.uuid5(uuid.NAMESPACE_OID, f"{base.digest} {spec.retrain.data.model_dump_json()}").hex[:12]
    table = window_table(spec.table, base.number, id)
    lake, folder = Lake(workspace.lake), f"windows/{table}"
    if not lake.list(folder, ".parquet"):
        lake.write_bytes(f"{folder}/rows.parquet", sink.getvalue())
    source = {"source": lake.uri_of(folder), "format": "parquet", "sql": None, "events": None, "table": table}
    # Every row was checked when it came into the table.
    own = spec.model_copy(update={"data": spec.data.model_copy(update={**source, "checks": Checks()})})
    version = ingest(own, workspace, now_s=clock(), run_id=uuid.uuid4().hex, progress=progress).version
    tell_of_versions(store, DatasetTable.named(table, workspace), actor=actor, now_s=clock())
    progress(f"{version.ref}: {version.rows:,} of the {base.rows:,} rows of {base.ref} ({spec.retrain.data.window})")
    return spec.model_copy(update={"data": spec.data.model_copy(update={"table": table})}), version


def _window_rows(spec: ModelSpec, table: pa.Table) -> pa.Table:
    """The labelled rows of the window, oldest first."""
    data, time = spec.retrain.data, str(spec.data.timestamp)
    known = table.filter(pc.field(spec.data.label).is_valid())
    ordered = known.take(pc.sort_indices(known[time]))
    if data.window == "weighted":
        assert data.rows is not None, "a weighted window says how many rows are the newest"
        return ordered.filter(pa.array(kept_by_weight(spec, ordered, newest=data.rows)))
    if data.rows is not None:
        return ordered.slice(max(0, ordered.num_rows - data.rows))
    if not ordered.num_rows:
        return ordered
    assert data.since_s is not None, "a sliding window has a size"
    return ordered.filter(pc.field(time) > ordered[time][-1].as_py() - dt.timedelta(seconds=data.since_s))


def _joining(
    spec: ModelSpec,
    workspace: Workspace,
    served: Sequence[str],
    labels: Sequence[str],
    alarms: tuple[tuple[float, float], ...],
) -> Joining:
    data = spec.data
    return Joining(
        lake=workspace.lake,
        model=spec.name,
        columns=columns_of(spec),
        roles=(data.unit, data.timestamp, data.label),
        classes=data.classes or (),
        served=tuple(served),
        labels=tuple(labels),
        max_delay_s=spec.retrain.data.max_label_delay_s,
        alarms=alarms,
    )


def _groups(log: RecordLog, files: Sequence[str]) -> list[tuple[tuple[str, ...], float, float]]:
    """Files of labels by about a million rows, the newest first; and when the first and the last of them came."""
    groups: list[tuple[tuple[str, ...], float, float]] = []
    group, rows, first, last = list[str](), 0, np.inf, 0.0
    for path in reversed(files):
        times = log.labels_in(path)["received_s"]
        bounds = pc.min_max(times).as_py()
        group, rows = [*group, path], rows + len(times)
        first, last = min(first, bounds["min"]), max(last, bounds["max"])
        if rows >= _LABELS_AT_ONCE:
            groups.append((tuple(group), float(first), float(last)))
            group, rows, first, last = [], 0, np.inf, 0.0
    return [*groups, (tuple(group), float(first), float(last))] if group else groups


def _hour_s(path: str) -> float:
    """When the hour began that a file of records lies in."""
    hour = path.split("/")[-2]
    return dt.datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=dt.UTC).timestamp()


def _left_out(joined: Joined) -> str:
    usual = f"{joined.known:,} were there already, {joined.unusable:,} could not be used"
    return f"{usual}, {joined.alarmed:,} were served during a data_quality alert" if joined.alarmed else usual
