"""What people, jobs and new code write into the ledger of triggers; the loop writes the rest."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from mlops_ray.control.guards import STARTED_S
from mlops_ray.control.outcomes_in_a_row import VERSION
from mlops_ray.errors import ConflictError
from mlops_ray.spec import ModelSpec
from mlops_ray.store import Change, Event, Store, TriggerRecord

__all__ = ["OUTCOME", "begin_manual", "end_manual", "note_on_trigger", "raise_code"]

OUTCOME = "outcome"
"""Key in a trigger's evidence: what came of its job, in words; there once the job is done."""


def begin_manual(
    store: Store, model: str, *, key: str, submission_id: str, by: str, now_s: float
) -> tuple[TriggerRecord, bool]:
    """Write that a person retrains a model in a process of their own; the trigger, and whether it is new.

    A key that is known starts nothing: the trigger is then the earlier one, as it is.

    Raises:
        ConflictError: another retraining of the model is running.
    """
    id = f"{model}-manual-{key}"
    trigger = TriggerRecord(
        id=id,
        model=model,
        cause="manual",
        evidence={STARTED_S: now_s, "by": by, "message": f"{by} asked for it"},
        state="submitted",
        submission_id=submission_id,
        reason="begun",
        created_s=now_s,
        updated_s=now_s,
        key=id,
    )
    payload = {"model": model, "cause": "manual", "key": id, "submission_id": submission_id}
    with store.change(Event("trigger.submitted", id, payload, by, now_s)) as change:
        known = next((t for t in change.triggers(model) if t.id == id), None)
        if known is not None:
            change.skip()
            return known, False
        running = change.triggers(model, state="submitted")
        if running:
            raise ConflictError(
                f"retraining {running[0].id} of {model!r} is running as job {running[0].submission_id}; wait"
            )
        change.insert_trigger(trigger)
    return trigger, True


def end_manual(store: Store, id: str, state: Literal["succeeded", "failed"], reason: str, *, now_s: float) -> None:
    """Write what became of it, unless the loop took it for dead already."""
    known = store.trigger(id)
    payload = {"model": known.model, "cause": known.cause, "submission_id": known.submission_id, "reason": reason}
    by = str(known.evidence.get("by", "control"))
    with store.change(Event(f"trigger.{state}", id, payload, by, now_s)) as change:
        found = change.trigger(id)
        if found.state != "submitted":
            change.skip()
            return
        change.put_trigger(replace(found, state=state, reason=reason, updated_s=now_s))


def note_on_trigger(
    store: Store,
    id: str,
    *,
    actor: str,
    now_s: float,
    version: int | None = None,
    dataset: str | None = None,
    outcome: str | None = None,
) -> None:
    """Keep how far the job of a trigger has come, so that the same job begun again goes on from there."""
    told = {VERSION: version, "trained_on": dataset, OUTCOME: outcome}
    news = {name: value for name, value in told.items() if value is not None}
    with store.change(Event("trigger.noted", id, news, actor, now_s)) as change:
        found = change.trigger(id)
        if all(found.evidence.get(name) == value for name, value in news.items()):
            change.skip()
            return
        # The loop compares all of a trigger with what it saw: a note is a change like any other.
        change.put_trigger(replace(found, evidence={**found.evidence, **news}))


def raise_code(store: Store, spec: ModelSpec, code: Mapping[str, Any], *, actor: str, now_s: float) -> bool:
    """Raise a trigger if the spec asks for it and no version was made by this code yet; whether one was raised.

    `code` is a code version as JSON: it is another one when the commit, the lock file or the changes since differ.
    """
    if "code" not in spec.retrain.triggers or store.champion(spec.name) is None:
        return False
    name = "-".join(str(code.get(part) or "")[:12] for part in ("sha", "lock_digest", "diff_digest")).strip("-")
    id = f"{spec.name}-code-{name}"
    message = f"code {code.get('sha') or 'outside of git'}, lock {str(code.get('lock_digest'))[:12]}"
    trigger = TriggerRecord(
        id=id,
        model=spec.name,
        cause="code",
        evidence={"code": dict(code), "message": message},
        state="pending",
        submission_id=None,
        reason="",
        created_s=now_s,
        updated_s=now_s,
        key=id,
    )
    payload = {"model": spec.name, "cause": "code", "key": id, "attempt": 1}
    with store.change(Event("trigger.raised", id, payload, actor, now_s)) as change:
        if _is_trained(change, spec.name, code) or not change.insert_trigger(trigger):
            change.skip()
            return False
    return True


def _is_trained(change: Change, model: str, code: Mapping[str, Any]) -> bool:
    parts = ("sha", "lock_digest", "diff_digest")
    return any(all(v.code.get(p) == code.get(p) for p in parts) for v in change.model_versions(model))
