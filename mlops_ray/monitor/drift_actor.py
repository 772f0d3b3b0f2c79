"""The drift actor: one detached Ray actor that keeps what replicas served and judges it."""

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import ray

from mlops_ray.errors import ClusterError, MlopsRayError, NotFoundError, StoreError
from mlops_ray.monitor.evidence_ledger import Cursor
from mlops_ray.monitor.model_monitor import ModelMonitor
from mlops_ray.monitor.outcomes import Totals
from mlops_ray.monitor.ray_task import as_ray_task
from mlops_ray.monitor.traffic_totals import TrafficTotals
from mlops_ray.rollout import Block
from mlops_ray.spec import DRIFT_ACTOR, ModelSpec, Workspace
from mlops_ray.store import Store
from mlops_ray.telemetry import TrafficReport

__all__ = ["DriftWatch", "drift_status", "ensure_drift_actor", "ensure_drift_actors"]

_log = logging.getLogger(__name__)
_TICK_S = 0.5
_STATUS_TIMEOUT_S = 15.0


class DriftWatch:
    """The monitored models of a cluster, or one shard of them; all it knows can be made again from lake and store."""

    def __init__(self, workspace_json: str, name: str = DRIFT_ACTOR) -> None:
        self._workspace = Workspace.model_validate_json(workspace_json)
        self._name = name
        self._store = Store(self._workspace.store)
        self._monitors: dict[str, ModelMonitor] = {}
        self._traffic: dict[str, TrafficTotals] = defaultdict(TrafficTotals)
        self._lock = threading.RLock()
        for thread, work in (("judge", self._tick), ("deliveries", self._catch_up)):
            threading.Thread(target=self._forever, args=(work,), daemon=True, name=thread).start()

    def receive(self, model: str, handover: Mapping[str, Any]) -> None:
        """Keep records and merge their profile; durable when it returns."""
        with self._lock:
            self._monitor(model).receive(handover)

    def keep_labels(self, model: str, name: str, labels: pa.Table) -> None:
        """Keep outcomes; durable when it returns."""
        with self._lock:
            self._monitor(model).keep_labels(name, labels, time.time())

    def count(self, model: str, report: Mapping[str, Any]) -> None:
        """Take in what a replica counted of its traffic."""
        with self._lock:
            window_s = self._monitor(model).spec.monitor.operational.window_s
            self._traffic[model].add(TrafficReport.from_json(report), time.time(), window_s=window_s)

    def telemetry(self) -> dict[str, Any]:
        """By model, counts of its traffic and the newest judgement, as JSON values."""
        now_s = time.time()
        with self._lock:
            return {
                name: {"traffic": self._traffic[name].to_json(now_s), "status": monitor.status()}
                for name, monitor in self._monitors.items()
            }

    def evidence(self, model: str, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """Blocks of evidence on a canary after the cursor."""
        with self._lock:
            return self._monitor(model).evidence(canary, cursor)

    def outcomes(self, model: str, canary: int) -> Totals | None:
        """Labelled outcomes of a delivery by metric, as of the newest look at the labels; None before the first one."""
        with self._lock:
            return self._monitor(model).outcomes(canary)

    def status(self, model: str) -> dict[str, Any]:
        """The newest judgement of a model."""
        with self._lock:
            return self._monitor(model).status()

    def workspace(self) -> str:
        """The workspace it works for, as JSON."""
        return self._workspace.model_dump_json()

    def ready(self) -> int:
        """The process id, as a sign of life."""
        return os.getpid()

    def _monitor(self, name: str) -> ModelMonitor:
        if name not in self._monitors:
            spec = self._spec(name)
            if spec is None:
                raise NotFoundError(f"model {name!r} is not in the store")
            self._monitors[name] = self._begin(spec)
        return self._monitors[name]

    def _begin(self, spec: ModelSpec) -> ModelMonitor:
        now_s = time.time()
        monitor = ModelMonitor(spec, self._workspace, self._store, now_s=now_s, run=as_ray_task)
        try:
            monitor.follow(now_s)
        except MlopsRayError as error:
            # Records and labels are kept all the same; the next tick looks again.
            _log.warning("model %s cannot be watched yet: %s", spec.name, error)
        return monitor

    def _spec(self, name: str) -> ModelSpec | None:
        record = self._store.model(name)
        return None if record is None else ModelSpec.model_validate_json(record.spec_json)

    def look(self, work: Callable[[str], None]) -> None:
        """Do a work once for each model that is this actor's."""
        try:
            names = [m.name for m in self._store.models() if self._workspace.drift_actor_of(m.name) == self._name]
        except StoreError as error:
            _log.warning("models not read, goes on: %s", error)
            return
        for name in names:
            try:
                work(name)
            except Exception:  # noqa: BLE001 - the border of one model to the others
                # The threads are the actor's heart: without them nothing is judged, and nobody would notice.
                _log.exception("model %s: %s failed; goes on", name, threading.current_thread().name)

    def _forever(self, work: Callable[[str], None]) -> None:
        """What takes long has a thread of its own: judging goes on."""
        while True:
            time.sleep(_TICK_S)
            self.look(work)

    def _tick(self, name: str) -> None:
        spec = self._spec(name)
        with self._lock:
            known = self._monitors.get(name)
            if spec is not None and known is not None and known.spec != spec:
                known.close(timeout_s=0.0)  # the new one tells what the store still has
                self._monitors[name] = self._begin(spec)
            monitor, now_s = self._monitor(name), time.time()
            monitor.follow(now_s)
            judge = monitor.judge(now_s)
            monitor.judge_operations(self._traffic[name], now_s)
        if judge is not None:
            seen = judge.measure(now_s)
            with self._lock:
                if self._monitors.get(name) is monitor:
                    monitor.weigh(judge, seen, now_s)

    def _catch_up(self, name: str) -> None:
        """Read what the evidence of a rollout lacks after a restart, and join labels that came."""
        with self._lock:
            monitor = self._monitor(name)
            monitor.look_at_attribution(time.time())
            reading, joining = monitor.reading(), monitor.joining(time.time())
        if reading is not None:
            ledger = reading.ledger()
            with self._lock:
                monitor.take_reading(reading, ledger)
        if joining is not None:
            totals = joining.totals()
            with self._lock:
                monitor.take_joining(joining, totals, time.time())


def ensure_drift_actors(workspace: Workspace) -> dict[str, Any]:
    """The drift actors of the cluster by name, each as `ensure_drift_actor`."""
    return {name: ensure_drift_actor(workspace, name) for name in workspace.drift_actors}


def ensure_drift_actor(workspace: Workspace, name: str = DRIFT_ACTOR) -> Any:
    """A drift actor, started when there is none of that name; outlives drivers and is restarted by Ray."""
    # Calls of replicas that meet a restart are repeated by Ray; handovers are recognised by name.
    remote = ray.remote(DriftWatch)
    return remote.options(
        name=name,
        namespace=workspace.namespace,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        resources={"node:__internal_head__": 0.001},  # beside the dashboard, and never on a spot node
        max_restarts=-1,
        max_task_retries=-1,
    ).remote(workspace.model_dump_json(), name)


def drift_status(workspace: Workspace, model: str) -> dict[str, Any]:
    """The newest judgement of a model, as JSON values.

    Raises:
        ClusterError: the drift actor does not answer.
    """
    try:
        actor = ray.get_actor(workspace.drift_actor_of(model), namespace=workspace.namespace)
        status: dict[str, Any] = ray.get(actor.status.remote(model), timeout=_STATUS_TIMEOUT_S)
    except (ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(f"the drift actor does not answer: {str(error).splitlines()[-1]}") from error
    return status
