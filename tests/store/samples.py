"""Records to write; every test changes the fields it is about."""

from typing import Any

from mlops_ray.store import (
    AlertRecord,
    ApprovalRecord,
    DeliveryRecord,
    Event,
    ModelVersionRecord,
    RolloutRecord,
    RouteRecord,
    SilenceRecord,
    Stage,
    TriggerRecord,
)


def event(**changes: Any) -> Event:
    """An event of kind "test.happened"."""
    return Event(
        **{"kind": "test.happened", "subject": "churn", "payload": {"n": 1}, "actor": "tester", "at_s": 1.5, **changes}
    )


def model_version(**changes: Any) -> ModelVersionRecord:
    """Version 1 of churn, a candidate."""
    values: dict[str, Any] = {
        "model": "churn",
        "version": 1,
        "digest": "ab" * 32,
        "bundle_uri": "file:///lake/models/churn/abababababab",
        "run_id": "run",
        "dataset": "mlops.churn@v2",
        "code": {"sha": None, "dirty": False, "packages": {"ray": "2.60.0"}},
        "metrics": {"auc": 0.1 + 0.2},
        "gates": {"results": [{"metric": "auc", "low": -1e-9}]},
        "verdict": "PASS",
        "stage": Stage.CANDIDATE,
        "created_s": 1_700_000_000.123456,
    }
    return ModelVersionRecord(**values | changes)


def rollout(**changes: Any) -> RolloutRecord:
    """A rollout of churn/2 that takes over from churn/1, in its canary phase."""
    values: dict[str, Any] = {
        "id": "churn-2-1",
        "model": "churn",
        "version": 2,
        "previous": 1,
        "phase": "CANARY",
        "state": {"share": 0.05, "history": [["CANARY", 0]]},
        "revision": 1,
        "created_s": 10.0,
        "updated_s": 11.0,
    }
    return RolloutRecord(**values | changes)


def approval(**changes: Any) -> ApprovalRecord:
    """Ada says yes to churn/2."""
    values: dict[str, Any] = {
        "model": "churn",
        "version": 2,
        "approver": "ada",
        "approved": True,
        "reason": "looks good",
        "at_s": 5.0,
    }
    return ApprovalRecord(**values | changes)


def trigger(**changes: Any) -> TriggerRecord:
    """A pending retraining because of drift."""
    values: dict[str, Any] = {
        "id": "drift-churn-1",
        "model": "churn",
        "cause": "drift",
        "evidence": {"features": ["tenure"]},
        "state": "pending",
        "submission_id": None,
        "reason": "",
        "created_s": 20.0,
        "updated_s": 20.0,
    }
    return TriggerRecord(**values | changes)


def alert(**changes: Any) -> AlertRecord:
    """An open alert of drift in two features."""
    values: dict[str, Any] = {
        "id": "alert-1",
        "model": "churn",
        "version": 1,
        "kind": "drift",
        "severity": "warning",
        "message": "two features drifted — tenure, plan",
        "features": ("tenure", "plan"),
        "evidence": {"tenure": {"ks": 0.3}},
        "state": "open",
        "at_s": 30.0,
        "updated_s": 30.0,
    }
    return AlertRecord(**values | changes)


def route(**changes: Any) -> RouteRecord:
    """The first route of churn: version 1 answers everything."""
    values: dict[str, Any] = {
        "model": "churn",
        "epoch": 1,
        "champion": 1,
        "canary": None,
        "share": 0.0,
        "salt": "s",
        "previous": None,
        "updated_s": 40.0,
    }
    return RouteRecord(**values | changes)


def delivery(**changes: Any) -> DeliveryRecord:
    """The log is to be told of the alert."""
    values: dict[str, Any] = {
        "id": "alert-1/1/log",
        "alert": "alert-1",
        "number": 1,
        "model": "churn",
        "key": "churn/drift/v1",
        "route": "log",
        "event": "raised",
        "severity": "warning",
        "content": {"message": "two features drifted — tenure, plan"},
        "state": "pending",
        "hold": "",
        "message": "",
        "attempts": 0,
        "first_attempt_s": None,
        "due_s": 40.0,
        "next_s": 40.0,
        "owner": "",
        "lease_until_s": 0.0,
        "reason": "",
        "created_s": 30.0,
        "updated_s": 30.0,
    }
    return DeliveryRecord(**values | changes)


def silence(**changes: Any) -> SilenceRecord:
    """Nobody hears of drift in churn for a while."""
    values: dict[str, Any] = {
        "id": "silence-1",
        "model": "churn",
        "kind": "drift",
        "feature": None,
        "reason": "works",
        "author": "ada",
        "from_s": 10.0,
        "until_s": 20.0,
    }
    return SilenceRecord(**values | changes)
