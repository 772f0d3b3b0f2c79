"""Where retrainings come to nothing again and again, people are told; and they stop the loop, or let it go on."""

from dataclasses import replace

from mlops_ray.alerting import routes_for
from mlops_ray.control.outcomes_in_a_row import rejected_in_a_row
from mlops_ray.errors import ConflictError, NotFoundError
from mlops_ray.monitor import AlertOutbox
from mlops_ray.spec import ModelSpec
from mlops_ray.store import AlertRecord, Change, Event, LoopRecord, ModelRecord, Store

__all__ = ["pause_loop", "raise_breaker", "resume_loop"]

_ACTOR = "control"
_BREAKER = "loop_breaker"


def raise_breaker(store: Store, spec: ModelSpec, now_s: float) -> None:
    """Open an alert, once, when `retrain.guards.max_rejected` retrainings in a row came to no champion."""
    rejected = _rejected(store, spec.name)
    if len(rejected) < spec.retrain.guards.max_rejected:
        return
    numbers = ", ".join(f"v{version}" for version in rejected)
    alert = AlertRecord(
        # Made from the newest rejected version: after people let the loop go on, a new row of them is a new alert.
        id=f"{spec.name}-loop-v{rejected[0]}",
        model=spec.name,
        version=None,
        kind="operational",
        severity="critical",
        message=f"{len(rejected)} retrainings in a row came to no champion ({numbers}): nothing is retrained by itself "
        f"until a person runs `mlops-ray loop resume {spec.name}`",
        features=(),
        evidence={_BREAKER: True, "versions": list(rejected)},
        state="open",
        at_s=now_s,
        updated_s=now_s,
    )
    if any(a.id == alert.id for a in store.alerts(spec.name)):
        return
    payload = {"kind": alert.kind, "message": alert.message, "versions": list(rejected)}
    with store.change(Event("alert.raised", alert.id, payload, _ACTOR, now_s)) as change:
        tripped = _rejected(change, spec.name) == rejected
        if not tripped or _breaker_alerts(change, spec.name) or not change.insert_alert(alert):
            change.skip()
            return
        # The drift actor sends what is written here.
        AlertOutbox(spec.name, routes_for(spec.alerts), spec.alerting).tell(change, alert, "raised", now_s)


def pause_loop(store: Store, model: str, *, by: str, reason: str, now_s: float) -> LoopRecord:
    """Start no retraining by itself until somebody resumes; what runs goes on to its end.

    Raises:
        NotFoundError: no such model.
        ConflictError: it is paused already.
    """
    with store.change(Event("loop.paused", model, {"model": model, "reason": reason}, by, now_s)) as change:
        known = _known(change, model)
        if known is not None and known.paused:
            raise ConflictError(
                f"loop of {model!r}: paused already, by {known.by}: {known.reason or 'no reason given'}"
            )
        record = LoopRecord(model, True, reason, by, known.resumed_s if known is not None else 0.0, now_s)
        change.put_loop(record)
    return record


def resume_loop(store: Store, model: str, *, by: str, reason: str, now_s: float) -> LoopRecord:
    """Let retrainings start by themselves again; those that were rejected until now count no more.

    Raises:
        NotFoundError: no such model.
        ConflictError: it is neither paused nor held by its breaker.
    """
    with store.change(Event("loop.resumed", model, {"model": model, "reason": reason}, by, now_s)) as change:
        known, alerts = _known(change, model), _breaker_alerts(change, model)
        if not (known is not None and known.paused) and not alerts and not _rejected(change, model):
            raise ConflictError(f"loop of {model!r}: expected it to be paused or held by its breaker, found it going")
        record = LoopRecord(model, False, reason, by, now_s, now_s)
        change.put_loop(record)
        for alert in alerts:
            ended = replace(alert, state="resolved", updated_s=now_s)
            change.put_alert(ended)
            spec = ModelSpec.model_validate_json(_model(change, model).spec_json)
            AlertOutbox(model, routes_for(spec.alerts), spec.alerting).tell_end(change, ended, f"{by}: {reason}", now_s)
    return record


def _known(change: Change, model: str) -> LoopRecord | None:
    return change.loop(_model(change, model).name)


def _model(change: Change, model: str) -> ModelRecord:
    found = change.model(model)
    if found is None:
        names = ", ".join(m.name for m in change.models()) or "none"
        raise NotFoundError(f"no model {model!r}; models in the store: {names}")
    return found


def _breaker_alerts(reads: Store | Change, model: str) -> list[AlertRecord]:
    return [alert for alert in reads.alerts(model, state="open") if alert.evidence.get(_BREAKER)]


def _rejected(reads: Store | Change, model: str) -> tuple[int, ...]:
    loop = reads.loop(model)
    since_s = loop.resumed_s if loop is not None else 0.0
    return rejected_in_a_row(reads.triggers(model), reads.model_versions(model), since_s=since_s)
