"""What came of the answers of a delivery: joins labels to records, whatever time they took to come."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.monitor.deliveries import Delivery
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Moments, Stratum
from mlops_ray.spec import ModelSpec, Outcome, OutcomeKind, Task

__all__ = ["Joining", "OutcomeTotals", "joined", "strata", "wanted_outcomes"]

Floats = NDArray[np.float64]
Totals = Mapping[str, tuple[Stratum, ...]]

_KEYS = ["request_id", "row"]
_COLUMNS = [*_KEYS, "unit", "assigned", "canary", "epoch", "status", "score"]
_SIDES = ["canary", "champion"]
_LABEL_AT = 0.5
_CLIPPED_AT = 1e-6
_PART_ROWS = 500_000

_SETTLES_S = 10.0  # a label may be faster than the record of its answer
_EVERY_S = 5.0
_REST = 9.0  # so many times as long as a joining took nobody joins again


def _log_loss(score: Floats, label: Floats) -> Floats:
    share = np.clip(score, _CLIPPED_AT, 1.0 - _CLIPPED_AT)
    loss: Floats = -(label * np.log(share) + (1.0 - label) * np.log(1.0 - share))
    return loss


_VALUES: Mapping[OutcomeKind, Callable[[Floats, Floats], Floats]] = {
    "error": lambda score, label: ((score >= _LABEL_AT) != (label >= _LABEL_AT)).astype(np.float64),
    "squared_error": lambda score, label: (score - label) ** 2,
    "absolute_error": lambda score, label: np.abs(score - label),
    "log_loss": _log_loss,
    "label": lambda _, label: label,
}
# Scores and labels of a multiclass model are places of classes.
_OF_CLASSES: Mapping[OutcomeKind, Callable[[Floats, Floats], Floats]] = {
    "error": lambda score, label: (score != label).astype(np.float64),
}


def wanted_outcomes(spec: ModelSpec) -> tuple[Outcome, ...]:
    """The metrics of a rollout that are made of labels."""
    rollout = spec.rollout
    primary = () if rollout.ab is None else (rollout.ab.primary,)
    return (*primary, *rollout.analysis.outcomes)


def joined(log: RecordLog, delivery: Delivery, *, task: Task) -> pa.Table:
    """Labelled rows of a delivery with columns epoch, assigned, unit, score, label.

    Only what users were answered, and on the side that they were assigned to, whoever answered: a unit's outcome
    belongs to the version that it was meant for. A request without a unit is one of its own.
    """
    since_s = delivery.since_s
    labels = log.labels(since_s).select([*_KEYS, "label"]) if since_s is not None else None
    if labels is not None and task == "binary":  # a stray outcome must not hide what the others say
        labels = labels.filter(pc.field("label").isin([0.0, 1.0]))
    if since_s is None or labels is None or not labels.num_rows:
        return _nothing()
    ours = (
        (pc.field("canary") == delivery.version)
        & (pc.field("epoch") >= delivery.since_epoch)
        & pc.field("assigned").isin(_SIDES)
        & (pc.field("status") == 200)
        & pc.field("score").is_valid()
    )
    served = (log.served_in(path, _COLUMNS).filter(ours) for path in log.served_files(since_s))
    found = [part.join(labels, keys=_KEYS, join_type="inner") for part in _parts(served)]
    if not found:
        return _nothing()
    rows = pa.concat_tables(found)
    unit = pc.coalesce(rows["unit"], rows["request_id"])
    return rows.set_column(rows.column_names.index("unit"), "unit", unit).select(_nothing().column_names)


def _parts(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables: large enough that a join is worth its while, and not all at once in memory."""
    part: list[pa.Table] = []
    for table in tables:
        part.append(table)
        if sum(t.num_rows for t in part) >= _PART_ROWS:
            yield pa.concat_tables(part)
            part = []
    if part:
        yield pa.concat_tables(part)


def strata(rows: pa.Table, kind: OutcomeKind, *, task: Task) -> tuple[Stratum, ...]:
    """One value for each unit, the mean over its rows, as moments by epoch and side; `rows` are those of `joined`."""
    if not rows.num_rows:
        return ()
    value = (_OF_CLASSES if task == "multiclass" else _VALUES)[kind]
    values = value(rows["score"].to_numpy(), rows["label"].to_numpy())
    valued = rows.select(["epoch", "assigned", "unit"]).append_column("value", pa.array(values))
    units = valued.group_by(["epoch", "assigned", "unit"]).aggregate([("value", "mean")])
    epochs, sides = units["epoch"].to_numpy(), units["assigned"].to_numpy()
    means = units["value_mean"].to_numpy()
    return tuple(
        Stratum(
            epoch=epoch,
            canary=_moments(means[(epochs == epoch) & (sides == "canary")]),
            champion=_moments(means[(epochs == epoch) & (sides == "champion")]),
        )
        for epoch in sorted(set(epochs.tolist()))
    )


def _moments(values: Floats) -> Moments:
    # Sums over the same values in another order differ in the last digits.
    values = np.sort(values)
    if not len(values):
        return Moments(0, 0.0, 0.0)
    mean = float(values.mean())
    return Moments(len(values), mean, float(((values - mean) ** 2).sum()))


def _nothing() -> pa.Table:
    kinds = (pa.int64(), pa.string(), pa.string(), pa.float64(), pa.float64())
    names = ("epoch", "assigned", "unit", "score", "label")
    return pa.schema(list(zip(names, kinds, strict=True))).empty_table()


@dataclass(frozen=True)
class Joining:
    """One look at all labels of the deliveries under way. Takes time; needs no lock."""

    log: RecordLog
    deliveries: tuple[Delivery, ...]
    outcomes: tuple[Outcome, ...]
    task: Task
    began_s: float

    def totals(self) -> dict[int, Totals]:
        """By version, the strata of each metric."""
        return {delivery.version: self._of(delivery) for delivery in self.deliveries}

    def _of(self, delivery: Delivery) -> Totals:
        rows = joined(self.log, delivery, task=self.task)
        return {outcome.name: strata(rows, outcome.of, task=self.task) for outcome in self.outcomes}


class OutcomeTotals:
    """What the newest look found, and when the next one is due: only after labels came, and the more seldom the longer
    it takes."""

    def __init__(self, log: RecordLog, spec: ModelSpec, *, now_s: float) -> None:
        self._log = log
        self._spec = spec
        self._totals: dict[int, Totals] = {}
        self._labelled_s = now_s  # the process before may just have taken some in
        self._looked_s = now_s
        self._next_s = now_s

    def labels_came(self, now_s: float) -> None:
        """There is something to join."""
        self._labelled_s = now_s

    def of(self, version: int) -> Totals | None:
        """The strata of each metric; None as long as nobody has looked."""
        return self._totals.get(version)

    def joining(self, deliveries: tuple[Delivery, ...], now_s: float) -> Joining | None:
        """What has to be joined now; None when nothing has to be."""
        wanted = wanted_outcomes(self._spec)
        met = tuple(delivery for delivery in deliveries if delivery.since_s is not None)
        self._totals = {d.version: self._totals[d.version] for d in met if d.version in self._totals}
        settled = self._looked_s >= self._labelled_s + _SETTLES_S and len(self._totals) == len(met)
        if not wanted or not met or settled or now_s < self._next_s:
            return None
        self._next_s = now_s + _EVERY_S
        return Joining(self._log, met, wanted, self._spec.train.task, now_s)

    def take(self, joining: Joining, totals: Mapping[int, Totals], now_s: float) -> None:
        """Take in what a joining found."""
        self._totals, self._looked_s = dict(totals), joining.began_s
        self._next_s = now_s + max(_EVERY_S, _REST * (now_s - joining.began_s))
