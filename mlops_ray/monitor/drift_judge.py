"""Judges what the champion was asked and answered against its reference, without outcomes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_ray.drift import DomainCheck, DriftReport, Persistence, QualityProblem, UnseenValues, domain_check, judge
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.drift_findings import Seen, drift_finding, prediction_finding, quality_finding
from mlops_ray.monitor.finding import Finding, FindingKind
from mlops_ray.monitor.panes import Panes
from mlops_ray.monitor.quality_judge import QualityJudge
from mlops_ray.monitor.recent_rows import RecentRows
from mlops_ray.monitor.recent_unseen import RecentUnseen
from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.row_sample import RowSample
from mlops_ray.monitor.sample_rows import hidden_by
from mlops_ray.monitor.yardstick import PREDICTION
from mlops_ray.records import not_kept
from mlops_ray.spec import ModelSpec
from mlops_ray.verdict import Verdict

__all__ = ["DriftJudge"]

_TOGETHER = "(together)"  # all features at once, among the names of features
_AUC_ROOM = 0.03  # above what the reference's own blocks show
_MIN_SAMPLE = 200
_TOGETHER_EVERY_S = 30.0  # a look takes about half a second, in which hand-overs wait


class DriftJudge:
    """One for each champion: its judgements, and which features are alerted.

    A broken column comes first: as long as it has broken rows in the window, neither it nor the answers drift, and the
    alert stays open, so that nothing is retrained on them.
    """

    def __init__(self, spec: ModelSpec, book: AlertBook, watched: Watched, *, now_s: float) -> None:
        self._spec = spec
        self._book = book
        self._watched = watched
        self._report: DriftReport | None = None
        self._problems: tuple[QualityProblem, ...] = ()
        self._together: DomainCheck | None = None
        self._together_s = -np.inf
        known = self._open_on("data_quality")
        self._quality = QualityJudge(spec.monitor, watched.reference, open_on=known, now_s=now_s)
        self._recent = RecentRows(watched, hidden=hidden_by(spec))
        self._unseen = RecentUnseen(size_s=spec.monitor.window.size_s)
        self._unknown = UnseenValues()
        self._persistence = self._persistence_after_restart()
        season, size_s = watched.reference.season, spec.monitor.window.size_s
        span_s = size_s if season is None else max(size_s, season.period_s)
        self._sample = RowSample(span_s=span_s, rows=spec.monitor.multivariate.rows, seed=watched.version)

    def sample(self, time_s: float, records: pa.Table) -> None:
        """Keep a few of the rows that were served at about `time_s`, and the newest ones for people to see."""
        if self._spec.alerting.samples:
            self._recent.add(records)
        wanted = self._spec.monitor.multivariate.enabled and self._watched.sample is not None
        if not wanted or not records.num_rows or not_kept(records.schema) & set(self._watched.signature.names):
            return
        matrix, _ = self._watched.matrix_of(records.take(pa.array(self._sample.choose(records.num_rows))))
        self._sample.add(time_s, matrix[:, :-1])

    def note_unseen(self, time_s: float, data: bytes) -> None:
        """Sketches of categories that the version does not know, of requests of about `time_s`."""
        self._unseen.add(time_s, data)

    def judge(self, panes: Panes, now_s: float) -> None:
        """Judge the newest window, and raise or resolve alerts."""
        monitor = self._spec.monitor
        features = self._watched.columns_of(monitor.features)
        self._judge_quality(panes, now_s, features)
        broken = self._quality.broken(panes, now_s)
        window = panes.window(now_s)
        self._report = report = judge(
            self._watched.reference,
            window,
            monitor.thresholds,
            min_rows=monitor.window.min_rows,
            features=[*features, PREDICTION],
            broken=broken | {PREDICTION} if broken else broken,
        )
        self._persistence, _, _ = self._persistence.update(report, persist=monitor.thresholds.persist)
        if report.verdict is Verdict.INCONCLUSIVE:
            return
        self._judge_together(now_s, broken=bool(broken))
        raised = self._persistence.raised - broken
        together = self._together if _TOGETHER in raised and not broken else None
        seen = self._seen(window, now_s, monitor.window.size_s)
        # What the store says is compared every time: a write that failed is made up for by the next judgement.
        finding = drift_finding(seen, report, raised, monitor.thresholds, together)
        if finding is not None or _TOGETHER not in raised or self._together is not None:
            self._tell("drift", finding, now_s)  # else it was raised before a restart, and the sample is too small yet
        self._tell("prediction_drift", prediction_finding(seen, report, raised), now_s)

    def status(self) -> Mapping[str, Any]:
        """The newest judgement as JSON values."""
        return {
            "report": self._report.to_json() if self._report else None,
            "alerted_features": sorted(self._persistence.raised - {_TOGETHER}),
            "broken_features": sorted(self._quality.raised),
            "quality": [problem.to_json() for problem in self._problems],
            "unseen": self._unknown.to_json(),
            "multivariate": self._together.to_json() if self._together is not None else None,
        }

    def _judge_quality(self, panes: Panes, now_s: float, features: list[str]) -> None:
        profile, size_s, problems = self._quality.judge(panes, now_s, features)
        self._unknown = self._unseen.window(now_s)
        self._problems = tuple(self._named(problem) for problem in problems)
        if profile.rows >= self._spec.monitor.quality.min_rows:
            raised = self._quality.raised
            if self._open_on("data_quality"):
                raised |= self._quality.broken(panes, now_s)
            finding = quality_finding(self._seen(profile, now_s, size_s), self._problems, raised)
            self._tell("data_quality", finding, now_s)

    def _named(self, problem: QualityProblem) -> QualityProblem:
        """With the values, where they are ones that nobody knew. The message goes into the audit chain: they do not."""
        return replace(problem, values=self._unknown.told(problem.feature)) if problem.breakage == "unseen" else problem

    def _judge_together(self, now_s: float, *, broken: bool) -> None:
        asked, reference = self._spec.monitor.multivariate, self._watched.reference
        known = self._watched.sample
        ready = reference.season is None or self._sample.covers(now_s)
        if not asked.enabled or broken or not ready or known is None or self._spec.monitor.features is not None:
            return
        if now_s - self._together_s < _TOGETHER_EVERY_S:
            return
        rows = self._sample.rows(asked.rows)
        if min(len(rows), len(known)) < _MIN_SAMPLE:
            return
        self._together_s = now_s
        self._together = check = domain_check(known, rows, seed=self._watched.version)
        if reference.block_auc is not None:  # else what is usual is not known: the number is shown, and alarms nobody
            needs = max(asked.min_auc, reference.block_auc + _AUC_ROOM)
            told = {_TOGETHER: check.auc >= needs and check.p_value <= asked.max_p}
            self._persistence, _, _ = self._persistence.judged(told, persist=asked.persist)

    def _tell(self, kind: FindingKind, finding: Finding | None, now_s: float) -> None:
        if finding is not None:
            self._book.report(finding, now_s)
        else:
            self._book.resolve(kind, self._watched.version, "no judged window shows it any more", now_s)

    def _seen(self, profile: Any, now_s: float, size_s: float) -> Seen:
        model, version = self._spec.name, self._watched.version
        most, since_s = self._spec.alerting.samples, now_s - self._spec.monitor.window.size_s
        newest = partial(self._recent.rows, since_s, most) if most else None
        return Seen(model, version, self._watched.reference, profile, now_s - size_s, now_s, newest)

    def _open_on(self, kind: FindingKind) -> tuple[str, ...]:
        alert = self._book.open_alert(kind, self._watched.version)
        return tuple(alert.features) if alert is not None else ()

    def _persistence_after_restart(self) -> Persistence:
        """An open alert ends only after as many clean judgements as if it had been raised in this process."""
        features = self._open_on("drift") + self._open_on("prediction_drift")
        alert = self._book.open_alert("drift", self._watched.version)
        features += (_TOGETHER,) if alert is not None and not alert.features else ()
        kept = self._spec.monitor.thresholds.persist[1]
        return Persistence(recent={name: (True,) * kept for name in features}, raised=frozenset(features))
