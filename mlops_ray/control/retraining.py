"""From causes to retraining jobs: one cause makes one trigger (another if its job failed), one trigger one Ray job."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, Protocol

from mlops_ray.control.causes import CauseFound, Seen, causes
from mlops_ray.control.guards import NewData
from mlops_ray.control.label_counts import LabelCounts
from mlops_ray.control.ledger import OUTCOME
from mlops_ray.control.loop_breaker import raise_breaker
from mlops_ray.control.sightings import Sightings
from mlops_ray.control.trigger_decision import backoff_s, decided, submission_id_of
from mlops_ray.spec import ModelSpec
from mlops_ray.store import Event, Store, TriggerRecord

__all__ = ["JobState", "Jobs", "Retraining", "submission_id_of"]

_log = logging.getLogger(__name__)
_ACTOR = "control"
_LOOK_EVERY_S = 2.0
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
    """Turns causes into retrainings, as the spec's triggers and guards say.

    The ledger of triggers is the truth: everything is written before it is done, under ids that are made from the
    cause, so that a duplicate, a replay or a process killed at any line starts nothing twice.
    """

    def __init__(
        self, store: Store, jobs: Jobs, *, clock: Callable[[], float], counts: LabelCounts | None = None
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock
        self._sightings = Sightings(store, counts, clock)
        self._looked: dict[str, tuple[int, float]] = {}

    def tick(self, spec: ModelSpec) -> None:
        """One look at a model's causes and triggers."""
        looks = self._looks(spec.name)
        if looks and spec.retrain.by_itself:
            self._take_causes(spec)
            raise_breaker(self._store, spec, self._clock())
        for trigger in self._store.triggers(spec.name, state="submitted"):
            self._follow(spec, trigger)
        pending = self._store.triggers(spec.name, state="pending") if looks else []
        new = self._sightings.new_data(spec) if pending else NewData()
        for trigger in pending:
            self._consider(spec, trigger, new)

    def _looks(self, model: str) -> bool:
        """Whether anything was written since the last look, or some time has gone by: versions are dear to read."""
        newest, now_s = self._store.events(limit=1), self._clock()
        seq = newest[-1].seq if newest else 0
        before, at_s = self._looked.get(model, (-1, 0.0))
        if seq == before and now_s - at_s < _LOOK_EVERY_S:
            return False
        self._looked[model] = seq, now_s
        return True

    def _take_causes(self, spec: ModelSpec) -> None:
        seen = self._sightings.causes(spec)
        for cause in causes(spec, seen):
            trigger = self._trigger(spec, cause, seen)
            if trigger is not None:
                self._insert(trigger)

    def _trigger(self, spec: ModelSpec, cause: CauseFound, seen: Seen) -> TriggerRecord | None:
        """The next attempt at a cause; None where one is under way, has come to something, or there were enough."""
        attempts = [t for t in seen.triggers if cause.key in (t.key, t.id)]
        # A job that failed may have met a passing fault: guards say when the next attempt may start.
        if any(t.state != "failed" for t in attempts) or len(attempts) >= spec.retrain.guards.max_attempts:
            return None
        now_s, number = self._clock(), len(attempts) + 1
        failed_s = max((t.updated_s for t in attempts), default=0.0)
        return TriggerRecord(
            id=cause.key if number == 1 else f"{cause.key}-{number}",
            model=spec.name,
            cause=cause.cause,
            evidence=cause.evidence,
            state="pending",
            submission_id=None,
            reason="",
            created_s=now_s,
            updated_s=now_s,
            key=cause.key,
            attempt=number,
            next_s=failed_s + backoff_s(spec.retrain.guards.retry_s, number - 1) if attempts else 0.0,
        )

    def _insert(self, trigger: TriggerRecord) -> None:
        payload = {"model": trigger.model, "cause": trigger.cause, "key": trigger.key, "attempt": trigger.attempt}
        with self._store.change(Event("trigger.raised", trigger.id, payload, _ACTOR, trigger.created_s)) as change:
            if not change.insert_trigger(trigger):
                change.skip()

    def _consider(self, spec: ModelSpec, trigger: TriggerRecord, new: NewData) -> None:
        after = decided(self._store, spec, trigger, new, self._clock())
        # Written before the job is submitted: after a crash in between, `_follow` submits it again under the same id.
        if after is not None and self._put(spec, trigger, after, new) and after.state == "submitted":
            self._submit(spec, after)

    def _follow(self, spec: ModelSpec, trigger: TriggerRecord) -> None:
        assert trigger.submission_id is not None, "a submitted trigger has its submission id"
        state, words = self._jobs.state(trigger.submission_id)
        now_s = self._clock()
        if state == "unknown" and OUTCOME in trigger.evidence:
            # The job ended and said so; only Ray's record of it is lost.
            reason = str(trigger.evidence[OUTCOME])
            self._put(spec, trigger, replace(trigger, state="succeeded", reason=reason, updated_s=now_s))
        elif state == "unknown" and trigger.cause == "manual":
            # A person's own process: it would have said what came of it.
            words = "its process ended before it said what came of it"
            self._put(spec, trigger, replace(trigger, state="failed", reason=words, updated_s=now_s))
        elif state == "unknown" and now_s >= trigger.next_s:
            self._submit(spec, trigger)
        elif state == "running" and trigger.submissions:
            self._put(spec, trigger, replace(trigger, submissions=0, next_s=0.0, reason="running", updated_s=now_s))
        elif state in ("succeeded", "failed"):
            reason = words or str(trigger.evidence.get(OUTCOME, ""))
            self._put(spec, trigger, replace(trigger, state=state, reason=reason, updated_s=now_s))

    def _submit(self, spec: ModelSpec, trigger: TriggerRecord) -> None:
        assert trigger.submission_id is not None, "a submitted trigger has its submission id"
        try:
            self._jobs.submit(trigger.submission_id, model=trigger.model, trigger=trigger.id)
        except Exception as error:  # noqa: BLE001 - the job API fails in many ways, and each is a reason to ask later
            failures, now_s = trigger.submissions + 1, self._clock()
            next_s = now_s + backoff_s(spec.retrain.guards.retry_s, failures)
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            reason = f"submission failed {failures} times, next in {next_s - now_s:g} s: {first_line}"
            _log.warning("trigger %s: %s", trigger.id, reason)
            self._put(
                spec,
                trigger,
                replace(trigger, submissions=failures, next_s=next_s, reason=reason, updated_s=now_s),
            )

    def _put(self, spec: ModelSpec, before: TriggerRecord, after: TriggerRecord, new: NewData | None = None) -> bool:
        """Write a decision, unless somebody else has moved the trigger or made the decision wrong meanwhile."""
        payload = {
            "model": after.model,
            "cause": after.cause,
            "submission_id": after.submission_id,
            "reason": after.reason,
        }
        event = Event(_event_of(before, after), after.id, payload, _ACTOR, after.updated_s)
        with self._store.change(event) as change:
            moved = change.trigger(before.id) != before
            if moved or (new is not None and decided(change, spec, before, new, after.updated_s) != after):
                change.skip()
                return False
            change.put_trigger(after)
        return True


def _event_of(before: TriggerRecord, after: TriggerRecord) -> str:
    if after.state == "pending":
        return "trigger.held"
    if before.state == after.state == "submitted":
        return "trigger.submission_failed" if after.submissions else "trigger.resubmitted"
    return f"trigger.{after.state}"
