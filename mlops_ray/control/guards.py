"""Whether a cause to retrain may start a job now, and what holds it back. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops_ray.control.outcomes_in_a_row import rejected_in_a_row
from mlops_ray.spec import Guards
from mlops_ray.store import AlertRecord, LoopRecord, ModelVersionRecord, Stage, TriggerRecord

__all__ = [
    "ALERT",
    "DAY_S",
    "STARTED_S",
    "Hold",
    "NewData",
    "Situation",
    "device_hours",
    "holds",
    "remarks",
    "started_s",
    "superseded_by",
]

ALERT = "alert"
"""Key in a trigger's evidence: the alert that it follows."""
DAY_S = 86_400.0
STARTED_S = "started_s"
"""Key in a trigger's evidence: when its job was started."""


@dataclass(frozen=True)
class Hold:
    """A guard that does not let a retraining start."""

    guard: str
    reason: str
    until_s: float | None = None  # when it lets go by itself; None: something has to happen first


@dataclass(frozen=True)
class NewData:
    """What has come since the champion was trained; None where nobody counted."""

    rows: int | None = None  # committed to the table
    labels: int | None = None  # labelled rows among the records
    maturity: float | None = None  # share of the answers whose labels had time to come


@dataclass(frozen=True)
class Situation:
    """All that the guards look at."""

    others: Sequence[TriggerRecord]
    rollout_active: bool = False
    alerts: Sequence[AlertRecord] = ()  # open ones
    versions: Sequence[ModelVersionRecord] = ()
    loop: LoopRecord | None = None
    new: NewData = NewData()
    devices: float = 1.0  # that a training uses at the same time


def started_s(trigger: TriggerRecord) -> float | None:
    """When the trigger's job was started, None if it was not."""
    moment = trigger.evidence.get(STARTED_S)
    return None if moment is None else float(moment)


def superseded_by(trigger: TriggerRecord, others: Sequence[TriggerRecord]) -> TriggerRecord | None:
    """A retraining that was started after this cause arose, and so has dealt with it."""
    starts = ((other, started_s(other)) for other in others if other.id != trigger.id)
    return next((other for other, at_s in starts if at_s is not None and at_s >= trigger.created_s), None)


def device_hours(situation: Situation, now_s: float) -> float:
    """Hours that trainings of the last day used: of GPUs where a training had some, else of CPU cores.

    A training that made a version counts what its trials took (`training.costs`), when it ended. A retraining
    that failed made no such record: the time from its start to its end, on as many devices as one may use.
    """
    return sum(hours for _, hours in _uses(situation, now_s))


def holds(trigger: TriggerRecord, situation: Situation, guards: Guards, *, now_s: float) -> tuple[Hold, ...]:
    """Everything that keeps a retraining from starting, the weightiest first; empty when it may.

    What a person asked for is kept only by what would break otherwise: another training, a rollout, a failure just now.
    """
    found = (*_busy(situation), *_retry(trigger, guards, now_s))
    if trigger.cause == "manual":
        return found
    return (*_people(situation, guards), *found, *_judged(trigger, situation, guards, now_s))


def remarks(trigger: TriggerRecord, situation: Situation, guards: Guards, *, now_s: float) -> tuple[Hold, ...]:
    """What would hold back a retraining that nobody asked for, beside `holds`: a person who asks is told of it."""
    return (*_people(situation, guards), *_judged(trigger, situation, guards, now_s))


def _judged(trigger: TriggerRecord, situation: Situation, guards: Guards, now_s: float) -> Iterator[Hold]:
    yield from _of_another(trigger, situation)
    yield from _alerts(situation)
    yield from _pace(situation, guards, now_s)
    yield from _budget(situation, guards, now_s)
    yield from _new_data(trigger, situation.new, guards)


def _of_another(trigger: TriggerRecord, situation: Situation) -> Iterator[Hold]:
    """What was seen of another version than the champion starts nothing: who watches may be a moment late to resolve
    the alert, or that version becomes champion again."""
    champion = next((v.version for v in situation.versions if v.stage is Stage.CHAMPION), None)
    followed = next((a for a in situation.alerts if a.id == trigger.evidence.get(ALERT)), None)
    if followed is not None and champion is not None and followed.version not in (None, champion):
        yield Hold("champion", f"alert {followed.id} is about v{followed.version}, and v{champion} is champion now")


def _people(situation: Situation, guards: Guards) -> Iterator[Hold]:
    loop = situation.loop
    if loop is not None and loop.paused:
        yield Hold("paused", f"paused by {loop.by}: {loop.reason or 'no reason given'}")
    since_s = loop.resumed_s if loop is not None else 0.0
    rejected = rejected_in_a_row(situation.others, situation.versions, since_s=since_s)
    if len(rejected) >= guards.max_rejected:
        numbers = ", ".join(f"v{version}" for version in rejected)
        yield Hold(
            "breaker",
            f"{len(rejected)} retrainings in a row came to no champion ({numbers}); people have to look, then "
            "`mlops-ray loop resume`",
        )


def _busy(situation: Situation) -> Iterator[Hold]:
    running = [o for o in situation.others if o.state == "submitted"]
    if running:
        yield Hold("running", f"retraining {running[0].id} is running")
    if situation.rollout_active:
        yield Hold("rollout", "a rollout is under way")


def _alerts(situation: Situation) -> Iterator[Hold]:
    for alert in situation.alerts:
        if alert.kind == "data_quality":
            columns = ", ".join(alert.features) or "no column named"
            yield Hold("data_quality", f"data_quality alert {alert.id} is open ({columns}): {alert.message}")
    for alert in situation.alerts:
        if alert.kind == "operational":
            yield Hold("operational", f"operational alert {alert.id} is open: {alert.message}")


def _retry(trigger: TriggerRecord, guards: Guards, now_s: float) -> Iterator[Hold]:
    if trigger.next_s > now_s:
        reason = f"attempt {trigger.attempt} of {guards.max_attempts} begins in {trigger.next_s - now_s:.0f} s"
        yield Hold("retry", reason, trigger.next_s)


def _pace(situation: Situation, guards: Guards, now_s: float) -> Iterator[Hold]:
    started = [(o, at_s) for o in situation.others if (at_s := started_s(o)) is not None]
    today = sorted(at_s for _, at_s in started if now_s - at_s < DAY_S)
    if len(today) >= guards.max_per_day:
        reason = f"{len(today)} retrainings in 24 hours, retrain.guards.max_per_day allows {guards.max_per_day}"
        yield Hold("per_day", reason, today[-guards.max_per_day] + DAY_S)
    until_s = max((o.updated_s + guards.cooldown_s for o, _ in started if o.state != "submitted"), default=0.0)
    if until_s > now_s:
        reason = f"cooldown of {guards.cooldown_s:g} s, {until_s - now_s:.0f} s are left"
        yield Hold("cooldown", reason, until_s)


def _budget(situation: Situation, guards: Guards, now_s: float) -> Iterator[Hold]:
    most = guards.max_device_hours_per_day
    if most is None:
        return
    uses = sorted(_uses(situation, now_s))
    used = sum(hours for _, hours in uses)
    if used < most:
        return
    left, until_s = used, now_s
    for at_s, hours in uses:
        left, until_s = left - hours, at_s + DAY_S
        if left < most:
            break
    reason = f"{used:.2f} device hours in 24 hours, retrain.guards.max_device_hours_per_day allows {most:g}"
    yield Hold("device_hours", reason, until_s)


def _uses(situation: Situation, now_s: float) -> Iterator[tuple[float, float]]:
    """When each training ended, and its hours."""
    for version in situation.versions:
        ended_s, costs = float(version.training.get("ended_s", version.created_s)), version.training.get("costs", {})
        if now_s - DAY_S < ended_s:
            yield ended_s, float(costs.get("gpu_s") or costs.get("cpu_s") or 0.0) / 3600
    for trigger in situation.others:
        began_s = started_s(trigger)
        if trigger.state == "failed" and began_s is not None and now_s - DAY_S < trigger.updated_s:
            yield trigger.updated_s, max(0.0, trigger.updated_s - began_s) * situation.devices / 3600


def _new_data(trigger: TriggerRecord, new: NewData, guards: Guards) -> Iterator[Hold]:
    if trigger.cause == "new_data" and new.rows is not None and new.rows < guards.min_new_rows:
        # Of other causes the job ingests first: what is new by then only it can know.
        reason = f"{new.rows} new rows, retrain.guards.min_new_rows asks for {guards.min_new_rows}"
        yield Hold("new_rows", reason)
    if new.labels is not None and new.labels < guards.min_new_labels:
        reason = f"{new.labels} rows labelled since the champion was trained, retrain.guards.min_new_labels asks for "
        yield Hold("new_labels", f"{reason}{guards.min_new_labels}")
    if new.maturity is not None and new.maturity < guards.min_label_maturity:
        reason = f"the labels of {new.maturity:.0%} of the answers had time to come, "
        yield Hold("maturity", f"{reason}retrain.guards.min_label_maturity asks for {guards.min_label_maturity:.0%}")
