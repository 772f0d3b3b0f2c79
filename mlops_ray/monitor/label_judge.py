"""Judges the champion by the outcomes that came back."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.answered_rows import AnsweredRows, Run, in_process
from mlops_ray.monitor.error_watch import ErrorWatch
from mlops_ray.monitor.finding import Finding
from mlops_ray.monitor.outcome_findings import concept_drift, decay, is_another, label_drift, unfairness
from mlops_ray.monitor.outcome_report import Answers, OutcomeReport, report_on
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import RecordLog
from mlops_ray.spec import ModelSpec

__all__ = ["LabelJudge"]

_MOST_ROWS = 500_000


class LabelJudge:
    """One for each champion. `run` takes functions that read many files elsewhere than in this process."""

    def __init__(
        self, spec: ModelSpec, book: AlertBook, log: RecordLog, watched: Watched, *, run: Run = in_process
    ) -> None:
        self._spec = spec
        self._book = book
        self._log = log
        self._watched = watched
        self._answered = AnsweredRows(log, watched.version, spec.train.task, watched, run)
        self._errors: ErrorWatch | None = None
        self._oldest_s = float("-inf")  # of the rows that there is room for
        self._report: OutcomeReport | None = None

    def measure(self, now_s: float) -> OutcomeReport:
        """What the outcomes say now; only reads records, so it needs no lock and holds nobody up. One at a time."""
        settings = self._spec.monitor.labels
        since_s = now_s - settings.matures_s - self._spec.monitor.window.size_s * settings.windows
        watch = self._watch(since_s)
        needed_s = since_s if watch is None else min(since_s, watch.since_s)
        asked_s = since_s
        self._answered.look(max(needed_s, self._oldest_s))
        rows = self._answered.rows(max(needed_s, self._oldest_s))
        if rows.num_rows > _MOST_ROWS:
            self._oldest_s = rows["time_s"][rows.num_rows - _MOST_ROWS].as_py()
            since_s = max(since_s, self._oldest_s)
        stream = None if watch is None else watch.take(rows, seal_s=since_s)
        first = int(rows["time_s"].to_numpy().searchsorted(since_s))
        report = report_on(
            self._spec,
            self._watched,
            rows.slice(first),
            Answers(*self._answered.answers(since_s)),
            since_s=since_s,
            now_s=now_s,
            errors=stream,
            waiting=self._answered.waiting(),
        )
        # Of more rows than there is room for the newest are looked at; another look begins no sooner for that.
        return replace(report, since_s=asked_s)

    def weigh(self, seen: OutcomeReport, now_s: float) -> None:
        """Take a report in, and raise or resolve the alerts on outcomes."""
        self._report = seen
        spec, watched = self._spec, self._watched
        for judgement in (
            decay(spec, watched, seen),
            concept_drift(spec, watched, seen, base=None if self._errors is None else self._errors.test.base),
            label_drift(spec, watched, seen),
            unfairness(spec, watched, seen),
        ):
            if isinstance(judgement, Finding):
                self._raise(judgement, now_s)
            elif judgement is not None:
                self._book.resolve(judgement.kind, watched.version, judgement.reason, now_s)

    def status(self) -> Mapping[str, Any]:
        """The newest report as JSON values."""
        report = self._report
        return {
            "performance": asdict(report.performance) if report is not None else None,
            "outcomes": report.to_json() if report is not None else None,
        }

    def _raise(self, finding: Finding, now_s: float) -> None:
        """An alert that gets worse, or whose test alarms on, is another one: what follows one follows it once."""
        known = self._book.open_alert(finding.kind, finding.version)
        if known is not None and is_another(known.severity, known.evidence, finding):
            self._book.resolve(finding.kind, finding.version, "a newer alert takes its place", now_s)
        self._book.report(finding, now_s)

    def _watch(self, since_s: float) -> ErrorWatch | None:
        settings = self._spec.monitor.labels.concept_drift
        if self._watched.holdout is None or not settings.enabled:
            return None
        if self._errors is None:
            begin_s = self._watched.created_s if self._watched.created_s is not None else since_s
            self._errors = ErrorWatch(self._log, self._watched, settings, self._spec.train.task, since_s=begin_s)
        return self._errors
