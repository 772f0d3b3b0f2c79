"""What people, jobs and new code write into the ledger of triggers; the loop writes the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

from mlops_ray.control.guards import STARTED_S, Hold, NewData, holds, remarks
from mlops_ray.control.outcomes_in_a_row import VERSION
from mlops_ray.control.trigger_decision import situation_of
from mlops_ray.errors import ConflictError
from mlops_ray.spec import ModelSpec
from mlops_ray.store import Change, Event, Store, TriggerRecord

__all__ = [
    "FORCED",
    "OUTCOME",
    "WARNINGS",
    "begin_manual",
    "end_manual",
    "manual_trigger",
    "note_on_trigger",
    "raise_code",
    "warnings_on",
]

OUTCOME = "outcome"
"""Key in a trigger's evidence: what came of its job, in words; there once the job is done."""
WARNINGS = "warnings"
"""Key in the evidence of what a person asked for: guards that would have held back a retraining by itself, as JSON."""
FORCED = "forced"
"""Key in the same: whether the person went past an open data_quality alert."""
_NEEDS_FORCE = "data_quality"


def begin_manual(
    store: Store, spec: ModelSpec, *, key: str, submission_id: str, by: str, now_s: float, force: bool = False
) -> tuple[TriggerRecord, bool]:
    """Write that a person retrains a model in a process of their own; the trigger, and whether it is new.

    A key that is known starts nothing: the trigger is then the earlier one, as it is.

    Raises:
        ConflictError: as `manual_trigger` raises.
    """
    look = partial(manual_trigger, spec=spec, key=key, submission_id=submission_id, by=by, now_s=now_s, force=force)
    while True:
        trigger, new = found = look(store)
        if not new:
            return found
        payload = {"model": spec.name, "cause": "manual", "key": trigger.id, "submission_id": submission_id}
        payload |= {name: trigger.evidence[name] for name in (WARNINGS, FORCED)}
        with store.change(Event("trigger.submitted", trigger.id, payload, by, now_s)) as change:
            # Once more where nobody else is writing; what has changed since is looked at again.
            if found == look(change):
                change.insert_trigger(trigger)
                return found
            change.skip()


def manual_trigger(
    reads: Store | Change, spec: ModelSpec, *, key: str, submission_id: str, by: str, now_s: float, force: bool
) -> tuple[TriggerRecord, bool]:
    """The trigger of what a person asks for, with what the guards say, and whether it is new; nothing is written.

    Raises:
        ConflictError: another retraining of the model is running, or a rollout under way; or a data_quality alert is
            open and `force` not given.
    """
    id = f"{spec.name}-manual-{key}"
    known = next((t for t in reads.triggers(spec.name) if t.id == id), None)
    if known is not None:
        return known, False
    trigger = TriggerRecord(
        id=id,
        model=spec.name,
        cause="manual",
        evidence={STARTED_S: now_s, "by": by, "message": f"{by} asked for it"},
        state="submitted",
        submission_id=submission_id,
        reason="begun",
        created_s=now_s,
        updated_s=now_s,
        key=id,
    )
    situation, guards = situation_of(reads, spec, trigger, NewData()), spec.retrain.guards
    told = remarks(trigger, situation, guards, now_s=now_s)
    broken = [hold for hold in told if hold.guard == _NEEDS_FORCE]
    refused = [*holds(trigger, situation, guards, now_s=now_s), *([] if force else broken)]
    if refused:
        raise ConflictError(_refusal(spec.name, refused))
    noted = {WARNINGS: [asdict(hold) for hold in told], FORCED: bool(broken)}
    return replace(trigger, evidence={**trigger.evidence, **noted}), True


def warnings_on(trigger: TriggerRecord) -> tuple[Hold, ...]:
    """What the guards had to say when a person asked for it."""
    return tuple(Hold(**hold) for hold in trigger.evidence.get(WARNINGS, ()))


def _refusal(model: str, refused: Sequence[Hold]) -> str:
    reasons = "; ".join(hold.reason for hold in refused)
    if all(hold.guard == _NEEDS_FORCE for hold in refused):
        return f"{model!r} is not retrained on broken data: {reasons}; repair it, or give --force to train all the same"
    return f"{model!r} cannot be retrained now: {reasons}; wait for its end"


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
