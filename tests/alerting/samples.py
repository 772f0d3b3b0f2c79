"""An alert to send; every test changes the fields it is about."""

from typing import Any

from mlops_ray.alerting import Alert, Message

FEATURE = {"name": "tenure", "ks": 0.3125, "ks_threshold": 0.1, "psi": 0.21, "psi_threshold": 0.2, "drifted": True}
EVIDENCE: dict[str, Any] = {
    "rows": 5000,
    "features": [FEATURE, {"name": "plan", "measure": "JS", "value": 0.08, "threshold": 0.05}],
    "histograms": [
        {"feature": "tenure", "edges": [0, 12, 24, 48, 72], "reference": [0.25] * 4, "window": [0.6, 0.2, 0.15, 0.05]},
        {"feature": "plan", "categories": ["basic", "pro"], "reference": [0.75, 0.25], "window": [0.25, 0.75]},
    ],
    "samples": [{"tenure": 1, "plan": "pro", "charges": 30.123456789}, {"tenure": 2, "plan": "basic"}],
}

BROKEN: dict[str, Any] = {
    "kind": "data_quality",
    "severity": "critical",
    "message": "1 broken column",
    "features": ("plan",),
    "evidence": {
        "rows": 60,
        "problems": [
            {"feature": "plan", "breakage": "missing", "share": 1.0, "message": "plan: every value is <null>"}
        ],
        "samples": [{"answer": 0.25, "charges": 3.5, "plan": None, "request_id": "r1", "time": "2023-11-14 22:13:20"}],
    },
}
"""Fields of an alert on a broken column."""
DECAYED: dict[str, Any] = {
    "kind": "decay",
    "message": "auc is low",
    "features": (),
    "evidence": {
        "rows": 900,
        "features": [{"name": "plan", "measure": "errors above those of other rows", "value": 0.375}],
        "slices": [{"conditions": ["plan = pro", "tenure < 3"], "rows": 80, "error": 0.5, "excess": 0.375, "low": 0.2}],
        "samples": [{"answer": 0.9, "label": 0.0, "plan": "pro", "request_id": "r1"}],
    },
}
"""Fields of an alert on outcomes."""


def alert(**changes: Any) -> Alert:
    """Drift in two features of churn."""
    values: dict[str, Any] = {
        "id": "churn-drift-v3-1",
        "model": "churn",
        "version": 3,
        "kind": "drift",
        "severity": "warning",
        "message": "two features drifted",
        "features": ("tenure", "plan"),
        "evidence": EVIDENCE,
        "at_s": 1_700_000_000.5,
        "raised_s": 1_700_000_000.5,
    }
    return Alert(**values | changes)


def message(*alerts: Alert, **changes: Any) -> Message:
    """A message of these alerts; of one without any."""
    values: dict[str, Any] = {
        "id": "churn-0123abcd",
        "model": "churn",
        "alerts": alerts or (alert(),),
        "at_s": 1_700_000_010.0,
        "sent_s": 1_700_000_020.0,
    }
    return Message(**values | changes)
