"""Watches one model: merges what its replicas served, judges it against the reference, and raises alerts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from mlops_ray.alerting import Dispatcher, Sink, sinks_for
from mlops_ray.drift import DriftReport, Persistence, Profile, judge
from mlops_ray.lake import Lake
from mlops_ray.monitor.alert_book import AlertBook, Finding
from mlops_ray.monitor.evidence_ledger import Cursor, EvidenceLedger
from mlops_ray.monitor.panes import Panes
from mlops_ray.monitor.performance import Performance, drop_of, newest_labels, performance_since
from mlops_ray.monitor.reference import Watched, load_watched
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Block
from mlops_ray.spec import Decay, ModelSpec, Workspace
from mlops_ray.store import Store
from mlops_ray.verdict import Verdict

__all__ = ["ModelMonitor"]

_log = logging.getLogger(__name__)
_PERFORMANCE_WINDOWS = 10
_REQUEST_COLUMNS = ["row", "unit", "assigned", "canary", "epoch", "error", "latency_ms", "time_s"]


class ModelMonitor:
    """The drift actor's part for one model. Belongs to one thread at a time.

    All it knows can be made again from the store and the lake. `sinks` take its alerts, those of the spec by default.
    """

    def __init__(
        self, spec: ModelSpec, workspace: Workspace, store: Store, *, now_s: float, sinks: Sequence[Sink] | None = None
    ) -> None:
        self._spec = spec
        self._store = store
        self._log = RecordLog(Lake(workspace.lake), spec.name)
        self._dispatcher = Dispatcher(sinks_for(spec.alerts) if sinks is None else sinks)
        self._book = AlertBook(spec.name, store, self._dispatcher)
        self._ledger = EvidenceLedger(slow_ms=spec.serve.latency_objective_ms)
        self._remembers = False
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
        self._follow_rollouts()
        champion = self._store.champion(self._spec.name)
        if champion is None or (self._watched is not None and self._watched.version == champion.version):
            return
        watched = load_watched(champion)
        panes = Panes(watched.reference, size_s=self._spec.monitor.window.size_s)
        self._recover(watched, panes, now_s)
        self._book.resolve_others(champion.version, now_s)
        self._persistence = self._persistence_of(champion.version)
        self._watched, self._panes, self._report, self._performance = watched, panes, None, None

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
        """Keep outcomes; they count from now on. Of several for one row the last counts."""
        position = labels.schema.get_field_index("received_s")
        received = pa.array([now_s] * labels.num_rows, pa.float64())
        labels = newest_labels(labels.set_column(position, labels.schema.field(position), received))
        self._log.append_labels(name, labels, now_s)

    def evidence(self, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """See `EvidenceLedger.since`."""
        return self._ledger.since(canary, cursor)

    def judge(self, now_s: float) -> bool:
        """Judge the window when it is time, and raise or resolve alerts."""
        monitor = self._spec.monitor
        if not monitor.enabled or self._watched is None or self._panes is None:
            return False
        if now_s - self._judged_s < monitor.window.every_s:
            return False
        self._judged_s = now_s
        self._judge_drift(self._watched, self._panes.window(now_s), now_s)
        return True

    def measure(self, now_s: float) -> Performance | None:
        """Performance on outcomes; only reads the lake, so it needs no lock and holds nobody up."""
        watched = self._watched
        if watched is None:
            return None
        horizon_s = self._spec.monitor.window.size_s * _PERFORMANCE_WINDOWS
        task = self._spec.train.task
        return performance_since(self._log, version=watched.version, task=task, since_s=now_s - horizon_s)

    def weigh(self, seen: Performance, now_s: float) -> None:
        """Take a measured performance in, and raise or resolve the alert on decay."""
        watched = self._watched
        if watched is None or watched.version != seen.version:
            return
        self._performance = seen
        decay = self._spec.monitor.labels.decay
        if decay is None or seen.rows < decay.min_labels:
            return
        known, now = watched.metrics.get(decay.metric), seen.metrics.get(decay.metric)
        if known is None or now is None:
            return
        drop = drop_of(decay.metric, self._spec.train.task, known=known, now=now)
        if drop > decay.max_drop:
            self._book.report(_decay(self._spec.name, decay, seen, known=known, now=now), now_s)
        elif drop <= decay.max_drop / 2:
            # Between the two nothing changes, so that a metric at the edge does not flap.
            self._book.resolve("decay", watched.version, f"{decay.metric} is {now:.4f} again", now_s)

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

    def _follow_rollouts(self) -> None:
        """Evidence is kept for rollouts under way, and the first time found again in the records."""
        active = self._store.rollouts(self._spec.name, active_only=True)
        if not self._remembers:
            for rollout in active:
                self._ledger.remember(self._log.served(rollout.created_s, _REQUEST_COLUMNS))
            self._remembers = True
        self._ledger.keep_only({rollout.version for rollout in active})

    def _recover(self, watched: Watched, panes: Panes, now_s: float) -> None:
        """Refold the window from the records: they are what survives a crash."""
        try:
            served = self._log.served(now_s - self._spec.monitor.window.size_s)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            # The versions of this window disagree on the type of a feature, so their records do not fit one table.
            _log.warning("model %s: its window begins empty, the records do not fit: %s", self._spec.name, error)
            return
        panes.add_rows(*watched.matrix_of(served))

    def _persistence_of(self, version: int) -> Persistence:
        """An open alert ends only after as many clean judgements as if it had been raised in this process."""
        alert = self._book.open_alert("drift", version)
        features = alert.features if alert is not None else ()
        kept = self._spec.monitor.thresholds.persist[1]
        return Persistence(recent={name: (True,) * kept for name in features}, raised=frozenset(features))

    # -- judgements ----------------------------------------------------------------------------------------------------

    def _judge_drift(self, watched: Watched, window: Profile, now_s: float) -> None:
        monitor = self._spec.monitor
        features = None if monitor.features is None else [*monitor.features, "prediction"]
        self._report = report = judge(
            watched.reference, window, monitor.thresholds, min_rows=monitor.window.min_rows, features=features
        )
        self._persistence, _, _ = self._persistence.update(report, persist=monitor.thresholds.persist)
        if report.verdict is Verdict.INCONCLUSIVE:
            return
        # What the store says is compared every time: a write that failed is made up for by the next judgement.
        finding = _drift(self._spec.name, watched.version, report, self._persistence.raised)
        if finding is not None:
            self._book.report(finding, now_s)
        else:
            self._book.resolve("drift", watched.version, "no judged window shows it any more", now_s)


def _drift(model: str, version: int, report: DriftReport, raised: frozenset[str]) -> Finding | None:
    drifted = sorted((f for f in report.features if f.name in raised), key=lambda f: (-f.ks, f.name))
    if not drifted:
        return None
    message = f"{len(drifted)} of {len(report.features)} features of {model} v{version} drifted: " + ", ".join(
        f"{f.name} (KS {f.ks:.2f}, PSI {f.psi:.2f})" for f in drifted[:5]
    )
    evidence = {"rows": report.rows, "features": [asdict(f) for f in drifted]}
    return Finding("drift", "warning", version, message, tuple(f.name for f in drifted), evidence)


def _decay(model: str, decay: Decay, seen: Performance, *, known: float, now: float) -> Finding:
    message = (
        f"{decay.metric} of {model} v{seen.version} is {now:.4f} on {seen.rows} labelled rows, {known:.4f} on the "
        f"holdout; worse by more than {decay.max_drop:g}"
    )
    return Finding("decay", "critical", seen.version, message, evidence=asdict(seen))
