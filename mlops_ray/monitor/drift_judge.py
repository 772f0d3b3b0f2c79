"""Judges what the champion was asked and answered against its reference, without outcomes."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlops_ray.drift import DriftReport, Persistence, Profile, judge
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.finding import Finding
from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.yardstick import PREDICTION
from mlops_ray.spec import ModelSpec
from mlops_ray.verdict import Verdict

__all__ = ["DriftJudge"]


class DriftJudge:
    """One for each champion: its judgements, and which features are alerted."""

    def __init__(self, spec: ModelSpec, book: AlertBook, watched: Watched) -> None:
        self._spec = spec
        self._book = book
        self._watched = watched
        self._report: DriftReport | None = None
        self._persistence = self._persistence_after_restart()

    def judge(self, window: Profile, now_s: float) -> None:
        """Judge a window, and raise or resolve alerts."""
        monitor = self._spec.monitor
        features = None if monitor.features is None else [*self._watched.columns_of(monitor.features), PREDICTION]
        self._report = report = judge(
            self._watched.reference, window, monitor.thresholds, min_rows=monitor.window.min_rows, features=features
        )
        self._persistence, _, _ = self._persistence.update(report, persist=monitor.thresholds.persist)
        if report.verdict is Verdict.INCONCLUSIVE:
            return
        # What the store says is compared every time: a write that failed is made up for by the next judgement.
        finding = _drift(self._spec.name, self._watched.version, report, self._persistence.raised)
        if finding is not None:
            self._book.report(finding, now_s)
        else:
            self._book.resolve("drift", self._watched.version, "no judged window shows it any more", now_s)

    def status(self) -> Mapping[str, Any]:
        """The newest judgement as JSON values."""
        return {
            "report": self._report.to_json() if self._report else None,
            "alerted_features": sorted(self._persistence.raised),
        }

    def _persistence_after_restart(self) -> Persistence:
        """An open alert ends only after as many clean judgements as if it had been raised in this process."""
        alert = self._book.open_alert("drift", self._watched.version)
        features = alert.features if alert is not None else ()
        kept = self._spec.monitor.thresholds.persist[1]
        return Persistence(recent={name: (True,) * kept for name in features}, raised=frozenset(features))


def _drift(model: str, version: int, report: DriftReport, raised: frozenset[str]) -> Finding | None:
    drifted = sorted((f for f in report.features if f.name in raised), key=lambda f: (-f.ks, f.name))
    if not drifted:
        return None
    message = f"{len(drifted)} of {len(report.features)} features of {model} v{version} drifted: " + ", ".join(
        f"{f.name} (KS {f.ks:.2f}, PSI {f.psi:.2f})" for f in drifted[:5]
    )
    evidence = {"rows": report.rows, "features": [asdict(f) for f in drifted]}
    return Finding("drift", "warning", version, message, tuple(f.name for f in drifted), evidence)
