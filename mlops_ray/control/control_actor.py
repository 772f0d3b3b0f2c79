"""The control actor: one detached Ray actor whose loop drives every rollout and retraining of the store."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from mlops_ray.control.label_counts import RecordCounts
from mlops_ray.control.lease import FencedStore, Lease
from mlops_ray.control.own_key import own_key
from mlops_ray.control.parity import BackgroundParity, HttpParity
from mlops_ray.control.postmortem import PostMortems
from mlops_ray.control.ray_jobs import RayJobs
from mlops_ray.control.reconciler import Reconciler, Sources
from mlops_ray.control.repeating import Repeating
from mlops_ray.control.retraining import Retraining
from mlops_ray.errors import ConflictError
from mlops_ray.lake import Lake
from mlops_ray.monitor import Cursor, ensure_drift_actors
from mlops_ray.prometheus import Prometheus
from mlops_ray.reports import ReportDesk
from mlops_ray.rollout import Block, Stratum
from mlops_ray.serve import RayHosting
from mlops_ray.spec import CONTROL_ACTOR, ModelSpec, Workspace
from mlops_ray.store import Store, keys_required
from mlops_ray.tracking import Tracking

__all__ = ["ControlLoop", "ensure_control_actor"]

_log = logging.getLogger(__name__)
_TICK_S = 0.5
_EVIDENCE_TIMEOUT_S = 5.0
_ALIASES_EVERY_S = 5.0
_POSTMORTEMS_EVERY_S = 2.0
_REPORTS_EVERY_S = 2.0
_WATCH_EVERY_S = 5.0
_LEASE_EVERY_S = 3.0
_HANGS_S = 90.0


class _DriftActorEvidence:
    """The drift actor as a source of evidence."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def evidence(self, model: str, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """See `Evidences.evidence`."""
        answer: tuple[Cursor, list[Block]] | None = self._ask("evidence", model, canary, cursor)
        return (cursor, []) if answer is None else answer

    def outcomes(self, model: str, canary: int) -> Mapping[str, tuple[Stratum, ...]] | None:
        """See `Evidences.outcomes`."""
        answer: Mapping[str, tuple[Stratum, ...]] | None = self._ask("outcomes", model, canary)
        return answer

    def _ask(self, method: str, model: str, *arguments: Any) -> Any:
        """What the drift actor answers; None when it does not."""
        try:
            actor = ray.get_actor(self._workspace.drift_actor_of(model), namespace=self._workspace.namespace)
            return ray.get(getattr(actor, method).remote(model, *arguments), timeout=_EVIDENCE_TIMEOUT_S)
        except (RayError, ValueError) as error:
            _log.warning("no %s now: %s", method, str(error).splitlines()[0])
            return None


class ControlLoop:
    """Reconciles for ever on a thread of its own. All it knows is in the store, so it may be killed at any line.

    It acts while it holds the lease of the store, and what it writes is refused once somebody else took that over.
    """

    def __init__(self, workspace_json: str) -> None:
        self._workspace = Workspace.model_validate_json(workspace_json)
        self._store = Store(self._workspace.store)
        hosting = RayHosting(self._workspace)
        api_key = own_key(self._store, now_s=time.time()) if keys_required(self._workspace) else None
        sources = Sources(
            evidences=_DriftActorEvidence(self._workspace),
            metrics=Prometheus(self._workspace.prometheus),
            parity=BackgroundParity(HttpParity(self._workspace.serve, api_key=api_key)),
        )
        self._lease = Lease(self._store, clock=time.time)
        fenced = FencedStore(self._workspace.store, self._lease)
        self._reconciler = Reconciler(fenced, hosting, sources, clock=time.time)
        counts = RecordCounts(Lake(self._workspace.lake))
        self._retraining = Retraining(fenced, RayJobs(self._workspace), clock=time.time, counts=counts)
        ensure_drift_actors(self._workspace)
        rollouts = Repeating("rollouts", lambda: self._reconcile(rollouts.beat), every_s=_TICK_S)
        self._vital = (
            rollouts,
            Repeating("retraining", self._retrain, every_s=_TICK_S),
        )
        aliases = _Aliases(self._workspace, self._store)
        postmortems = PostMortems(self._workspace, self._store, clock=time.time)
        reports = ReportDesk(self._workspace, self._store, clock=time.time)
        others = (
            Repeating("lease", self._renew, every_s=_LEASE_EVERY_S),
            Repeating("reports", reports.tick, every_s=_REPORTS_EVERY_S),
            Repeating("postmortems", postmortems.tick, every_s=_POSTMORTEMS_EVERY_S),
            Repeating("aliases", aliases.tick, every_s=_ALIASES_EVERY_S),
            Repeating("watchdog", self._watch, every_s=_WATCH_EVERY_S),
        )
        for repeating in (*others, *self._vital):
            repeating.start()

    def workspace(self) -> str:
        """The workspace it works for, as JSON."""
        return self._workspace.model_dump_json()

    def ready(self) -> int:
        """The process id, as a sign of life."""
        return os.getpid()

    def _watch(self) -> None:
        """A call into Ray or Serve that never returns would stop the loop silently: Ray starts a new actor instead."""
        hanging = [vital.name for vital in self._vital if vital.busy_s() > _HANGS_S]
        if hanging:
            _log.error("%s did not come back within %g s; the control actor ends and is restarted", hanging, _HANGS_S)
            os._exit(1)

    def _renew(self) -> None:
        self._lease.renew()

    def _reconcile(self, beat: Callable[[], None]) -> None:
        if self._lease.held:
            self._reconciler.tick(beat)

    def _retrain(self) -> None:
        if not self._lease.held:
            return
        for record in self._store.models():
            try:
                self._retraining.tick(ModelSpec.model_validate_json(record.spec_json))
            except ConflictError as error:
                _log.info("model %s changed meanwhile, looks again: %s", record.name, error)
            except Exception:  # noqa: BLE001 - the border of one model to the others; the job API fails in many ways
                _log.exception("model %s: its retraining was not looked at; goes on", record.name)


class _Aliases:
    """MLflow's alias `champion` follows the store; MLflow may be away without harm."""

    def __init__(self, workspace: Workspace, store: Store) -> None:
        self._tracking = Tracking(workspace.tracking, artifacts=f"{workspace.lake}/mlflow")
        self._store = store
        self._set: dict[str, int] = {}

    def tick(self) -> None:
        """Set the alias of every model whose champion changed."""
        for model in self._store.models():
            champion = self._store.champion(model.name)
            if champion is not None and self._set.get(model.name) != champion.version:
                self._tracking.set_alias(model.name, "champion", champion.version)
                self._set[model.name] = champion.version


def ensure_control_actor(workspace: Workspace) -> Any:
    """The control actor of the cluster, started when there is none; outlives drivers and is restarted by Ray."""
    return (
        ray.remote(ControlLoop)
        .options(
            name=CONTROL_ACTOR,
            namespace=workspace.namespace,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            resources={"node:__internal_head__": 0.001},  # beside the dashboard, and never on a spot node
            max_restarts=-1,
            max_task_retries=-1,
            # Its threads have no event loop, which Serve handles would otherwise ask for.
            runtime_env={"env_vars": {"RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1"}},
        )
        .remote(workspace.model_dump_json())
    )
