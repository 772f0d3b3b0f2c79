"""The store: one SQL database that holds the state of everything, and the audit chain of how it came about."""

from mlops_ray.store.api_key import ROLES, Role, is_loopback, issue_key, key_id, keys_required, opens
from mlops_ray.store.audit import AuditEvent, AuditReport, Event
from mlops_ray.store.change import Change
from mlops_ray.store.records import (
    AlertRecord,
    ApiKeyRecord,
    ApprovalRecord,
    DeliveryRecord,
    LeaseRecord,
    LoopRecord,
    ModelRecord,
    ModelVersionRecord,
    RolloutRecord,
    RouteRecord,
    SilenceRecord,
    Stage,
    TriggerRecord,
)
from mlops_ray.store.store import Store

__all__ = [
    "ROLES",
    "AlertRecord",
    "ApiKeyRecord",
    "ApprovalRecord",
    "AuditEvent",
    "AuditReport",
    "Change",
    "DeliveryRecord",
    "Event",
    "LeaseRecord",
    "LoopRecord",
    "ModelRecord",
    "ModelVersionRecord",
    "Role",
    "RolloutRecord",
    "RouteRecord",
    "SilenceRecord",
    "Stage",
    "Store",
    "TriggerRecord",
    "is_loopback",
    "issue_key",
    "key_id",
    "keys_required",
    "opens",
]
