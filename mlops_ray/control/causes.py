"""What speaks for a retraining now, each cause under a key that stays the same however often it is looked at. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

from mlops_ray.control.guards import ALERT, started_s
from mlops_ray.control.window_table import version_number
from mlops_ray.spec import Cause, ModelSpec
from mlops_ray.store import AlertRecord, ModelVersionRecord, Stage, TriggerRecord

__all__ = [
    "ALERT",
    "DATASET",
    "SCHEDULED_S",
    "CauseFound",
    "Committed",
    "LabelBase",
    "Seen",
    "action_of",
    "causes",
    "label_base",
    "newer_cause",
    "trained_up_to",
]

DATASET, SCHEDULED_S = "dataset", "scheduled_s"
"""Keys in a trigger's evidence."""
_ALERT_CAUSES = tuple(cause for cause in get_args(Cause) if cause not in ("new_data", "code"))
_ACTIONS: Mapping[str, str] = {
    "data_quality": "repair the data; it blocks retraining, which would only learn the fault",
    "operational": "repair what serves; it blocks retraining, which does not help",
    "sample_ratio": "look at how requests are split; never retrains",
    "fairness": "people decide; never retrains by itself",
    "attribution": "people decide; never retrains by itself",
}
_NEWEST_ONLY = ("schedule", "new_data", "code")


@dataclass(frozen=True)
class Committed:
    """The newest version of the model's table."""

    ref: str
    number: int
    rows: int
    at_s: float


@dataclass(frozen=True)
class LabelBase:
    """From when labels are counted: the last retraining that did not fail, else the champion."""

    name: str
    since_s: float


@dataclass(frozen=True)
class Seen:
    """All that causes come from."""

    alerts: Sequence[AlertRecord] = ()  # open ones
    triggers: Sequence[TriggerRecord] = ()
    versions: Sequence[ModelVersionRecord] = ()
    dataset: Committed | None = None
    scheduled_s: float | None = None  # newest moment of the schedule since the spec has it
    labels: int | None = None  # rows labelled since `label_base`

    @property
    def champion(self) -> ModelVersionRecord | None:
        """The version that is champion."""
        return next((v for v in self.versions if v.stage is Stage.CHAMPION), None)


@dataclass(frozen=True)
class CauseFound:
    """One reason to retrain."""

    key: str
    cause: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def action_of(kind: str, spec: ModelSpec) -> str:
    """What an open alert of this kind leads to, in words."""
    if kind in _ACTIONS:
        return _ACTIONS[kind]
    if kind in spec.retrain.triggers:
        return "starts a retraining, as far as the guards allow"
    return f"tells people; a retraining only if retrain.triggers names {kind}"


def causes(spec: ModelSpec, seen: Seen) -> list[CauseFound]:
    """Every cause that holds now.

    Alerts on the champion count by their kind, never those of bad data, of operations or of a split that is off. All
    other causes need a champion: before the first one there is nothing to train again.
    """
    champion = seen.champion
    alerts = [a for a in seen.alerts if champion is None or a.version in (None, champion.version)]
    found = [_of_alert(alert) for alert in alerts if _retrains(alert, spec)]
    if champion is not None:
        found += [
            *_new_data(spec, seen),
            *_schedule(spec, seen.scheduled_s),
            *_labels(spec, seen, champion),
            *_code(spec, seen),
        ]
    return found


def label_base(triggers: Sequence[TriggerRecord], champion: ModelVersionRecord) -> LabelBase:
    """From when new labels are counted; one that failed leaves the count as it was."""
    starts = [(at_s, t.id) for t in triggers if t.state != "failed" and (at_s := started_s(t)) is not None]
    began_s = float(champion.training.get("started_s", champion.created_s))
    at_s, name = max(starts, default=(began_s, f"v{champion.version}"))
    return LabelBase(name, at_s) if at_s >= began_s else LabelBase(f"v{champion.version}", began_s)


def trained_up_to(versions: Sequence[ModelVersionRecord], table: str) -> int:
    """Number of the newest version of `table` that anything was trained on; 0 for none."""
    return max((n for v in versions if (n := version_number(v.dataset, table)) is not None), default=0)


def newer_cause(trigger: TriggerRecord, others: Sequence[TriggerRecord]) -> TriggerRecord | None:
    """A later cause of the same kind that makes this one pointless: one newest moment, one newest dataset version."""
    if trigger.cause not in _NEWEST_ONLY:
        return None
    later = (o for o in others if o.cause == trigger.cause and o.key != trigger.key)
    return next((o for o in later if o.created_s > trigger.created_s), None)


def _retrains(alert: AlertRecord, spec: ModelSpec) -> bool:
    warned = alert.kind == "concept_drift" and alert.severity != "critical"
    return (
        alert.kind not in _ACTIONS
        and alert.kind in _ALERT_CAUSES
        and alert.kind in spec.retrain.triggers
        and not warned
    )


def _of_alert(alert: AlertRecord) -> CauseFound:
    evidence = {ALERT: alert.id, "message": alert.message, "features": list(alert.features)}
    return CauseFound(f"{alert.id}-retrain", alert.kind, evidence)


def _new_data(spec: ModelSpec, seen: Seen) -> Iterator[CauseFound]:
    dataset = seen.dataset
    # What a retraining that is running commits is its own food, not a new cause.
    running = any(t.state == "submitted" for t in seen.triggers)
    if "new_data" not in spec.retrain.triggers or dataset is None or running:
        return
    if dataset.number > trained_up_to(seen.versions, spec.table):
        message = f"{dataset.ref} has {dataset.rows} rows and nothing was trained on it"
        yield CauseFound(f"{spec.name}-data-v{dataset.number}", "new_data", {DATASET: dataset.ref, "message": message})


def _schedule(spec: ModelSpec, scheduled_s: float | None) -> Iterator[CauseFound]:
    if spec.retrain.schedule is None or scheduled_s is None:
        return
    moment = datetime.fromtimestamp(scheduled_s, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
    message = f"{spec.retrain.schedule.cron} in {spec.retrain.schedule.timezone}, due {moment}"
    yield CauseFound(f"{spec.name}-schedule-{moment}", "schedule", {SCHEDULED_S: scheduled_s, "message": message})


def _labels(spec: ModelSpec, seen: Seen, champion: ModelVersionRecord) -> Iterator[CauseFound]:
    every = spec.retrain.every_labels
    if every is None or seen.labels is None or seen.labels < every:
        return
    base = label_base(seen.triggers, champion)
    message = f"{seen.labels} labelled rows since {base.name}, retrain.every_labels is {every}"
    yield CauseFound(f"{spec.name}-labels-{every}-after-{base.name}", "labels", {"message": message})


def _code(spec: ModelSpec, seen: Seen) -> Iterator[CauseFound]:
    """Raised where the code is known, at `deploy`; here only tried again as long as nothing was trained with it."""
    if "code" not in spec.retrain.triggers:
        return
    trained = {(v.code.get("sha"), v.code.get("lock_digest"), v.code.get("diff_digest")) for v in seen.versions}
    for trigger in seen.triggers:
        code = trigger.evidence.get("code", {})
        known = (code.get("sha"), code.get("lock_digest"), code.get("diff_digest")) in trained
        if trigger.cause == "code" and trigger.state == "failed" and not known:
            yield CauseFound(trigger.key, "code", {"code": code, "message": trigger.evidence.get("message", "")})
