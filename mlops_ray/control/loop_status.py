"""What the loop of one model is doing, and why not: from the store and the records, no cluster needed."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from mlops_ray.control.causes import action_of
from mlops_ray.control.guards import DAY_S, Hold, Situation, device_hours, holds, started_s
from mlops_ray.control.label_counts import LabelCounts
from mlops_ray.control.lease import CONTROL_LEASE
from mlops_ray.control.outcomes_in_a_row import VERSION, rejected_in_a_row
from mlops_ray.control.schedule_times import next_due
from mlops_ray.control.sightings import Sightings
from mlops_ray.control.trigger_decision import situation_of
from mlops_ray.errors import NotFoundError
from mlops_ray.spec import ModelSpec
from mlops_ray.store import Store, TriggerRecord

__all__ = ["loop_status", "loop_text", "trigger_list", "trigger_text"]


def trigger_list(store: Store, model: str, state: str | None = None) -> list[dict[str, Any]]:
    """JSON values of a model's triggers, oldest first.

    Raises:
        NotFoundError: no such model.
    """
    if store.model(model) is None:
        names = ", ".join(m.name for m in store.models()) or "none"
        raise NotFoundError(f"no model {model!r}; models in the store: {names}")
    return [_trigger(trigger) for trigger in store.triggers(model, state=state)]


def trigger_text(triggers: list[dict[str, Any]]) -> str:
    """The same, a line each."""
    return "\n".join(_line(trigger) for trigger in triggers) or "no triggers"


def loop_status(store: Store, spec: ModelSpec, *, counts: LabelCounts | None, now_s: float) -> dict[str, Any]:
    """JSON values: champion, causes that are watched, alerts, triggers with what holds them, budget, breaker, lease."""
    new = Sightings(store, counts, lambda: now_s).new_data(spec)
    triggers = store.triggers(spec.name)
    pending = [t for t in triggers if t.state == "pending"]
    champion, lease, guards = store.champion(spec.name), store.lease(CONTROL_LEASE), spec.retrain.guards
    # What the next cause would meet, if there is none now.
    next_one = TriggerRecord("", spec.name, "drift", {}, "pending", None, "", now_s, now_s)
    situation = situation_of(store, spec, next_one, new)
    started = [t for t in triggers if started_s(t) is not None]
    return {
        "model": spec.name,
        "champion": None if champion is None else {"version": champion.version, "dataset": champion.dataset},
        "watches": _watches(spec),
        "next_scheduled_s": next_due(spec.retrain.schedule, now_s) if spec.retrain.schedule is not None else None,
        "last_retraining": _trigger(max(started, key=lambda t: started_s(t) or 0.0)) if started else None,
        "alerts": [
            {
                "id": a.id,
                "kind": a.kind,
                "features": list(a.features),
                "message": a.message,
                "action": action_of(a.kind, spec),
            }
            for a in store.alerts(spec.name, state="open")
        ],
        "running": [_trigger(t) for t in triggers if t.state == "submitted"],
        "pending": [
            {**_trigger(t), "holds": _holds(holds(t, situation_of(store, spec, t, new), guards, now_s=now_s), now_s)}
            for t in pending
        ],
        "holds": _holds(holds(next_one, situation, guards, now_s=now_s), now_s),
        "new_data": asdict(new),
        "budget": _budget(situation, spec, now_s),
        "breaker": _breaker(situation, spec),
        "paused": situation.loop is not None and situation.loop.paused,
        "lease": None
        if lease is None
        else {"owner": lease.owner, "epoch": lease.epoch, "expires_in_s": round(lease.expires_s - now_s, 3)},
    }


def loop_text(content: Mapping[str, Any]) -> str:
    """The same for people."""
    champion, budget, breaker, lease = (content[k] for k in ("champion", "budget", "breaker", "lease"))
    head = f"champion v{champion['version']} on {champion['dataset']}" if champion else "no champion"
    lines = [f"{content['model']}: {head}", f"  watches: {', '.join(content['watches']) or 'nothing, people retrain'}"]
    if content["next_scheduled_s"] is not None:
        lines.append(f"  next scheduled: {_time(content['next_scheduled_s'])}")
    last = content["last_retraining"]
    lines.append(f"  last retraining: {_line(last)}" if last else "  last retraining: none")
    lines += [f"  open alert {a['kind']} {a['id']}: {a['message']}; {a['action']}" for a in content["alerts"]]
    lines += [f"  running: {_line(t)}" for t in content["running"]]
    for trigger in content["pending"]:
        lines.append(f"  pending: {_line(trigger)}")
        lines += [f"    waits: {_hold(h)}" for h in trigger["holds"]]
    if not content["pending"]:
        lines += [f"  a cause would wait now: {_hold(h)}" for h in content["holds"]]
    hours = f", {budget['device_hours']:.2f} device hours" + (
        f" of {budget['max_device_hours']:g}" if budget["max_device_hours"] is not None else ""
    )
    lines.append(f"  last 24 h: {budget['retrainings']} of {budget['max_retrainings']} retrainings{hours}")
    state = "open" if breaker["open"] else "closed"
    lines.append(f"  breaker {state}: {len(breaker['rejected'])} of {breaker['max_rejected']} rejected in a row")
    lines.append(
        f"  driven by {lease['owner']}, epoch {lease['epoch']}"
        + ("" if lease["expires_in_s"] > 0 else ", which is gone: nothing is started")
        if lease
        else "  driven by nobody: `mlops-ray up` starts the control actor"
    )
    return "\n".join(lines)


def _watches(spec: ModelSpec) -> list[str]:
    retrain = spec.retrain
    watches: list[str] = list(retrain.triggers)
    if retrain.schedule is not None:
        watches.append(f"schedule {retrain.schedule.cron} {retrain.schedule.timezone}")
    if retrain.every_labels is not None:
        watches.append(f"{retrain.every_labels} new labels")
    return watches


def _budget(situation: Situation, spec: ModelSpec, now_s: float) -> dict[str, Any]:
    guards = spec.retrain.guards
    starts = [at_s for o in situation.others if (at_s := started_s(o)) is not None and now_s - at_s < DAY_S]
    return {
        "retrainings": len(starts),
        "max_retrainings": guards.max_per_day,
        "device_hours": round(device_hours(situation, now_s), 6),
        "max_device_hours": guards.max_device_hours_per_day,
    }


def _breaker(situation: Situation, spec: ModelSpec) -> dict[str, Any]:
    since_s = situation.loop.resumed_s if situation.loop is not None else 0.0
    rejected = rejected_in_a_row(situation.others, situation.versions, since_s=since_s)
    most = spec.retrain.guards.max_rejected
    return {"open": len(rejected) >= most, "rejected": list(rejected), "max_rejected": most}


def _holds(found: tuple[Hold, ...], now_s: float) -> list[dict[str, Any]]:
    return [
        {**asdict(hold), "left_s": None if hold.until_s is None else round(max(0.0, hold.until_s - now_s), 3)}
        for hold in found
    ]


def _hold(hold: Mapping[str, Any]) -> str:
    until = f" (until {_time(hold['until_s'])})" if hold["until_s"] is not None else ""
    return f"{hold['guard']}: {hold['reason']}{until}"


def _trigger(trigger: TriggerRecord) -> dict[str, Any]:
    return {
        "id": trigger.id,
        "key": trigger.key or trigger.id,
        "cause": trigger.cause,
        "state": trigger.state,
        "guard": trigger.guard,
        "reason": trigger.reason,
        "job": trigger.submission_id,
        "attempt": trigger.attempt,
        "submissions_failed": trigger.submissions,
        "next_s": trigger.next_s or None,
        "created_s": trigger.created_s,
        "started_s": started_s(trigger),
        "updated_s": trigger.updated_s,
        "version": trigger.evidence.get(VERSION),
        "message": trigger.evidence.get("message", ""),
    }


def _line(trigger: Mapping[str, Any]) -> str:
    attempt = f", attempt {trigger['attempt']}" if trigger["attempt"] > 1 else ""
    later = f", next {_time(trigger['next_s'])}" if trigger["next_s"] is not None else ""
    job = f", job {trigger['job']}" if trigger["job"] else ""
    reason = f": {trigger['reason']}" if trigger["reason"] else ""
    return f"{trigger['id']} ({trigger['cause']}) {trigger['state']}{attempt}{later}{job}{reason}"


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
