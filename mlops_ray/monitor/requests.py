"""Served records as arrays with one entry for each request of one route."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.monitor.unit_set import Hashes, hashes_of
from mlops_ray.monitor.yardstick import Yardstick

__all__ = ["REQUEST_COLUMNS", "Requests", "by_route"]

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

REQUEST_COLUMNS = (
    "request_id",
    "row",
    "unit",
    "role",
    "assigned",
    "canary",
    "epoch",
    "share",
    "status",
    "error",
    "latency_ms",
    "queue_ms",
    "predict_ms",
    "score",
    "paired_score",
)


@dataclass(frozen=True)
class Requests:
    """Requests (n,) of one route, in the order of the records; scores are those of a request's first row."""

    share: float
    """Of the units, on the canary; at 0 it answers copies only."""
    canary: Mask
    """Whether the new version should have answered: its units' requests, and copies."""
    shadow: Mask
    """Whether it was a copy."""
    champion: Mask
    own: Mask
    """Whether the one who should have answered did."""
    failed: Mask
    units: Hashes
    waited_ms: Floats
    """In the queue and the model of who should have answered, or until somebody else did: the way to a version under
    delivery is not the version's, and ends with the delivery."""
    predict_ms: Floats
    """NaN where it is not known."""
    scores: Floats
    """NaN where there is none."""
    paired_scores: Floats
    paired: Mask
    """Whether both versions scored it."""
    disagreeing: Mask
    """Whether they said something else of one of its rows."""


def by_route(records: pa.Table, yardstick: Yardstick) -> Iterator[tuple[int, int, Requests]]:
    """(canary, epoch, requests) of what was answered with a version under delivery, oldest route first.

    Records from before shares were kept, and requests that named a version, are no part of any comparison.
    """
    ours = records.filter((pc.field("canary") > 0) & pc.field("share").is_valid() & (pc.field("assigned") != "direct"))
    if not ours.num_rows:
        return
    canaries, epochs = _array(ours["canary"]), _array(ours["epoch"])
    for canary, epoch in sorted(set(zip(canaries.tolist(), epochs.tolist(), strict=True))):
        yield canary, epoch, _requests(ours.filter((canaries == canary) & (epochs == epoch)), yardstick)


def _requests(rows: pa.Table, yardstick: Yardstick) -> Requests:
    starts = np.flatnonzero(_array(rows["row"]) == 0)
    first = rows.take(starts)
    assigned, role = _array(first["assigned"]), _array(first["role"])
    failed = _array(first["error"].is_valid()) | (_array(first["status"]) != 200)
    own = (role == assigned) & ~failed
    predict_ms = _floats(first["predict_ms"])
    inside_ms = _floats(first["queue_ms"]) + predict_ms
    paired, disagreeing = _paired(rows, yardstick)
    return Requests(
        share=float(first["share"][0].as_py()),
        canary=(assigned == "canary") | (assigned == "shadow"),
        shadow=assigned == "shadow",
        champion=assigned == "champion",
        own=own,
        failed=failed,
        units=hashes_of(pc.coalesce(first["unit"], first["request_id"]).to_pylist()),
        waited_ms=np.where(own & np.isfinite(inside_ms), inside_ms, _floats(first["latency_ms"])),
        predict_ms=predict_ms,
        scores=_floats(first["score"]),
        paired_scores=_floats(first["paired_score"]),
        paired=np.logical_or.reduceat(paired, starts),
        disagreeing=np.logical_or.reduceat(disagreeing, starts),
    )


def _paired(rows: pa.Table, yardstick: Yardstick) -> tuple[Mask, Mask]:
    scores, others = _floats(rows["score"]), _floats(rows["paired_score"])
    paired = np.isfinite(scores) & np.isfinite(others)
    disagreeing = yardstick.disagree(scores, others)
    if disagreeing is None:
        return np.zeros(len(paired), dtype=bool), np.zeros(len(paired), dtype=bool)
    return paired, paired & disagreeing


def _floats(column: pa.ChunkedArray) -> Floats:
    values: Floats = pc.fill_null(column, float("nan")).to_numpy()
    return values


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return values
