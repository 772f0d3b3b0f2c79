"""All that outcomes say of a version at one moment, from rows that are joined already; decides nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import (
    BusinessValue,
    Calibration,
    ErrorStream,
    Estimated,
    FairnessResult,
    LabelComparison,
    Slice,
    SliceColumn,
    business_value,
    calibration_of,
    compare_labels,
    count_groups,
    errors_of,
    estimate_performance,
    groups_of,
    judge_fairness,
    worst_slices,
)
from mlops_ray.monitor.answered_rows import FEATURE
from mlops_ray.monitor.performance import Performance, WindowPerformance, performance_of, windows_of
from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.wrong_rows import wrong_rows
from mlops_ray.spec import ModelSpec

__all__ = ["Answers", "OutcomeReport", "report_on"]

Floats = NDArray[np.float64]

_MOST_ROWS = 50_000
"""The newest so many rows are searched for slices and are valued by expressions."""
_WINDOWS_TOLD = 20


@dataclass(frozen=True)
class Answers:
    """All answers of the stretch of time that is looked at, oldest first."""

    times: Floats
    scores: Floats


@dataclass(frozen=True)
class OutcomeReport:
    """As of one look. All but windows and samples is over the rows whose outcomes should be there."""

    performance: Performance
    windows: tuple[WindowPerformance, ...]
    calibration: Calibration | None
    business: tuple[BusinessValue, ...]
    slices: tuple[Slice, ...]
    estimate: Estimated | None
    """Of the answers whose outcomes are still expected."""
    labels: LabelComparison | None
    fairness: tuple[FairnessResult, ...]
    errors: ErrorStream | None
    waiting: int
    """Outcomes whose answer is not in the records."""
    problems: tuple[str, ...] = ()
    """What could not be measured, and why."""
    since_s: float = 0.0
    until_s: float = 0.0
    """When the rows were answered whose outcomes should be there."""
    samples: tuple[Mapping[str, Any], ...] = ()
    """Of the newest rows some with a wrong answer, for people; features of the worst slices come first."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, bounded, and without samples."""
        content = asdict(replace(self, samples=()))
        del content["samples"]
        told = self.windows[-_WINDOWS_TOLD:]
        content["windows"] = [{**asdict(window), "coverage": window.coverage} for window in told]
        content["fairness"] = [{**asdict(result), "verdict": result.verdict.value} for result in self.fairness]
        if self.errors is not None:
            content["errors"] = self.errors.to_json()
        return content


def report_on(
    spec: ModelSpec,
    watched: Watched,
    rows: pa.Table,
    answers: Answers,
    *,
    since_s: float,
    now_s: float,
    errors: ErrorStream | None,
    waiting: int,
) -> OutcomeReport:
    """The report on labelled `rows` of `AnsweredRows.rows(since_s)`."""
    settings, task = spec.monitor.labels, spec.train.task
    ripe_s = now_s - settings.matures_s
    ripe = rows.filter(pc.field("time_s") <= ripe_s)
    due = int(np.searchsorted(answers.times, ripe_s, side="right"))
    level = settings.decay.level if settings.decay is not None else 0.95
    newest = ripe.slice(max(0, ripe.num_rows - _MOST_ROWS))
    business, problems = _business(spec, watched, newest)
    slices = _slices(spec, watched, newest)
    return OutcomeReport(
        performance=performance_of(ripe, version=watched.version, task=task, answers=due, level=level),
        windows=windows_of(
            rows,
            answers.times,
            task=task,
            size_s=spec.monitor.window.size_s,
            since_s=since_s,
            now_s=now_s,
            matures_s=settings.matures_s,
            min_coverage=settings.min_coverage,
        ),
        calibration=_calibration(spec, ripe),
        business=business,
        slices=slices,
        estimate=_estimate(spec, watched, answers, now_s),
        labels=_labels(spec, watched, ripe),
        fairness=_fairness(spec, watched, ripe),
        errors=errors,
        waiting=waiting,
        problems=problems,
        since_s=since_s,
        until_s=ripe_s,
        samples=wrong_rows(spec, watched, rows, slices),
    )


def _calibration(spec: ModelSpec, rows: pa.Table) -> Calibration | None:
    scores = rows["score"].to_numpy()
    if spec.train.task != "binary" or not len(scores) or scores.min() < 0 or scores.max() > 1:
        return None
    return calibration_of(rows["label"].to_numpy(), scores)


def _business(spec: ModelSpec, watched: Watched, rows: pa.Table) -> tuple[tuple[BusinessValue, ...], tuple[str, ...]]:
    values: dict[str, Any] = {"label": rows["label"].to_numpy(), "prediction": rows["score"].to_numpy()}
    values |= {column.name: _decoded(column) for column in _columns(watched, rows)}
    found, problems = [], []
    for metric in spec.monitor.labels.business if rows.num_rows else ():
        try:
            value = business_value(metric, values, seed=spec.train.seed)
        except ValidationError as error:
            problems.append(str(error))
            continue
        if value is not None:
            found.append(value)
    return tuple(found), tuple(problems)


def _slices(spec: ModelSpec, watched: Watched, rows: pa.Table) -> tuple[Slice, ...]:
    if not spec.monitor.labels.slices.enabled or not rows.num_rows:
        return ()
    return worst_slices(_columns(watched, rows), _wrong(spec, watched, rows), spec.monitor.labels.slices)


def _wrong(spec: ModelSpec, watched: Watched, rows: pa.Table) -> NDArray[np.bool_]:
    labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
    limit = watched.holdout.error_limit if watched.holdout is not None else None
    if spec.train.task == "regression" and limit is None:
        limit = float(np.quantile(np.abs(labels - scores), 0.9))
    return errors_of(spec.train.task, labels, scores, limit=limit)


def _estimate(spec: ModelSpec, watched: Watched, answers: Answers, now_s: float) -> Estimated | None:
    """Of the newest answers: of those whose outcomes are not due, or of a window where they are due at once."""
    settings = spec.monitor.labels
    if spec.train.task != "binary" or not settings.estimate.enabled:
        return None
    begin = np.searchsorted(answers.times, now_s - max(settings.matures_s, spec.monitor.window.size_s))
    scores = answers.scores[begin:]
    if len(scores) and (scores.min() < 0 or scores.max() > 1):
        return None
    calibration = watched.holdout.calibration if watched.holdout is not None else None
    limit = settings.estimate.max_calibration_error
    return estimate_performance(scores, calibration, max_error=limit, seed=spec.train.seed)


def _labels(spec: ModelSpec, watched: Watched, rows: pa.Table) -> LabelComparison | None:
    settings = spec.monitor.labels.label_drift
    if watched.holdout is None or not settings.enabled:
        return None
    return compare_labels(watched.holdout.labels, rows["label"].to_numpy(), settings)


def _fairness(spec: ModelSpec, watched: Watched, rows: pa.Table) -> tuple[FairnessResult, ...]:
    columns = {column.name: column for column in _columns(watched, rows)}
    labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
    found = []
    for limit in spec.fairness:
        column = columns.get(limit.attribute)
        if not limit.online or column is None:
            continue
        groups = groups_of(column.values, column.categories, limit.bins)
        found.append(judge_fairness(limit, count_groups(groups, labels, scores)))
    return tuple(found)


def _columns(watched: Watched, rows: pa.Table) -> Sequence[SliceColumn]:
    """The encoded features that the rows have."""
    known: Mapping[str, tuple[str, ...]] = {c.name: c.categories for c in watched.signature.columns()}
    return [
        SliceColumn(name, rows[f"{FEATURE}{name}"].to_numpy(), categories)
        for name, categories in known.items()
        if f"{FEATURE}{name}" in rows.column_names
    ]


def _decoded(column: SliceColumn) -> Any:
    """Text for a category, numbers for everything else."""
    if not column.categories or column.categories == ("false", "true"):
        return column.values
    names = np.array([*column.categories, ""])
    codes = np.where(np.isfinite(column.values), column.values, len(column.categories))
    return names[np.clip(codes, 0, len(column.categories)).astype(np.int64)]
