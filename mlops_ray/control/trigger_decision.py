"""What a pending trigger becomes now; asked outside of a transaction, and again inside of the one that writes it."""

import hashlib
from dataclasses import replace

from mlops_ray.control.causes import ALERT, DATASET, newer_cause, trained_up_to
from mlops_ray.control.guards import STARTED_S, NewData, Situation, holds, superseded_by
from mlops_ray.control.window_table import version_number
from mlops_ray.spec import ModelSpec
from mlops_ray.store import Change, Store, TriggerRecord

__all__ = ["backoff_s", "decided", "situation_of", "submission_id_of"]

_LONGEST_S = 3600.0


def decided(
    reads: Store | Change, spec: ModelSpec, trigger: TriggerRecord, new: NewData, now_s: float
) -> TriggerRecord | None:
    """The trigger refused, submitted, or held back by another guard than before; None while it waits for the same."""
    situation = situation_of(reads, spec, trigger, new)
    refusal = _refusal(reads, spec, trigger, situation)
    if refusal is not None:
        return replace(trigger, state="refused", guard="", reason=refusal, updated_s=now_s)
    found = holds(trigger, situation, spec.retrain.guards, now_s=now_s)
    if found:
        if trigger.guard == found[0].guard:
            return None
        return replace(trigger, guard=found[0].guard, reason=found[0].reason, updated_s=now_s)
    return replace(
        trigger,
        state="submitted",
        submission_id=submission_id_of(trigger.id),
        evidence={**trigger.evidence, STARTED_S: now_s},
        guard="",
        reason="guards passed",
        next_s=0.0,
        updated_s=now_s,
    )


def situation_of(reads: Store | Change, spec: ModelSpec, trigger: TriggerRecord, new: NewData) -> Situation:
    """What the guards look at for one trigger."""
    train = spec.train
    return Situation(
        others=[t for t in reads.triggers(spec.name) if t.id != trigger.id],
        rollout_active=bool(reads.rollouts(spec.name, active_only=True)),
        alerts=reads.alerts(spec.name, state="open"),
        versions=reads.model_versions(spec.name),
        loop=reads.loop(spec.name),
        new=new,
        devices=(train.resources.gpus or train.resources.cpus) * train.workers * train.max_concurrent,
    )


def submission_id_of(trigger_id: str) -> str:
    """The job id of a trigger: the same for the same cause, whoever asks and however often."""
    return f"retrain-{hashlib.blake2b(trigger_id.encode(), digest_size=8).hexdigest()}"


def backoff_s(first_s: float, failures: int) -> float:
    """How long to wait after so many failures in a row: doubled with each, an hour at most.

    >>> [backoff_s(30.0, failures) for failures in (1, 2, 3, 20)]
    [30.0, 60.0, 120.0, 3600.0]
    """
    return float(min(first_s * 2.0 ** min(failures - 1, 30), max(_LONGEST_S, first_s)))


def _refusal(reads: Store | Change, spec: ModelSpec, trigger: TriggerRecord, situation: Situation) -> str | None:
    """Why there is nothing to do any more."""
    alert, dataset = trigger.evidence.get(ALERT), trigger.evidence.get(DATASET)
    if alert is not None and reads.alert(alert).state == "resolved":
        return f"alert {alert} is resolved"
    number = version_number(dataset, spec.table) if dataset is not None else None
    if number is not None and number <= trained_up_to(situation.versions, spec.table):
        return f"{dataset} was trained on since"
    newer = superseded_by(trigger, situation.others)
    if newer is not None:
        return f"retraining {newer.id} was started since"
    later = newer_cause(trigger, situation.others)
    return f"{later.id} came after it" if later is not None else None
