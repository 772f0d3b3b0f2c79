"""Compares what should be with what is, rollout by rollout, and does the next thing; may be killed at any line."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from mlops_ray.control.desired import desired_route, versions_wanted
from mlops_ray.errors import ConflictError, MlopsRayError
from mlops_ray.rollout import Block, Evidence, Observation, Phase, RolloutState, advance, fold, moved
from mlops_ray.serve import Applied, AppStatus, Hosting, app_name
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ApprovalRecord, Event, RolloutRecord, RouteRecord, Stage, Store

__all__ = ["Evidences", "Reconciler", "load_state", "saved_state"]

_log = logging.getLogger(__name__)
_ACTOR = "control"
_SAVE_EVIDENCE_S = 10.0
_REPUSH_S = 5.0
_STAGES = {Phase.COMPLETED: Stage.CHAMPION, Phase.ROLLED_BACK: Stage.ROLLED_BACK, Phase.ABORTED: Stage.REJECTED}

Cursor = tuple[str, int]
_START: Cursor = ("", 0)


class Evidences(Protocol):
    """Where blocks of evidence come from."""

    def evidence(self, model: str, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """Blocks after the cursor, and the cursor to come back with; nothing when nobody answers now."""
        ...


@dataclass(frozen=True)
class _Seen:
    """Evidence folded since the state was last saved."""

    revision: int
    evidence: Evidence
    cursor: Cursor
    saved_s: float


class Reconciler:
    """Drives all rollouts of a store. Everything it decides is in the store before it acts on it."""

    def __init__(self, store: Store, hosting: Hosting, evidences: Evidences, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._hosting = hosting
        self._evidences = evidences
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._pushed: dict[str, tuple[int, float]] = {}

    def tick(self) -> None:
        """One look at every model."""
        statuses = self._hosting.statuses()
        for record in self._store.models():
            try:
                spec = ModelSpec.model_validate_json(record.spec_json)
                self._reconcile(spec, statuses)
            except ConflictError as error:
                _log.info("model %s changed meanwhile, looks again: %s", record.name, error)
            except MlopsRayError as error:
                _log.warning("model %s: %s", record.name, error)

    def _reconcile(self, spec: ModelSpec, statuses: Mapping[str, AppStatus]) -> None:
        active = self._store.rollouts(spec.name, active_only=True)
        wanted: set[int] = set()
        for rollout in active:
            state = self._step(spec, rollout, statuses)
            wanted |= versions_wanted(rollout, state.phase)
        self._converge_apps(spec, wanted, statuses)
        route = self._store.route(spec.name)
        if route is not None:
            self._push(route)

    # -- one rollout ---------------------------------------------------------------------------------------------------

    def _step(self, spec: ModelSpec, rollout: RolloutRecord, statuses: Mapping[str, AppStatus]) -> RolloutState:
        state, cursor = load_state(rollout)
        seen = self._seen.get(rollout.id)
        if seen is not None and seen.revision == rollout.revision:
            state, cursor = replace(state, evidence=seen.evidence), seen.cursor
        state, cursor, fresh = self._with_evidence(spec, rollout, state, cursor)
        after = self._next(spec, rollout, state, statuses)
        now_s = self._clock()
        saved_s = seen.saved_s if seen is not None else now_s
        if after != state:
            self._save(rollout, after, cursor, now_s)
        elif fresh and now_s - saved_s >= _SAVE_EVIDENCE_S:
            self._save_evidence(rollout, state, cursor, now_s)
        else:
            self._seen[rollout.id] = _Seen(rollout.revision, state.evidence, cursor, saved_s)
        return after

    def _with_evidence(
        self, spec: ModelSpec, rollout: RolloutRecord, state: RolloutState, cursor: Cursor
    ) -> tuple[RolloutState, Cursor, bool]:
        if state.phase not in (Phase.CANARY, Phase.PAUSED):
            return state, cursor, False
        cursor, blocks = self._evidences.evidence(spec.name, rollout.version, cursor)
        evidence = state.evidence
        for block in blocks:
            evidence = fold(evidence, block, spec.rollout.analysis)
        return replace(state, evidence=evidence), cursor, bool(blocks)

    def _next(
        self, spec: ModelSpec, rollout: RolloutRecord, state: RolloutState, statuses: Mapping[str, AppStatus]
    ) -> RolloutState:
        now_s = self._clock()
        if rollout.previous is None and state.phase is Phase.STARTING:
            # The first champion has nobody to be compared with, and no user who could be hurt by a change.
            return moved(state, Phase.PROMOTING, now_s, "first version: nothing to compare with")
        return advance(state, self._observe(spec, rollout, state, statuses), spec.rollout, now_s)

    def _observe(
        self, spec: ModelSpec, rollout: RolloutRecord, state: RolloutState, statuses: Mapping[str, AppStatus]
    ) -> Observation:
        # A first version has no application of its own: it comes up as the front door.
        name = spec.name if rollout.previous is None else app_name(spec.name, rollout.version)
        app = statuses.get(name)
        applied = self._applied(spec, state)
        return Observation(
            approved=_approved(self._store.approvals(spec.name, rollout.version), spec.approval.required),
            canary_ready=app is not None and app.ready,
            canary_failed=app.failed if app is not None else None,
            promoted=bool(applied) and all(a.champion == rollout.version for a in applied),
            withdrawn=self._withdrawn(spec, rollout, applied),
        )

    def _applied(self, spec: ModelSpec, state: RolloutState) -> list[Applied]:
        """What the replicas hold, asked only where the answer matters."""
        if state.phase not in (Phase.PROMOTING, Phase.ROLLING_BACK):
            return []
        route = self._store.route(spec.name)
        return self._hosting.push(route) if route is not None and route.champion is not None else []

    def _withdrawn(self, spec: ModelSpec, rollout: RolloutRecord, applied: list[Applied]) -> bool:
        route = self._store.route(spec.name)
        if route is None or route.champion is None:
            return True
        if route.canary is not None or route.champion == rollout.version:
            return False
        return bool(applied) and all(a.canary is None and a.champion == route.champion for a in applied)

    # -- the store -----------------------------------------------------------------------------------------------------

    def _save(self, rollout: RolloutRecord, state: RolloutState, cursor: Cursor, now_s: float) -> None:
        """The new state, the route it asks for and the stage it gives the version, in one transaction."""
        mark = state.history[-1]
        payload = {
            "model": rollout.model,
            "version": rollout.version,
            "step": state.step,
            "share": state.share,
            "reason": mark.reason,
            "canary_requests": state.evidence.canary_requests,
        }
        route = desired_route(self._store.route(rollout.model), rollout, state, now_s)
        record = saved_state(rollout, state, cursor, now_s)
        event = Event(f"rollout.{state.phase.value.lower()}", rollout.id, payload, _ACTOR, now_s)
        with self._store.change(event) as change:
            change.put_rollout(record, expected_revision=rollout.revision)
            if route is not None:
                change.put_route(route)
            if state.phase in _STAGES:
                change.set_stage(rollout.model, rollout.version, _STAGES[state.phase])
        self._seen[rollout.id] = _Seen(rollout.revision + 1, state.evidence, cursor, now_s)
        _log.info(
            "rollout %s: %s, step %d, share %g: %s", rollout.id, state.phase, state.step, state.share, mark.reason
        )

    def _save_evidence(self, rollout: RolloutRecord, state: RolloutState, cursor: Cursor, now_s: float) -> None:
        evidence = state.evidence
        payload = {"canary_requests": evidence.canary_requests, "champion_requests": evidence.champion_requests}
        with self._store.change(Event("rollout.observed", rollout.id, payload, _ACTOR, now_s)) as change:
            change.put_rollout(saved_state(rollout, state, cursor, now_s), expected_revision=rollout.revision)
        self._seen[rollout.id] = _Seen(rollout.revision + 1, evidence, cursor, now_s)

    # -- the cluster ---------------------------------------------------------------------------------------------------

    def _converge_apps(self, spec: ModelSpec, wanted: set[int], statuses: Mapping[str, AppStatus]) -> None:
        route = self._store.route(spec.name)
        if route is not None and route.champion is not None and spec.name not in statuses:
            self._hosting.open_front(spec)
        names = {app_name(spec.name, version): version for version in wanted}
        for name, version in names.items():
            if name not in statuses:
                self._hosting.open_version(spec, version)
        prefix = app_name(spec.name, 0)[:-1]
        for name in statuses:
            if name.startswith(prefix) and name[len(prefix) :].isdigit() and name not in names:
                self._hosting.close(name)

    def _push(self, route: RouteRecord) -> None:
        """Push a new epoch at once, and every few seconds again for replicas that missed it."""
        if route.champion is None:
            return
        epoch, at_s = self._pushed.get(route.model, (-1, 0.0))
        now_s = self._clock()
        if epoch == route.epoch and now_s - at_s < _REPUSH_S:
            return
        if self._hosting.push(route):
            self._pushed[route.model] = (route.epoch, now_s)


def load_state(rollout: RolloutRecord) -> tuple[RolloutState, Cursor]:
    """The state of a rollout as it was saved, and where its evidence goes on."""
    cursor = rollout.state.get("cursor", _START)
    return RolloutState.from_json(rollout.state["rollout"]), (cursor[0], cursor[1])


def saved_state(rollout: RolloutRecord, state: RolloutState, cursor: Cursor, now_s: float) -> RolloutRecord:
    """The record that keeps `state`."""
    content: dict[str, Any] = {"rollout": state.to_json(), "cursor": list(cursor)}
    return replace(rollout, phase=state.phase.value, state=content, updated_s=now_s)


def _approved(approvals: list[ApprovalRecord], required: int) -> bool:
    if any(not approval.approved for approval in approvals):
        return False
    return len({approval.approver for approval in approvals}) >= required
