"""Compares what should be with what is, rollout by rollout, and does the next thing; may be killed at any line."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mlops_ray.control.approvals import standing_approvals
from mlops_ray.control.desired import versions_kept, versions_wanted
from mlops_ray.control.evidence import Evidences, Gathering
from mlops_ray.control.failures import Failures
from mlops_ray.control.parity import ParityCheck
from mlops_ray.control.rollout_record import change_rollout, load_state
from mlops_ray.errors import ClusterError, ConflictError, MlopsRayError
from mlops_ray.monitor import Cursor
from mlops_ray.prometheus import Metrics
from mlops_ray.rollout import Evidence, Observation, Phase, RolloutState, advance, moved
from mlops_ray.serve import Applied, AppStatus, Hosting, app_name
from mlops_ray.spec import ModelSpec
from mlops_ray.store import Event, RolloutRecord, RouteRecord, Store

__all__ = ["Reconciler", "Sources"]

_log = logging.getLogger(__name__)
_ACTOR = "control"
_SAVE_EVIDENCE_S = 10.0
_REPUSH_S = 5.0
_GONE_S = 60.0


@dataclass(frozen=True)
class Sources:
    """Whom the reconciler asks about a version under delivery."""

    evidences: Evidences
    metrics: Metrics
    parity: ParityCheck


@dataclass(frozen=True)
class _Seen:
    """Evidence folded since the state was last saved."""

    revision: int
    evidence: Evidence
    cursor: Cursor
    saved_s: float


class Reconciler:
    """Drives all rollouts of a store. Everything it decides is in the store before it acts on it."""

    def __init__(self, store: Store, hosting: Hosting, sources: Sources, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._hosting = hosting
        self._parity = sources.parity
        self._gathering = Gathering(sources.evidences, sources.metrics, clock=clock)
        self._failures = Failures(hosting, clock=clock)
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._pushed: dict[str, tuple[int, float]] = {}
        self._probed: dict[str, str | None] = {}
        self._gone_since: dict[str, float] = {}
        self._renewed: dict[str, tuple[int, str]] = {}

    def tick(self, beat: Callable[[], None] = lambda: None) -> None:
        """One look at every model; what goes wrong with one does not keep the others waiting.

        `beat` is called before each of them: a sign of life for whoever watches.
        """
        statuses = self._hosting.statuses()
        for record in self._store.models():
            beat()
            try:
                self._reconcile(ModelSpec.model_validate_json(record.spec_json), statuses)
            except ConflictError as error:
                _log.info("model %s changed meanwhile, looks again: %s", record.name, error)
            except MlopsRayError as error:
                _log.warning("model %s: %s", record.name, error)
            except Exception:  # noqa: BLE001 - the border of one model to the others
                _log.exception("model %s: its tick failed; goes on", record.name)

    def _reconcile(self, spec: ModelSpec, statuses: Mapping[str, AppStatus]) -> None:
        active = self._store.rollouts(spec.name, active_only=True)
        wanted: set[int] = set()
        kept: set[int] = set()
        for rollout in active:
            state = self._step(spec, rollout, statuses)
            wanted |= versions_wanted(rollout, state.phase)
            kept |= versions_kept(rollout, state.phase)
            if state.phase.ended:
                self._forget(rollout)
        route = self._store.route(spec.name)
        if route is not None and spec.name in statuses:
            self._push(spec, route, statuses[spec.name])
        self._converge_front(spec, route, statuses)
        self._converge_versions(spec, wanted, kept, statuses)

    # -- one rollout ---------------------------------------------------------------------------------------------------

    def _step(self, spec: ModelSpec, rollout: RolloutRecord, statuses: Mapping[str, AppStatus]) -> RolloutState:
        saved, cursor = load_state(rollout)
        state, saved_s = saved, self._clock()
        seen = self._seen.get(rollout.id)
        if seen is not None and seen.revision == rollout.revision:
            state, cursor, saved_s = replace(state, evidence=seen.evidence), seen.cursor, seen.saved_s
        if state.phase in (Phase.CANARY, Phase.PAUSED):
            evidence, cursor = self._gathering.gather(spec, rollout, state.evidence, cursor)
            state = replace(state, evidence=evidence)
        after = self._next(spec, rollout, state, statuses)
        now_s = self._clock()
        if after != state:
            self._save(rollout, after, cursor, now_s)
        elif state.evidence != saved.evidence and now_s - saved_s >= _SAVE_EVIDENCE_S:
            self._save_evidence(rollout, state, cursor, now_s)
        else:
            self._seen[rollout.id] = _Seen(rollout.revision, state.evidence, cursor, saved_s)
        return after

    def _next(
        self, spec: ModelSpec, rollout: RolloutRecord, state: RolloutState, statuses: Mapping[str, AppStatus]
    ) -> RolloutState:
        now_s = self._clock()
        if rollout.previous is None and state.phase is Phase.STARTING:
            if spec.name in statuses:
                return state  # the front door of an earlier attempt: once it is gone, this one's is opened
            # The first champion has nobody to be compared with, and no user who could be hurt by a change.
            return moved(state, Phase.PROMOTING, now_s, "first version: nothing to compare with")
        seen = self._observe(spec, rollout, state, statuses)
        after = advance(state, seen, spec.rollout, now_s)
        # No step forward for a canary that is not there at the moment, however good it was before.
        forward = state.phase is Phase.CANARY and after.phase in (Phase.CANARY, Phase.PROMOTING) and after != state
        if not forward or seen.canary_ready:
            self._gone_since.pop(rollout.id, None)
            return after
        since_s = self._gone_since.setdefault(rollout.id, now_s)
        waits_s = max(spec.rollout.ready_timeout_s, _GONE_S)
        if now_s - since_s <= waits_s:
            return state
        reason = f"the canary has not been ready for {waits_s:g} s"
        return moved(state, Phase.ROLLING_BACK, now_s, reason)

    def _observe(
        self, spec: ModelSpec, rollout: RolloutRecord, state: RolloutState, statuses: Mapping[str, AppStatus]
    ) -> Observation:
        # A first version has no application of its own: it comes up as the front door.
        first = rollout.previous is None
        app = statuses.get(spec.name if first else app_name(spec.name, rollout.version))
        route = self._store.route(spec.name)
        applied = self._applied(route, state, statuses)
        ready, failed = app is not None and app.ready, self._failures.of(spec, rollout, state, app)
        if app is not None and app.ready and failed is None and state.phase in (Phase.STARTING, Phase.PROMOTING):
            try:
                failed = self._differs(spec, rollout, app)
            except ClusterError as error:
                _log.info("rollout %s: %s", rollout.id, error)
                ready = False
        return Observation(
            approved=state.phase is Phase.WAITING and self._approved(spec, rollout),
            canary_ready=ready,
            canary_failed=failed,
            promoted=_all_hold(rollout.version, applied) and (not first or (ready and failed is None)),
            withdrawn=_withdrawn(route, rollout, applied) or self._given_up(spec, state),
        )

    def _approved(self, spec: ModelSpec, rollout: RolloutRecord) -> bool:
        approvals = self._store.approvals(spec.name, rollout.version)
        standing = standing_approvals(approvals, self._store.rollouts(spec.name), versions={rollout.version})
        return len(standing) >= spec.approval.required

    def _differs(self, spec: ModelSpec, rollout: RolloutRecord, app: AppStatus) -> str | None:
        """What the parity check found, asked once for each rollout; an answer that does not come is asked for again.

        Raises:
            ClusterError: nobody answers yet.
        """
        if rollout.id not in self._probed and app.ready:
            version = self._store.model_version(spec.name, rollout.version)
            self._probed[rollout.id] = self._parity.difference(spec, version)
        return self._probed.get(rollout.id)

    def _given_up(self, spec: ModelSpec, state: RolloutState) -> bool:
        """A replica that cannot be told reads the route from the store by itself: nobody waits for it for ever."""
        waited_s = self._clock() - state.phase_since_s
        return state.phase is Phase.ROLLING_BACK and waited_s > spec.rollout.ready_timeout_s

    def _applied(
        self, route: RouteRecord | None, state: RolloutState, statuses: Mapping[str, AppStatus]
    ) -> list[Applied]:
        """What the replicas hold, asked only where the answer matters."""
        if state.phase not in (Phase.PROMOTING, Phase.ROLLING_BACK):
            return []
        if route is None or route.champion is None or route.model not in statuses:
            return []
        return self._hosting.push(route)

    # -- the store -----------------------------------------------------------------------------------------------------

    def _save(self, rollout: RolloutRecord, state: RolloutState, cursor: Cursor, now_s: float) -> None:
        mark = state.history[-1]
        payload = {
            "model": rollout.model,
            "version": rollout.version,
            "step": state.step,
            "share": state.share,
            "reason": mark.reason,
            "canary_requests": state.evidence.canary_requests,
        }
        event = Event(f"rollout.{state.phase.value.lower()}", rollout.id, payload, _ACTOR, now_s)
        with self._store.change(event) as change:
            stored = change_rollout(change, rollout, state, cursor, now_s)
        self._seen[rollout.id] = _Seen(stored.revision, state.evidence, cursor, now_s)
        _log.info(
            "rollout %s: %s, step %d, share %g: %s", rollout.id, state.phase, state.step, state.share, mark.reason
        )

    def _save_evidence(self, rollout: RolloutRecord, state: RolloutState, cursor: Cursor, now_s: float) -> None:
        evidence = state.evidence
        payload = {"canary_requests": evidence.canary_requests, "champion_requests": evidence.champion_requests}
        with self._store.change(Event("rollout.observed", rollout.id, payload, _ACTOR, now_s)) as change:
            stored = change_rollout(change, rollout, state, cursor, now_s)
        self._seen[rollout.id] = _Seen(stored.revision, evidence, cursor, now_s)

    # -- the cluster ---------------------------------------------------------------------------------------------------

    def _converge_front(self, spec: ModelSpec, route: RouteRecord | None, statuses: Mapping[str, AppStatus]) -> None:
        has_champion = route is not None and route.champion is not None
        if has_champion and spec.name not in statuses:
            self._hosting.open_front(spec)
        elif not has_champion and spec.name in statuses:
            self._hosting.close(spec.name)

    def _converge_versions(
        self, spec: ModelSpec, wanted: set[int], kept: set[int], statuses: Mapping[str, AppStatus]
    ) -> None:
        for version in sorted(wanted):
            if app_name(spec.name, version) not in statuses:
                self._hosting.open_version(spec, version)
        prefix = app_name(spec.name, 0)[:-1]
        for name in statuses:
            number = name.removeprefix(prefix)
            if name.startswith(prefix) and number.isdigit() and int(number) not in kept:
                self._hosting.close(name)

    def _push(self, spec: ModelSpec, route: RouteRecord, front: AppStatus) -> None:
        """Push a new epoch at once, and every few seconds again for replicas that missed it."""
        if route.champion is None:
            return
        epoch, at_s = self._pushed.get(route.model, (-1, 0.0))
        now_s = self._clock()
        if epoch == route.epoch and now_s - at_s < _REPUSH_S:
            return
        applied = self._hosting.push(route)
        if applied:
            self._pushed[route.model] = (route.epoch, now_s)
        if applied or front.failed is not None:
            self._renew(spec, route, front, applied)

    def _renew(self, spec: ModelSpec, route: RouteRecord, front: AppStatus, applied: list[Applied]) -> None:
        """Replace replicas, new ones first, that were started with another `serve` section, or that are not to load a
        champion beside the one they hold."""
        stale = any(a.front_digest != spec.front_digest for a in applied)
        stale |= spec.rollout.promotion == "rolling" and any(a.champion != route.champion for a in applied)
        # Serve leaves an update that failed as it is until something else is asked for; so does one nobody answers in.
        stale |= front.failed is not None
        target = (route.epoch, spec.front_digest)
        if stale and self._renewed.get(spec.name) != target:
            self._hosting.renew_front(spec)
            self._renewed[spec.name] = target

    def _forget(self, rollout: RolloutRecord) -> None:
        self._seen.pop(rollout.id, None)
        self._probed.pop(rollout.id, None)
        self._gone_since.pop(rollout.id, None)
        self._failures.forget(rollout)
        self._gathering.forget(rollout)


def _all_hold(version: int, applied: list[Applied]) -> bool:
    return bool(applied) and all(a.champion == version for a in applied)


def _withdrawn(route: RouteRecord | None, rollout: RolloutRecord, applied: list[Applied]) -> bool:
    if route is None or route.champion is None:
        return True
    if rollout.version in (route.canary, route.champion):
        return False
    return bool(applied) and all(a.canary is None and a.champion == route.champion for a in applied)
