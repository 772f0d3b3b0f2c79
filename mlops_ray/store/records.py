"""The rows of the store as frozen values; mappings hold JSON values only, times are seconds since the epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = [
    "AlertRecord",
    "ApiKeyRecord",
    "ApprovalRecord",
    "DeliveryRecord",
    "LeaseRecord",
    "LoopRecord",
    "ModelRecord",
    "ModelVersionRecord",
    "RolloutRecord",
    "RouteRecord",
    "SilenceRecord",
    "Stage",
    "TriggerRecord",
]


class Stage(StrEnum):
    """Where a model version is in its life; a model has at most one champion."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    RETIRED = "retired"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"


@dataclass(frozen=True)
class ModelRecord:
    """A model and the newest spec it was handed in with."""

    name: str
    spec_json: str
    updated_s: float


@dataclass(frozen=True)
class ModelVersionRecord:
    """One trained version and everything that leads back to where it came from."""

    model: str
    version: int
    digest: str  # of the bundle
    bundle_uri: str
    run_id: str  # MLflow's
    dataset: str  # reference of the dataset version, "mlops.churn@v2"
    code: Mapping[str, Any]
    metrics: Mapping[str, float]  # on the holdout
    gates: Mapping[str, Any]
    verdict: str  # of the gates
    stage: Stage
    created_s: float
    training: Mapping[str, Any] = field(default_factory=dict)  # how it was made, for `reproduce`; older ones have none


@dataclass(frozen=True)
class RolloutRecord:
    """One delivery of a version; `revision` grows by one with every change of its state."""

    id: str
    model: str
    version: int
    previous: int | None  # the champion it takes over from
    phase: str  # value of a rollout.Phase
    state: Mapping[str, Any]
    revision: int
    created_s: float
    updated_s: float


@dataclass(frozen=True)
class ApprovalRecord:
    """What one person said about one version; a later word of the same person replaces the earlier one."""

    model: str
    version: int
    approver: str
    approved: bool
    reason: str
    at_s: float


@dataclass(frozen=True)
class TriggerRecord:
    """A cause to retrain, and what became of it; the id is made from the cause, so that one cause makes one job."""

    id: str
    model: str
    cause: str
    evidence: Mapping[str, Any]
    state: Literal["pending", "refused", "submitted", "succeeded", "failed"]
    submission_id: str | None  # of the Ray job
    reason: str
    created_s: float
    updated_s: float
    key: str = ""  # of the cause; several attempts at one cause share it
    guard: str = ""  # that holds a pending one back
    attempt: int = 1  # of the cause's jobs, 1, 2, ...
    submissions: int = 0  # of its job that failed since the last one that did not
    next_s: float = 0.0  # not before this moment


@dataclass(frozen=True)
class AlertRecord:
    """Something a person should know."""

    id: str
    model: str
    version: int | None
    kind: str
    severity: str
    message: str
    features: tuple[str, ...]
    evidence: Mapping[str, Any]
    state: Literal["open", "resolved"]
    at_s: float
    updated_s: float


@dataclass(frozen=True)
class RouteRecord:
    """Which versions answer for a model; `epoch` grows by one with every change."""

    model: str
    epoch: int
    champion: int | None
    canary: int | None
    share: float  # of the units, on the canary
    salt: str
    previous: int | None  # the champion before, for a rollback
    updated_s: float
    mirror: float = 0.0  # of the champion's requests, copied to the canary after they were answered
    paired: float = 0.0  # of the canary's requests, scored by the champion too


@dataclass(frozen=True)
class ApiKeyRecord:
    """A key that clients show; of its secret only a salted hash is kept."""

    id: str
    name: str  # who has it, for people
    roles: tuple[str, ...]  # of "infer", "label", "admin"
    hash: str  # salt and digest, see store.api_key
    requests_per_s: float | None  # at most, in each replica; None: no limit
    created_s: float
    revoked_s: float | None = None


@dataclass(frozen=True)
class DeliveryRecord:
    """That one route is told one thing about one alert; written together with the alert, kept until it was told."""

    id: str  # "<alert>/<number>/<route>"
    alert: str
    number: int  # 1, 2, ...: what happened to the alert, in order
    model: str
    key: str  # what the alert is about: the same of every episode
    route: str  # its name, without secrets
    event: Literal["raised", "updated", "escalated", "resolved", "repeated"]
    severity: str
    content: Mapping[str, Any]  # what is told
    state: Literal["pending", "sent", "dead", "dropped"]
    hold: str  # why it waits though nothing is in its way: "cooldown", "silence <id>"; empty: it does not
    message: str  # id of the message it goes out in; empty before the first attempt
    attempts: int
    first_attempt_s: float | None
    due_s: float  # when it is to be told
    next_s: float  # when the next attempt is; due_s before the first
    owner: str  # who is sending it now, until lease_until_s
    lease_until_s: float
    reason: str  # of the last failure, or why it was dropped
    created_s: float
    updated_s: float


@dataclass(frozen=True)
class LeaseRecord:
    """Who does something that one process alone may do; `epoch` grows by one with every new holder."""

    name: str
    owner: str
    epoch: int
    expires_s: float
    updated_s: float


@dataclass(frozen=True)
class LoopRecord:
    """What people said about the retraining of a model; a model without a record goes on by itself."""

    model: str
    paused: bool
    reason: str
    by: str
    resumed_s: float  # rejected retrainings from before count no more
    updated_s: float


@dataclass(frozen=True)
class SilenceRecord:
    """Alerts that nobody is told of for a while; None matches everything."""

    id: str
    model: str | None
    kind: str | None
    feature: str | None
    reason: str
    author: str
    from_s: float
    until_s: float  # earlier than was asked for where somebody ended it
