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
from mlops_ray.monitor.comparison import UnitTotals
from mlops_ray.monitor.deliveries import Deliveries, Reading
from mlops_ray.monitor.evidence_ledger import Cursor, EvidenceLedger
from mlops_ray.monitor.outcomes import Joining, OutcomeTotals, Totals
from mlops_ray.monitor.panes import Panes
from mlops_ray.monitor.performance import Performance, drop_of, newest_labels, performance_since
from mlops_ray.monitor.reference import Watched, load_watched
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.records import RecordLog, not_kept
from mlops_ray.rollout import Block, RatioCheck, sample_ratio_mismatch
from mlops_ray.spec import Decay, ModelSpec, Workspace
from mlops_ray.store import Store
from mlops_ray.verdict import Verdict

__all__ = ["ModelMonitor"]

_log = logging.getLogger(__name__)
_PERFORMANCE_WINDOWS = 10


class ModelMonitor:
    """The drift actor's part for one model. Belongs to one thread at a time.

    All it knows can be made again from the store and the lake. `sinks` take its alerts, those of the spec by default.
    """

    def __init__(
        self, spec: ModelSpec, workspace: Workspace, store: Store, *, now_s: float, sinks: Sequence[Sink] | None = None
    ) -> None:
        self._spec = spec
        self._store = store
        lake = Lake(workspace.lake)
        self._log = RecordLog(lake, spec.name)
        self._dispatcher = Dispatcher(sinks_for(spec.alerts) if sinks is None else sinks)
        self._book = AlertBook(spec.name, store, self._dispatcher)
        self._deliveries = Deliveries(self._log, lake, spec.name, yardstick=Yardstick.of(spec, None))
        self._outcomes = OutcomeTotals(self._log, spec, now_s=now_s)
        self._delivered: frozenset[int] | None = None
        self._dropped = {"rows": 0, "copies": 0}
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
        self._follow_rollouts(now_s)
        champion = self._store.champion(self._spec.name)
        if champion is None or (self._watched is not None and self._watched.version == champion.version):
            return
        watched = load_watched(champion)
        panes = Panes(watched.reference, size_s=self._spec.monitor.window.size_s)
        self._recover(watched, panes, now_s)
        self._book.resolve_others(champion.version, now_s)
        self._persistence = self._persistence_of(champion.version)
        self._watched, self._panes, self._report, self._performance = watched, panes, None, None
        self._deliveries.measure_by(Yardstick.of(self._spec, watched.reference))

    def receive(self, handover: Mapping[str, Any]) -> None:
        """Keep a batch of records and merge its profile; a batch that came before changes nothing."""
        time_s = handover["time_s"]
        if not self._deliveries.keep(handover["name"], handover["records"], time_s):
            return
        self._dropped["rows"] += handover.get("dropped", 0)
        self._dropped["copies"] += handover.get("dropped_copies", 0)
        if self._watched is not None and self._panes is not None and handover["version"] == self._watched.version:
            self._panes.add(time_s, Profile.from_bytes(handover["profile"]))

    def keep_labels(self, name: str, labels: pa.Table, now_s: float) -> None:
        """Keep outcomes; they count from now on. Of several for one row the last counts."""
        position = labels.schema.get_field_index("received_s")
        received = pa.array([now_s] * labels.num_rows, pa.float64())
        labels = newest_labels(labels.set_column(position, labels.schema.field(position), received))
        self._log.append_labels(name, labels, now_s)
        self._outcomes.labels_came(now_s)

    def evidence(self, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """Blocks after the cursor, and the cursor to come back with; none while the records are being read."""
        return self._deliveries.evidence(canary, cursor)

    def outcomes(self, canary: int) -> Totals | None:
        """By metric, the outcomes of a delivery as of the newest look; None before the first one."""
        return self._outcomes.of(canary)

    def reading(self) -> Reading | None:
        """What has to be read for the evidence to be complete; the reading itself needs no lock."""
        return self._deliveries.reading()

    def take_reading(self, reading: Reading, ledger: EvidenceLedger) -> None:
        """Take in what a reading gave."""
        self._deliveries.take(reading, ledger)

    def joining(self, now_s: float) -> Joining | None:
        """What has to be joined for the outcomes to be up to date; the joining itself needs no lock."""
        return self._outcomes.joining(self._deliveries.followed, now_s)

    def take_joining(self, joining: Joining, totals: Mapping[int, Totals], now_s: float) -> None:
        """Take in what a joining found."""
        self._outcomes.take(joining, totals, now_s)

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
        """The newest judgement, and what replicas dropped since this process began, as JSON values."""
        return {
            "model": self._spec.name,
            "version": self._watched.version if self._watched else None,
            "judged_s": self._judged_s,
            "report": self._report.to_json() if self._report else None,
            "alerted_features": sorted(self._persistence.raised),
            "performance": asdict(self._performance) if self._performance else None,
            "dropped": dict(self._dropped),
        }

    def close(self) -> None:
        """Deliver what is still on its way."""
        self._dispatcher.close(timeout_s=5)

    # -- after a restart -----------------------------------------------------------------------------------------------

    def _follow_rollouts(self, now_s: float) -> None:
        """Evidence is kept for rollouts under way."""
        active = self._store.rollouts(self._spec.name, active_only=True)
        self._deliveries.follow(active)
        delivered = frozenset(rollout.version for rollout in active)
        if delivered != self._delivered:
            self._book.resolve_ended(delivered, now_s)
            self._delivered = delivered
        for version in delivered:
            for units in self._deliveries.units(version):
                check = sample_ratio_mismatch(units.canary, units.champion, units.share)
                if check.mismatch:
                    self._book.report(_sample_ratio(self._spec.name, version, units, check), now_s)

    def _recover(self, watched: Watched, panes: Panes, now_s: float) -> None:
        """Refold the window from the records: they are what survives a crash."""
        try:
            served = self._log.served(now_s - self._spec.monitor.window.size_s)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            # The versions of this window disagree on the type of a feature, so their records do not fit one table.
            _log.warning("model %s: its window begins empty, the records do not fit: %s", self._spec.name, error)
            return
        missing = not_kept(served.schema) & set(watched.signature.names)
        if missing:
            _log.info("model %s: its window begins empty, %s is not in the records", self._spec.name, sorted(missing))
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
        features = None if monitor.features is None else [*watched.columns_of(monitor.features), "prediction"]
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


def _sample_ratio(model: str, version: int, units: UnitTotals, check: RatioCheck) -> Finding:
    message = f"the split between {model} v{version} and the champion is not the one of the route: {check.message}"
    return Finding("sample_ratio", "critical", version, message, evidence=asdict(units) | asdict(check))
