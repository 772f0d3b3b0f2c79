"""Watches one model: merges what its replicas served, judges it against the reference, and raises alerts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from mlops_ray.alerting import Route, Sink, routes_for
from mlops_ray.drift import Profile
from mlops_ray.lake import Lake
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.answered_rows import Run, in_process
from mlops_ray.monitor.attribution import AttributionJudge
from mlops_ray.monitor.attribution_task import AttributionTasks, RayAttribution
from mlops_ray.monitor.comparison import UnitTotals
from mlops_ray.monitor.courier import Courier
from mlops_ray.monitor.deliveries import Deliveries, Reading
from mlops_ray.monitor.drift_judge import DriftJudge
from mlops_ray.monitor.evidence_ledger import Cursor, EvidenceLedger
from mlops_ray.monitor.finding import Finding
from mlops_ray.monitor.label_judge import LabelJudge
from mlops_ray.monitor.operations_watch import OperationsWatch
from mlops_ray.monitor.outcome_report import OutcomeReport
from mlops_ray.monitor.outcomes import Joining, OutcomeTotals, Totals
from mlops_ray.monitor.panes import Panes
from mlops_ray.monitor.reference import Watched, load_watched
from mlops_ray.monitor.traffic_totals import TrafficTotals
from mlops_ray.monitor.window_store import WindowStore
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.records import RecordLog, newest_labels, not_kept
from mlops_ray.rollout import Block, RatioCheck, sample_ratio_mismatch
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Store

__all__ = ["ModelMonitor"]

_log = logging.getLogger(__name__)
_REFOLD_S = 3 * 3600.0  # an hour and its lateness, and time for a restart
_NOTHING: Mapping[str, Any] = {
    "report": None,
    "alerted_features": [],
    "performance": None,
    "outcomes": None,
    "operations": None,
}


@dataclass(frozen=True)
class _Champion:
    """The version that is watched, its window, and its judges."""

    watched: Watched
    panes: Panes
    drift: DriftJudge
    labels: LabelJudge
    operations: OperationsWatch
    attribution: AttributionJudge

    def status(self) -> dict[str, Any]:
        """What each judge says, as JSON values."""
        judges = (self.drift, self.labels, self.operations, self.attribution)
        return {key: value for judge in judges for key, value in judge.status().items()}


class ModelMonitor:
    """The drift actor's part for one model. Belongs to one thread at a time.

    All it knows can be made again from the store and the lake. `sinks` take its alerts, those of the spec by default;
    `run` takes functions that read many files.
    """

    def __init__(
        self,
        spec: ModelSpec,
        workspace: Workspace,
        store: Store,
        *,
        now_s: float,
        sinks: Sequence[Sink] | None = None,
        attribution: AttributionTasks | None = None,
        run: Run = in_process,
    ) -> None:
        self._spec = spec
        self._attribution = attribution or RayAttribution()
        self._run = run
        self._store = store
        self._lake, lake = workspace.lake, Lake(workspace.lake)
        self._log = RecordLog(lake, spec.name)
        routes = routes_for(spec.alerts) if sinks is None else [Route(sink.name, sink) for sink in sinks]
        outbox = AlertOutbox(spec.name, routes, spec.alerting)
        self._windows = WindowStore(lake, spec.name)
        self._book = AlertBook(spec.name, store, outbox)
        self._courier = Courier(store, outbox)
        self._deliveries = Deliveries(self._log, lake, spec.name, yardstick=Yardstick.of(spec, None))
        self._outcomes = OutcomeTotals(self._log, spec, now_s=now_s)
        self._delivered: frozenset[int] | None = None
        self._dropped = {"rows": 0, "copies": 0}
        self._judged_s = now_s
        self._champion: _Champion | None = None

    @property
    def spec(self) -> ModelSpec:
        """The spec it watches by."""
        return self._spec

    def follow(self, now_s: float) -> None:
        """Look which version is champion, and begin anew with its reference when that has changed."""
        self._follow_rollouts(now_s)
        champion = self._store.champion(self._spec.name)
        if champion is None or (self._champion is not None and self._champion.watched.version == champion.version):
            return
        watched = load_watched(champion)
        panes = Panes(watched.reference, size_s=self._spec.monitor.window.size_s)
        self._windows.restore(champion.version, panes)
        drift = DriftJudge(self._spec, self._book, watched, now_s=now_s)
        self._recover(watched, panes, drift, now_s)
        self._book.resolve_others(champion.version, now_s)
        self._champion = _Champion(
            watched,
            panes,
            drift,
            LabelJudge(self._spec, self._book, self._log, watched, run=self._run),
            OperationsWatch(self._spec, self._book, watched.version),
            AttributionJudge(self._spec, self._book, champion, lake=self._lake, tasks=self._attribution, now_s=now_s),
        )
        self._deliveries.measure_by(Yardstick.of(self._spec, watched.reference))

    def receive(self, handover: Mapping[str, Any]) -> None:
        """Keep a batch of records and merge its profile; a batch that came before changes nothing."""
        time_s = handover["time_s"]
        if not self._deliveries.keep(handover["name"], handover["records"], time_s):
            return
        self._dropped["rows"] += handover.get("dropped", 0)
        self._dropped["copies"] += handover.get("dropped_copies", 0)
        if self._champion is not None and handover["version"] == self._champion.watched.version:
            self._champion.panes.add(time_s, Profile.from_bytes(handover["profile"]))
            self._champion.drift.sample(time_s, handover["records"])
            self._champion.drift.note_unseen(time_s, handover.get("unseen", b""))

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

    def judge(self, now_s: float) -> LabelJudge | None:
        """Judge the window when it is time; returns who measures performance then, which takes its time."""
        monitor = self._spec.monitor
        if not monitor.enabled or self._champion is None or now_s - self._judged_s < monitor.window.every_s:
            return None
        self._judged_s = now_s
        self._champion.drift.judge(self._champion.panes, now_s)
        self._windows.keep(self._champion.watched.version, self._champion.panes)
        return self._champion.labels

    def look_at_attribution(self, now_s: float) -> None:
        """See whether the champion reasons with the features that it did, when it is time; never waits."""
        if self._spec.monitor.enabled and self._champion is not None:
            self._champion.attribution.tick(now_s)

    def weigh(self, judge: LabelJudge, seen: OutcomeReport, now_s: float) -> None:
        """Let a judge take in what it measured, unless another version is champion since."""
        if self._champion is not None and self._champion.labels is judge:
            judge.weigh(seen, now_s)

    def judge_operations(self, traffic: TrafficTotals, now_s: float) -> None:
        """Judge how the champion is answered by, when it is time."""
        if self._champion is not None and self._spec.monitor.enabled and self._champion.operations.due(now_s):
            size_s = self._spec.monitor.operational.window_s
            window = traffic.window(self._champion.watched.version, now_s, size_s=size_s)
            self._champion.operations.judge(window, now_s)

    def status(self) -> dict[str, Any]:
        """The newest judgement, and what replicas dropped since this process began, as JSON values."""
        status = {"model": self._spec.name, "version": None, "judged_s": self._judged_s, "dropped": dict(self._dropped)}
        if self._champion is None:
            return {**status, **_NOTHING}
        version = self._champion.watched.version
        return status | {"version": version, **self._champion.status()}

    def close(self, timeout_s: float = 5.0) -> None:
        """Tell people what waits and nothing holds back, within that time; the rest stays in the store."""
        self._courier.close(timeout_s)

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

    def _recover(self, watched: Watched, panes: Panes, drift: DriftJudge, now_s: float) -> None:
        """Refold the window from the records: they are what survives a crash."""
        try:
            since_s = now_s - self._spec.monitor.window.size_s
            # Of a version that comes back after weeks, or after a long silence, the hours between stay empty.
            refold_s = max(panes.refold_from_s or since_s, now_s - _REFOLD_S)
            served = self._log.served(min(since_s, refold_s))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            # The versions of this window disagree on the type of a feature, so their records do not fit one table.
            _log.warning("model %s: its window begins empty, the records do not fit: %s", self._spec.name, error)
            return
        drift.sample(now_s, served)
        missing = not_kept(served.schema) & set(watched.signature.names)
        if missing:
            _log.info("model %s: its window begins empty, %s is not in the records", self._spec.name, sorted(missing))
            return
        panes.add_rows(*watched.matrix_of(served))


def _sample_ratio(model: str, version: int, units: UnitTotals, check: RatioCheck) -> Finding:
    message = f"the split between {model} v{version} and the champion is not the one of the route: {check.message}"
    return Finding("sample_ratio", "critical", version, message, evidence=asdict(units) | asdict(check))
