"""Sees to it that every open alert gets its report, once; whoever is killed meanwhile, the next one makes it up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mlops_ray.errors import ClusterError, MlopsRayError, NotFoundError
from mlops_ray.reports.order import ReportResult, alert_order
from mlops_ray.reports.tasks import RayReports, ReportTasks
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import AlertRecord, Event, Store

__all__ = ["ReportDesk"]

_log = logging.getLogger(__name__)
_ACTOR = "reports"
_SETTLES_S = 5.0  # records of the moment of an alert, and of the alert's own replicas, are on their way
_PAUSE_S = 10.0
_LONGEST_S = 600.0


@dataclass(frozen=True)
class _Attempts:
    """What was tried for one alert in this process."""

    count: int = 0
    next_s: float = 0.0


@dataclass(frozen=True)
class _Running:
    """The report that is being made."""

    alert: str
    attempts: int
    """At most."""
    task: Any
    since_s: float


class ReportDesk:
    """One report at a time, in a task of its own: `tick` never waits for one, and no alert waits for its report.

    It looks at the store only: an open alert that names no report in its evidence (`report`, and `report_logged` when
    MLflow has it) gets one. Making it again writes the same files. After `monitor.reports.attempts` failures the
    evidence says why (`report_problem`), and it is left.
    """

    def __init__(
        self, workspace: Workspace, store: Store, *, clock: Callable[[], float], tasks: ReportTasks | None = None
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._clock = clock
        self._tasks = tasks or RayReports()
        self._running: _Running | None = None
        self._attempts: dict[str, _Attempts] = {}

    def tick(self) -> None:
        """Take in what was made, and begin what is missing.

        Raises:
            StoreError: the store is away; the next call goes on.
        """
        if self._running is not None:
            self._collect(self._running)
        if self._running is None:
            self._begin()

    def _collect(self, running: _Running) -> None:
        now_s = self._clock()
        try:
            result = self._tasks.result(running.task)
            if result is None and now_s - running.since_s > _LONGEST_S:
                self._tasks.cancel(running.task)
                raise ClusterError(f"it was not made within {_LONGEST_S:g} s")
        except MlopsRayError as error:
            self._running = None
            self._failed(running, str(error), now_s)
            return
        if result is None:
            return
        self._note(running.alert, _evidence(result), now_s)
        self._running = None
        if result.problem:
            self._failed(running, result.problem, now_s)

    def _failed(self, running: _Running, problem: str, now_s: float) -> None:
        tried = self._attempts.get(running.alert, _Attempts()).count + 1
        self._attempts[running.alert] = _Attempts(tried, now_s + _PAUSE_S * 2 ** min(tried - 1, 6))
        _log.warning("report on %s, attempt %d of %d: %s", running.alert, tried, running.attempts, problem)
        if tried >= running.attempts:
            self._note(running.alert, {"report_problem": problem}, now_s)

    def _begin(self) -> None:
        now_s = self._clock()
        for record in self._store.models():
            spec = ModelSpec.model_validate_json(record.spec_json)
            if not spec.monitor.reports.on_alert:
                continue
            for alert in self._store.alerts(spec.name, state="open"):
                if self._is_due(spec, alert, now_s) and self._start(spec, alert, now_s):
                    return

    def _is_due(self, spec: ModelSpec, alert: AlertRecord, now_s: float) -> bool:
        wanted = alert.kind in spec.monitor.reports.kinds and alert.version is not None
        done = alert.evidence.get("report_logged") or "report_problem" in alert.evidence
        due_s = max(alert.at_s + _SETTLES_S, self._attempts.get(alert.id, _Attempts()).next_s)
        return wanted and not done and now_s >= due_s

    def _start(self, spec: ModelSpec, alert: AlertRecord, now_s: float) -> bool:
        assert alert.version is not None
        try:
            version = self._store.model_version(spec.name, alert.version)
        except NotFoundError as error:
            self._note(alert.id, {"report_problem": str(error)}, now_s)
            return False
        task = self._tasks.start(alert_order(spec, self._workspace, version, alert))
        self._running = _Running(alert.id, spec.monitor.reports.attempts, task, now_s)
        return True

    def _note(self, id: str, evidence: dict[str, Any], now_s: float) -> None:
        """Add to the alert's evidence, with an event in the audit chain; what is there already is not said again."""
        kind = "alert.report_failed" if "report_problem" in evidence else "alert.reported"
        with self._store.change(Event(kind, id, evidence, _ACTOR, now_s)) as change:
            known = change.alert(id)
            if known.evidence == {**known.evidence, **evidence}:
                change.skip()
                return
            change.put_alert(replace(known, evidence={**known.evidence, **evidence}))


def _evidence(result: ReportResult) -> dict[str, Any]:
    return {"report": result.uri, "report_logged": result.logged, "report_drifted": list(result.summary["drifted"])}
