"""Watches one model: merges what its replicas served, judges it against the reference, and raises alerts."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal

import pyarrow as pa

from mlops_ray.alerting import Alert, Dispatcher, sinks_for
from mlops_ray.drift import DriftReport, Persistence, Profile, fold, judge
from mlops_ray.lake import Lake
from mlops_ray.monitor.evidence_ledger import EvidenceLedger
from mlops_ray.monitor.panes import Panes
from mlops_ray.monitor.performance import Performance, performance_since
from mlops_ray.monitor.reference import Watched, load_watched
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Block
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import AlertRecord, Event, Store

__all__ = ["ModelMonitor"]

_ACTOR = "monitor"
_PERFORMANCE_WINDOWS = 10
Severity = Literal["warning", "critical"]


class ModelMonitor:
    """The drift actor's part for one model. Belongs to one thread at a time."""

    def __init__(self, spec: ModelSpec, workspace: Workspace, store: Store, *, now_s: float) -> None:
        self._spec = spec
        self._store = store
        self._lake = Lake(workspace.lake)
        self._log = RecordLog(self._lake, spec.name)
        self._dispatcher = Dispatcher(sinks_for(spec.alerts))
        self._ledger = EvidenceLedger(slow_ms=spec.serve.latency_objective_ms)
        self._watched: Watched | None = None
        self._panes: Panes | None = None
        self._persistence = Persistence.none()
        self._judged_s = now_s
        self._report: DriftReport | None = None
        self._performance: Performance | None = None

    @property
    def spec(self) -> ModelSpec:
        """The spec it watches by."""
        return self._spec

    def follow(self, now_s: float) -> None:
        """Look which version is champion, and begin anew with its reference when that has changed."""
        route = self._store.route(self._spec.name)
        champion = route.champion if route is not None else None
        if champion is None or (self._watched is not None and self._watched.version == champion):
            return
        self._watched = load_watched(self._store.model_version(self._spec.name, champion))
        self._panes = Panes(self._watched.reference, size_s=self._spec.monitor.window.size_s)
        self._recover(self._watched, self._panes, now_s)
        self._resolve_alerts_of_others(champion, now_s)
        open_now = [a for a in self._store.alerts(self._spec.name, state="open") if a.version == champion]
        self._persistence = Persistence(raised=frozenset(f for alert in open_now for f in alert.features))
        self._report = None

    def receive(self, handover: Mapping[str, Any]) -> None:
        """Keep a batch of records and merge its profile; a batch that came before changes nothing."""
        records: pa.Table = handover["records"]
        time_s = handover["time_s"]
        if not self._log.append_served(handover["name"], records, time_s):
            return
        self._ledger.add(records)
        if self._watched is not None and self._panes is not None and handover["version"] == self._watched.version:
            self._panes.add(time_s, Profile.from_bytes(handover["profile"]))

    def keep_labels(self, name: str, labels: pa.Table, now_s: float) -> None:
        """Keep outcomes; they count from now on."""
        position = labels.schema.get_field_index("received_s")
        received = pa.array([now_s] * labels.num_rows, pa.float64())
        self._log.append_labels(name, labels.set_column(position, "received_s", received), now_s)

    def evidence(self, canary: int, cursor: tuple[str, int]) -> tuple[tuple[str, int], list[Block]]:
        """See `EvidenceLedger.since`."""
        return self._ledger.since(canary, cursor)

    def judge(self, now_s: float) -> None:
        """Judge the window when it is time, and raise or resolve alerts."""
        monitor = self._spec.monitor
        if not monitor.enabled or self._watched is None or self._panes is None:
            return
        if now_s - self._judged_s < monitor.window.every_s:
            return
        self._judged_s = now_s
        watched = self._watched
        report = judge(
            watched.reference,
            self._panes.window(now_s),
            monitor.thresholds,
            min_rows=monitor.window.min_rows,
            features=None if monitor.features is None else [*monitor.features, "prediction"],
        )
        self._report = report
        self._persistence, raised, resolved = self._persistence.update(report, persist=monitor.thresholds.persist)
        if raised:
            self._raise_drift(report, watched.version, now_s)
        if resolved and not self._persistence.raised:
            self._resolve("drift", now_s)
        self._judge_performance(watched, now_s)

    def status(self) -> dict[str, Any]:
        """The newest judgement, as JSON values."""
        return {
            "model": self._spec.name,
            "version": self._watched.version if self._watched else None,
            "judged_s": self._judged_s,
            "report": self._report.to_json() if self._report else None,
            "alerted_features": sorted(self._persistence.raised),
            "performance": asdict(self._performance) if self._performance else None,
        }

    def close(self) -> None:
        """Deliver what is still on its way."""
        self._dispatcher.close(timeout_s=5)

    # -- after a restart -----------------------------------------------------------------------------------------------

    def _recover(self, watched: Watched, panes: Panes, now_s: float) -> None:
        """Refold the window from the records: they are what survives a crash."""
        served = self._log.served(now_s - self._spec.monitor.window.size_s)
        matrix, times = watched.matrix_of(served)
        if len(matrix):
            for start in range(0, len(matrix), 4096):
                chunk = slice(start, start + 4096)
                panes.add(float(times[chunk][0]), fold(watched.reference, matrix[chunk]))

    # -- alerts --------------------------------------------------------------------------------------------------------

    def _raise_drift(self, report: DriftReport, version: int, now_s: float) -> None:
        raised = self._persistence.raised
        drifted = [f for f in report.features if f.name in raised]
        drifted.sort(key=lambda f: -f.ks)
        names = tuple(f.name for f in drifted)
        message = (
            f"{len(names)} of {len(report.features)} features of {self._spec.name} v{version} drifted: "
            + ", ".join(f"{f.name} (KS {f.ks:.2f}, PSI {f.psi:.2f})" for f in drifted[:5])
        )
        evidence = {"rows": report.rows, "features": [asdict(f) for f in drifted]}
        record = self._record("drift", "warning", version, message, now_s=now_s)
        self._alert(replace(record, features=names, evidence=evidence))

    def _judge_performance(self, watched: Watched, now_s: float) -> None:
        horizon_s = self._spec.monitor.window.size_s * _PERFORMANCE_WINDOWS
        self._performance = performance_since(
            self._log, version=watched.version, task=self._spec.train.task, since_s=now_s - horizon_s
        )
        decay = self._spec.monitor.labels.decay
        if decay is None or self._performance.rows < decay.min_labels or decay.metric not in self._performance.metrics:
            return
        known, now = watched.metrics.get(decay.metric), self._performance.metrics[decay.metric]
        if known is None or abs(known - now) <= decay.max_drop or (now > known) == self._spec.train.maximize:
            return
        message = (
            f"{decay.metric} of {self._spec.name} v{watched.version} is {now:.4f} on {self._performance.rows} labelled "
            f"rows, {known:.4f} on the holdout; more than {decay.max_drop:g} apart"
        )
        record = self._record("decay", "critical", watched.version, message, now_s=now_s)
        self._alert(replace(record, evidence=asdict(self._performance)))

    def _record(self, kind: str, severity: Severity, version: int, message: str, *, now_s: float) -> AlertRecord:
        return AlertRecord(
            id=f"{self._spec.name}-{kind}-v{version}-{int(now_s)}",
            model=self._spec.name,
            version=version,
            kind=kind,
            severity=severity,
            message=message,
            features=(),
            evidence={},
            state="open",
            at_s=now_s,
            updated_s=now_s,
        )

    def _alert(self, record: AlertRecord) -> None:
        """Keep an alert and tell people, unless an open one says as much already."""
        same = [a for a in self._store.alerts(record.model, state="open") if _topic(a) == _topic(record)]
        if any(set(record.features) <= set(alert.features) for alert in same):
            return
        payload = {
            "kind": record.kind,
            "version": record.version,
            "message": record.message,
            "features": list(record.features),
        }
        with self._store.change(Event("alert.raised", record.id, payload, _ACTOR, record.at_s)) as change:
            if not change.insert_alert(record):
                change.skip()
                return
        self._dispatcher.submit(
            Alert(
                id=record.id,
                model=record.model,
                kind=record.kind,
                severity="critical" if record.severity == "critical" else "warning",
                message=record.message,
                features=record.features,
                evidence=record.evidence,
                at_s=record.at_s,
            )
        )

    def _resolve(self, kind: str, now_s: float) -> None:
        for alert in self._store.alerts(self._spec.name, state="open"):
            if alert.kind == kind:
                self._close_alert(alert, "no judged window shows it any more", now_s)

    def _resolve_alerts_of_others(self, champion: int, now_s: float) -> None:
        for alert in self._store.alerts(self._spec.name, state="open"):
            if alert.version is not None and alert.version != champion:
                self._close_alert(alert, f"version {champion} is champion now", now_s)

    def _close_alert(self, alert: AlertRecord, reason: str, now_s: float) -> None:
        with self._store.change(Event("alert.resolved", alert.id, {"reason": reason}, _ACTOR, now_s)) as change:
            change.put_alert(replace(alert, state="resolved", updated_s=now_s))


def _topic(alert: AlertRecord) -> tuple[str, int | None]:
    return alert.kind, alert.version
