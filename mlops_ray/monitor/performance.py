"""Performance on outcomes: metrics of the rows whose outcome is known, over a stretch of time and by window."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import Measurement, measure_outcomes, scores
from mlops_ray.spec import Task

__all__ = [
    "Performance",
    "Ripeness",
    "WindowPerformance",
    "performance_of",
    "predicted",
    "windows_of",
]

Floats = NDArray[np.float64]
Ripeness = Literal["provisional", "matured"]


@dataclass(frozen=True)
class Performance:
    """Metrics of a version on the rows whose outcome is known."""

    version: int
    rows: int
    """Rows with a prediction and an outcome."""
    coverage: float
    """Their share of all rows the version answered; 0 as well while no outcome came."""
    metrics: Mapping[str, float]
    """Those that the outcomes allow: of one class alone no AUC, of none nothing."""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Confidence limits of the metrics that have some."""


@dataclass(frozen=True)
class WindowPerformance:
    """The answers of one stretch of time, whenever their outcomes came."""

    begin_s: float
    end_s: float
    answers: int
    rows: int
    """With an outcome."""
    ripeness: Ripeness
    """Provisional as long as outcomes are still expected, or too few are there."""
    metrics: Mapping[str, float]

    @property
    def coverage(self) -> float:
        """Share of the answers with an outcome."""
        return self.rows / self.answers if self.answers else 0.0


def performance_of(rows: pa.Table, *, version: int, task: Task, answers: int, level: float) -> Performance:
    """Metrics with limits of the labelled `rows` of `AnsweredRows.rows`, out of so many answers."""
    labels, predictions = predicted(rows, task)
    found = measure_outcomes(task, labels, predictions, level=level, seed=0) if len(labels) else Measurement({}, {})
    return Performance(version, rows.num_rows, _share(rows.num_rows, answers), found.metrics, found.limits)


def windows_of(
    rows: pa.Table,
    times: Floats,
    *,
    task: Task,
    size_s: float,
    since_s: float,
    now_s: float,
    matures_s: float,
    min_coverage: float,
) -> tuple[WindowPerformance, ...]:
    """By window of the time of the prediction, oldest first; windows begin at multiples of their size.

    Args:
        rows: labelled ones, as of `AnsweredRows.rows`.
        times: of all answers, sorted.
        size_s: of a window.
        since_s: the first window begins at or before it.
        now_s: the last window reaches to it.
        matures_s: an answer's outcome is expected so long after it.
        min_coverage: below it a window stays provisional.
    """
    first, last = int(since_s // size_s), int(now_s // size_s)
    moments = rows["time_s"].to_numpy()
    found = []
    for number in range(first, last + 1):
        begin_s, end_s = number * size_s, (number + 1) * size_s
        among = slice(*np.searchsorted(moments, [begin_s, end_s]).tolist())
        answers = int(np.diff(np.searchsorted(times, [begin_s, end_s]))[0])
        if not answers:
            continue
        part = rows.slice(among.start, among.stop - among.start)
        try:
            metrics = scores(task, *predicted(part, task))
        except ValidationError:
            metrics = {}
        ripe = end_s + matures_s <= now_s and part.num_rows >= min_coverage * answers
        ripeness: Ripeness = "matured" if ripe else "provisional"
        found.append(WindowPerformance(begin_s, end_s, answers, part.num_rows, ripeness, metrics))
    return tuple(found)


def predicted(rows: pa.Table, task: Task) -> tuple[Floats, Floats]:
    """Labels (n,) and predictions (n,); of several classes probabilities (n, classes), of the rows that have as many as
    most have."""
    if task != "multiclass":
        return rows["label"].to_numpy(), rows["score"].to_numpy()
    counts = pc.fill_null(pc.list_value_length(rows["scores"]), 0).to_numpy()
    if not counts.any():
        return np.empty(0), np.empty((0, 0))
    classes = int(np.bincount(counts[counts > 0]).argmax())
    whole = rows.filter(pa.array(counts == classes))
    flat = whole["scores"].combine_chunks().flatten().to_numpy().astype(np.float64)
    return whole["label"].to_numpy(), flat.reshape(-1, classes)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
