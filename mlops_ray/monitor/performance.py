"""Performance on outcomes: joins labels to predictions by request id and row, and says when it has decayed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import scores
from mlops_ray.records import RecordLog
from mlops_ray.spec import METRICS, Metric, Task

__all__ = ["Performance", "drop_of", "newest_labels", "performance_since"]

_KEYS = ["request_id", "row"]
_COLUMNS = [*_KEYS, "time_s", "version", "assigned", "score"]
_USERS = ["champion", "canary"]  # neither copies nor requests that asked for a version


@dataclass(frozen=True)
class Performance:
    """Metrics of a version on the rows whose outcome is known."""

    version: int
    rows: int
    """Rows with a prediction and an outcome."""
    coverage: float
    """Their share of all rows the version answered; 0 as well while no outcome came."""
    metrics: dict[str, float]
    """Empty as long as the outcomes allow no metric (one class only)."""


def performance_since(log: RecordLog, *, version: int, task: Task, since_s: float) -> Performance:
    """Metrics of `version` over the rows that it answered for users at or after `since_s`."""
    labels = log.labels(since_s)
    if task == "binary":  # a stray outcome must not hide what the others say
        labels = labels.filter(pc.field("label").isin([0.0, 1.0]))
    if not labels.num_rows:
        return Performance(version=version, rows=0, coverage=0.0, metrics={})
    answered = (pc.field("version") == version) & pc.field("score").is_valid() & pc.field("assigned").isin(_USERS)
    if task == "multiclass":
        return _of_classes(log, version, labels, answered & (pc.field("time_s") >= since_s), log.served_files(since_s))
    served = log.served(since_s, _COLUMNS).filter(answered)
    joined = served.join(labels.select([*_KEYS, "label"]), keys=_KEYS, join_type="inner")
    return Performance(
        version=version,
        rows=joined.num_rows,
        coverage=joined.num_rows / served.num_rows if served.num_rows else 0.0,
        metrics=_metrics(joined, task) if joined.num_rows else {},
    )


def _of_classes(
    log: RecordLog, version: int, labels: pa.Table, answered: pc.Expression, files: Sequence[str]
) -> Performance:
    """Read file by file: of the many probabilities only those of labelled rows are kept."""
    known = labels.select([*_KEYS, "label"])
    served, parts = 0, [known.slice(0, 0).append_column("scores", pa.array([], pa.list_(pa.float32())))]
    for path in files:
        rows = log.served_in(path, [*_COLUMNS, "scores"]).filter(answered)
        served += rows.num_rows
        places = pa.array(np.arange(rows.num_rows))
        # a join takes no lists
        found = rows.select(_KEYS).append_column("place", places).join(known, keys=_KEYS, join_type="inner")
        parts.append(found.drop_columns(["place"]).append_column("scores", rows["scores"].take(found["place"])))
    joined = pa.concat_tables(parts)
    return Performance(
        version=version,
        rows=joined.num_rows,
        coverage=joined.num_rows / served if served else 0.0,
        metrics=_class_metrics(joined),
    )


def _class_metrics(joined: pa.Table) -> dict[str, float]:
    """From the rows whose probabilities were kept, of as many classes as most of them have."""
    counts = pc.fill_null(pc.list_value_length(joined["scores"]), 0).to_numpy()
    if not counts.any():
        return {}
    classes = int(np.bincount(counts[counts > 0]).argmax())
    rows = joined.filter(pa.array(counts == classes))
    predictions = rows["scores"].combine_chunks().flatten().to_numpy().astype(np.float64).reshape(-1, classes)
    try:
        return scores("multiclass", rows["label"].to_numpy(), predictions)
    except ValidationError:
        return {}


def newest_labels(labels: pa.Table) -> pa.Table:
    """One outcome for each request and row: the last one received, and of those received together the last in order."""
    numbered = labels.append_column("_order", pa.array(range(labels.num_rows), pa.int64()))
    ordered = numbered.sort_by([("received_s", "ascending"), ("_order", "ascending")])
    places = ordered.append_column("_place", pa.array(range(labels.num_rows), pa.int64()))
    newest = places.group_by(_KEYS).aggregate([("_place", "max")])["_place_max"]
    return ordered.take(newest.sort()).drop_columns(["_order"])


def drop_of(metric: Metric, task: Task, *, known: float, now: float) -> float:
    """By how much `now` is worse than `known`, in units of the metric; negative when it is better.

    >>> drop_of("auc", "binary", known=0.75, now=0.5), drop_of("log_loss", "binary", known=0.25, now=0.75)
    (0.25, 0.5)
    """
    return known - now if METRICS[task][metric] else now - known


def _metrics(joined: pa.Table, task: Task) -> dict[str, float]:
    try:
        return scores(task, joined["label"].to_numpy(), joined["score"].to_numpy())
    except ValidationError:
        return {}
