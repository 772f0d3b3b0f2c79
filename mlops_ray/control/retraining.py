"""From alerts to retraining jobs: one cause makes one trigger (another if its job failed), one trigger one Ray job."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, Protocol

from mlops_ray.control.guards import STARTED_S, superseded_by, waits_for
from mlops_ray.spec import ModelSpec
from mlops_ray.store import AlertRecord, Change, Event, Store, TriggerRecord

__all__ = ["JobState", "Jobs", "Retraining", "submission_id_of"]

_log = logging.getLogger(__name__)
_ACTOR = "control"
_ATTEMPTS = 3
JobState = Literal["unknown", "running", "succeeded", "failed"]


class Jobs(Protocol):
    """Ray's job API as far as retraining needs it."""

    def submit(self, submission_id: str, *, model: str, trigger: str) -> None:
        """Start a retraining; a submission id that exists already starts nothing."""
        ...

    def state(self, submission_id: str) -> tuple[JobState, str]:
        """How a job is doing, and its last words."""
        ...


class Retraining:
    """Turns open alerts into retrainings, as the spec's triggers and guards say."""

    def __init__(self, store: Store, jobs: Jobs, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock

    def tick(self, spec: ModelSpec) -> None:
        """One look at a model's alerts and triggers."""
        self._take_causes(spec)
        for trigger in self._store.triggers(spec.name, state="submitted"):
            self._follow(spec, trigger)
        for trigger in self._store.triggers(spec.name, state="pending"):
            self._consider(spec, trigger)

    def _take_causes(self, spec: ModelSpec) -> None:
        if not spec.retrain.triggers:
            return
        triggers = self._store.triggers(spec.name)
        for alert in self._store.alerts(spec.name, state="open"):
            warned = alert.kind == "concept_drift" and alert.severity != "critical"
            if alert.kind not in spec.retrain.triggers or warned:
                continue
            states = [t.state for t in triggers if t.evidence["alert"] == alert.id]
            # A job that failed may have met a passing fault: guards say when the next attempt may start.
            if all(state == "failed" for state in states) and len(states) < _ATTEMPTS:
                self._insert(alert, attempt=len(states) + 1)

    def _insert(self, alert: AlertRecord, *, attempt: int) -> None:
        now_s = self._clock()
        trigger = TriggerRecord(
            id=_trigger_id(alert, attempt),
            model=alert.model,
            cause=alert.kind,
            evidence={"alert": alert.id, "message": alert.message, "features": list(alert.features)},
            state="pending",
            submission_id=None,
            reason="",
            created_s=now_s,
            updated_s=now_s,
        )
        payload = {"model": alert.model, "cause": alert.kind, "alert": alert.id}
        with self._store.change(Event("trigger.raised", trigger.id, payload, _ACTOR, now_s)) as change:
            if not change.insert_trigger(trigger):
                change.skip()

    def _consider(self, spec: ModelSpec, trigger: TriggerRecord) -> None:
        now_s = self._clock()
        decided = _decided(self._store, spec, trigger, now_s)
        # Written before the job is submitted: after a crash in between, `_follow` submits it again under the same id.
        if decided is None or not self._put(spec, trigger, decided):
            return
        if decided.submission_id is not None:
            self._jobs.submit(decided.submission_id, model=spec.name, trigger=trigger.id)

    def _follow(self, spec: ModelSpec, trigger: TriggerRecord) -> None:
        assert trigger.submission_id is not None, "a submitted trigger has its submission id"
        state, words = self._jobs.state(trigger.submission_id)
        if state == "unknown":
            self._jobs.submit(trigger.submission_id, model=trigger.model, trigger=trigger.id)
        elif state in ("succeeded", "failed"):
            self._put(spec, trigger, replace(trigger, state=state, reason=words, updated_s=self._clock()))

    def _put(self, spec: ModelSpec, before: TriggerRecord, after: TriggerRecord) -> bool:
        """Write a decision, unless somebody else has moved the trigger or made the decision wrong meanwhile."""
        payload = {
            "model": after.model,
            "cause": after.cause,
            "submission_id": after.submission_id,
            "reason": after.reason,
        }
        event = Event(f"trigger.{after.state}", after.id, payload, _ACTOR, after.updated_s)
        with self._store.change(event) as change:
            moved = change.trigger(before.id) != before
            if moved or (before.state == "pending" and _decided(change, spec, before, after.updated_s) != after):
                change.skip()
                return False
            change.put_trigger(after)
        return True


def _decided(reads: Store | Change, spec: ModelSpec, trigger: TriggerRecord, now_s: float) -> TriggerRecord | None:
    """What a pending trigger becomes now; None while it has to wait."""
    alert = trigger.evidence["alert"]
    if reads.alert(alert).state == "resolved":
        return replace(trigger, state="refused", reason=f"alert {alert} is resolved", updated_s=now_s)
    others = [t for t in reads.triggers(spec.name) if t.id != trigger.id]
    newer = superseded_by(trigger, others)
    if newer is not None:
        return replace(trigger, state="refused", reason=f"retraining {newer.id} was started since", updated_s=now_s)
    active = bool(reads.rollouts(spec.name, active_only=True))
    reason = waits_for(others, spec.retrain.guards, rollout_active=active, now_s=now_s)
    if reason is not None:
        _log.debug("trigger %s waits: %s", trigger.id, reason)
        return None
    return replace(
        trigger,
        state="submitted",
        submission_id=submission_id_of(trigger.id),
        evidence={**trigger.evidence, STARTED_S: now_s},
        reason="guards passed",
        updated_s=now_s,
    )


def submission_id_of(trigger_id: str) -> str:
    """The job id of a trigger: the same for the same cause, whoever asks and however often."""
    return f"retrain-{hashlib.blake2b(trigger_id.encode(), digest_size=8).hexdigest()}"


def _trigger_id(alert: AlertRecord, attempt: int) -> str:
    return f"{alert.id}-retrain" if attempt == 1 else f"{alert.id}-retrain-{attempt}"
