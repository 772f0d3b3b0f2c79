"""Performance on outcomes: joins labels to predictions by request id and row."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import scores
from mlops_ray.records import RecordLog
from mlops_ray.spec import Task

__all__ = ["Performance", "performance_since"]

_KEYS = ["request_id", "row"]
_COLUMNS = [*_KEYS, "time_s", "version", "role", "score"]


@dataclass(frozen=True)
class Performance:
    """Metrics of a version on the rows whose outcome is known."""

    version: int
    rows: int
    """Rows with a prediction and an outcome."""
    coverage: float
    """Their share of all rows the version answered."""
    metrics: dict[str, float]
    """Empty as long as the outcomes allow no metric (one class only)."""


def performance_since(log: RecordLog, *, version: int, task: Task, since_s: float) -> Performance:
    """Metrics of `version` over the rows served at or after `since_s`."""
    served = log.served(since_s, _COLUMNS)
    served = served.filter((pc.field("version") == version) & pc.field("score").is_valid())
    labels = log.labels(since_s).select([*_KEYS, "label"])
    joined: pa.Table = served.join(labels, keys=_KEYS, join_type="inner") if served.num_rows else served
    rows = joined.num_rows if served.num_rows else 0
    return Performance(
        version=version,
        rows=rows,
        coverage=rows / served.num_rows if served.num_rows else 0.0,
        metrics=_metrics(joined, task) if rows else {},
    )


def _metrics(joined: pa.Table, task: Task) -> dict[str, float]:
    try:
        return scores(task, joined["label"].to_numpy(), joined["score"].to_numpy())
    except ValidationError:
        return {}
