"""The drift actor: keeps what is served, joins outcomes, judges windows, raises alerts."""

from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.drift_actor import DriftWatch, drift_status, ensure_drift_actor, ensure_drift_actors
from mlops_ray.monitor.evidence_ledger import Cursor, EvidenceLedger
from mlops_ray.monitor.model_monitor import ModelMonitor
from mlops_ray.monitor.performance import Performance

__all__ = [
    "AlertOutbox",
    "Cursor",
    "DriftWatch",
    "EvidenceLedger",
    "ModelMonitor",
    "Performance",
    "drift_status",
    "ensure_drift_actor",
    "ensure_drift_actors",
]
