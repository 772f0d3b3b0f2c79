"""An alert to send; every test changes the fields it is about."""

from typing import Any

from mlops_ray.alerting import Alert


def alert(**changes: Any) -> Alert:
    """Drift in two features of churn."""
    values: dict[str, Any] = {
        "id": "alert-1",
        "model": "churn",
        "kind": "drift",
        "severity": "warning",
        "message": "two features drifted",
        "features": ("tenure", "plan"),
        "evidence": {"tenure": {"ks": 0.3}},
        "at_s": 1_700_000_000.5,
    }
    return Alert(**values | changes)
